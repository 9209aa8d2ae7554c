"""A PIR, or anything else that drives a pin: edges from gpiozero by way of lgpio. Nothing polls.

Capture's thread starts, asks and closes; edges come on the library's thread, and those of pulses that had to
last come on a thread of this sensor's own. What an edge is worth (warm-up, a sensor that is stuck) Capture
decides. A trigger's time is the kernel's time of the edge.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from trapd.backends import gpio_chip
from trapd.backends.gpio_line import Line
from trapd.errors import Broken, PinInUse, SensorUnavailable
from trapd.ports import Clock
from trapd.records import Activity, Trigger
from trapd.rules import NS_PER_S

log = logging.getLogger("trapd.sensor")

_LATEST_S = 2.0  # an edge that seems older was stamped by another clock
_LONG_S = 3600.0
_JOIN_S = 5.0


class _Watched:
    """One pin: what it amounts to, gpiozero's object for it, and who hears its edges."""

    def __init__(self, line: Line, device: Any, heard: Callable[[Line, Any, float, Any], None]) -> None:
        self.line = line
        self.device = device
        # gpiozero keeps no more than a weak reference to it.
        self.heard = partial(heard, line, device)


class GpioSensor:
    """Any of `pins` (BCM numbers) triggers. `factory` opens the pins; a test gives gpiozero's mock."""

    def __init__(
        self,
        *,
        pins: Sequence[int],
        active_high: bool,
        min_pulse_ms: int,
        clock: Clock,
        factory: Callable[[], Any] = gpio_chip.open_factory,
    ) -> None:
        self._pins = tuple(pins)
        self._active_high = active_high
        self._min_pulse_ns = min_pulse_ms * 1_000_000
        self._clock = clock
        self._open_factory = factory
        self._factory: Any = None
        self._watched: tuple[_Watched, ...] = ()
        self._sink: Callable[[Trigger], None] | None = None
        # Held while an edge is judged and its trigger handed on, never while gpiozero is called: it has
        # locks of its own, and calls back under them.
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._end = threading.Event()
        self._pulses: threading.Thread | None = None

    def start(self, sink: Callable[[Trigger], None]) -> None:
        """Claim the pins. One that is active already triggers now: it will give no edge.

        Where one cannot be had and another can, that one is watched, and `check` tells of the other.
        """
        self.close()
        self._factory = self._open_factory()
        try:
            with self._lock:
                self._sink = sink
            self._claim_all()
            if self._min_pulse_ns:
                self._end.clear()
                self._pulses = threading.Thread(target=self._ripen, name="trapd-pulses", daemon=True)
                self._pulses.start()
            self._look()
        except BaseException:
            self.close()
            raise

    def active(self) -> tuple[Activity, ...]:
        """The pins that are active now, each since when. Reads the levels: an edge that got lost is seen."""
        with suppress(SensorUnavailable):  # `check` says it
            self._look()
        now_ns = self._clock.boot_ns()
        with self._lock:
            return tuple(
                Activity(Trigger("pir", str(each.line.pin), now_ns), each.line.since_ns)
                for each in self._watched
                if each.line.since_ns is not None
            )

    def check(self) -> None:
        """Raise SensorUnavailable if a pin cannot be read; Broken where only a new process gets edges.

        A pin that could not be had is asked for again.
        """
        if not self._watched:
            raise SensorUnavailable("the sensor has stopped", "the daemon starts it again")
        if not gpio_chip.edges_come():
            raise Broken("lgpio's thread has ended: no edges come any more", "the daemon starts again")
        lacking = self._claim_all()
        self._look()
        if lacking is not None:
            raise type(lacking)(f"{lacking.message}; the other pins go on", lacking.hint, partly=True)

    def close(self) -> None:
        """Give the pins back, also for a process that begins anew in this one's place. No trigger follows."""
        with self._lock:
            self._sink = None
        self._end.set()
        self._news.set()
        if self._pulses is not None:
            self._pulses.join(_JOIN_S)
            self._pulses = None
        watched, self._watched = self._watched, ()
        factory, self._factory = self._factory, None
        # A library that fails at giving back is no reason to keep the rest.
        for each in watched:
            _try(each.device.close)
        if factory is not None:
            _try(factory.close)  # lgpio lets go of a pin only with its chip

    def _claim_all(self) -> SensorUnavailable | None:
        """Claim and watch each pin that is not watched yet; why the first of the others cannot be.

        One that is in use comes last: it may be given back. Raises it where none is watched then.
        """
        lacking: SensorUnavailable | None = None
        ours = {each.line.pin for each in self._watched}
        for pin in (pin for pin in self._pins if pin not in ours):
            try:
                self._watched = (*self._watched, self._claim(pin))
            except SensorUnavailable as error:
                if lacking is None or (isinstance(lacking, PinInUse) and not isinstance(error, PinInUse)):
                    lacking = error
        if lacking is not None and not self._watched:
            raise lacking
        return lacking

    def _claim(self, pin: int) -> _Watched:
        from gpiozero import InputDevice

        with self._asking(pin):
            # The line first: a device that gets none keeps its claim to the pin while its exception lives.
            self._factory.pin(pin)
            # Pulled the other way: a cable that is cut is quiet, and does not flutter.
            device = InputDevice(pin, pull_up=not self._active_high, pin_factory=self._factory)
        watched = _Watched(Line(pin, self._min_pulse_ns), device, self._edge)
        try:
            self._listen(watched)
        except SensorUnavailable:
            _try(device.close)
            raise
        return watched

    def _listen(self, watched: _Watched) -> None:
        with self._asking(watched.line.pin):
            watched.device.pin.bounce = None
            watched.device.pin.edges = "both"
            # The pin's own event and not the device's: that one hides an edge that changes nothing.
            watched.device.pin.when_changed = watched.heard

    @contextmanager
    def _asking(self, pin: int) -> Iterator[None]:
        """What the library says of a pin becomes a sentence."""
        try:
            yield
        except Exception as error:
            number = getattr(self._factory, "chip", None)
            chip = None if number is None else Path(f"/dev/gpiochip{number}")
            raise gpio_chip.refused(pin, error, chip) from error

    def _edge(self, line: Line, device: Any, ticks: float, state: Any) -> None:
        """On the library's thread, which ends for good with the first exception that reaches it."""
        try:
            age_s = device.pin_factory.ticks_diff(device.pin_factory.ticks(), ticks)
            late_ns = int(age_s * NS_PER_S) if 0 <= age_s <= _LATEST_S else 0
            with self._lock:
                began_ns = line.edge(bool(state) == self._active_high, self._clock.boot_ns() - late_ns)
                self._tell(line, began_ns)
            self._news.set()
        except Exception:
            log.exception("an edge of pin %d came to nothing", line.pin)

    def _tell(self, line: Line, began_ns: int | None) -> None:
        """Under the lock: what comes after `close` finds no sink."""
        if began_ns is not None and self._sink is not None:
            self._sink(Trigger("pir", str(line.pin), began_ns))

    def _look(self) -> None:
        """Take each pin for what it is now, unless an edge came while it was read."""
        for line, device in ((each.line, each.device) for each in self._watched):
            edges = line.edges
            with self._asking(line.pin):
                active = bool(device.is_active)
            with self._lock:
                if edges == line.edges:
                    self._tell(line, line.level(active, self._clock.boot_ns()))
        self._news.set()

    def _ripen(self) -> None:
        """A pulse that goes on counts as soon as it has lasted long enough."""
        while not self._end.is_set():
            self._news.clear()
            now_ns = self._clock.boot_ns()
            try:
                with self._lock:
                    lines = [each.line for each in self._watched]
                    for line in lines:
                        self._tell(line, line.ripe(now_ns))
                    due_ns = [line.due_ns for line in lines if line.due_ns is not None]
            except Exception:
                log.exception("a pulse came to nothing")
                due_ns = []
            wait_s = (min(due_ns) - now_ns) / NS_PER_S if due_ns else _LONG_S
            self._clock.wait(self._news, max(0.0, wait_s))


def _try(close: Callable[[], None]) -> None:
    try:
        close()
    except Exception as error:
        log.warning("a pin was not given back: %s", error)
