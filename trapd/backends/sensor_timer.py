"""A sensor that fires every so many seconds: time-lapse, trials on a bench, the demo. Own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from trapd.errors import SensorUnavailable
from trapd.ports import Clock
from trapd.records import Activity, Trigger
from trapd.rules import NS_PER_S


class TimerSensor:
    """Fires first `every_s` after start, then on that beat; beats missed during suspend are not made up."""

    def __init__(self, *, every_s: float, clock: Clock) -> None:
        self._every_ns = int(every_s * NS_PER_S)
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, sink: Callable[[Trigger], None]) -> None:
        """Begin; `sink` is called on the timer's thread."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, args=(sink,), name="trapd-timer", daemon=True)
        self._thread.start()

    def active(self) -> tuple[Activity, ...]:
        """A timer has no level: never."""
        return ()

    def check(self) -> None:
        """Raise SensorUnavailable if the timer's thread has ended."""
        if self._thread is None or not self._thread.is_alive():
            raise SensorUnavailable("the timer has stopped", "the daemon starts it again")

    def close(self) -> None:
        """Stop; no trigger comes after this returns."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _beat(self, sink: Callable[[Trigger], None]) -> None:
        due_ns = self._clock.boot_ns() + self._every_ns
        while not self._clock.wait(self._stop, max(0.0, (due_ns - self._clock.boot_ns()) / NS_PER_S)):
            now_ns = self._clock.boot_ns()
            if now_ns < due_ns:
                continue
            sink(Trigger("timer", "timer", now_ns))
            due_ns += self._every_ns * max(1, -(-(now_ns - due_ns) // self._every_ns))
