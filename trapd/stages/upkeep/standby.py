"""Standing by: what the unit does while its disk takes no writes. Main thread.

A disk that is full to the last byte, read-only or failing is no reason to end: the service manager would only
start the same again. The unit stays up, says why, counts the triggers, and opens the store when it can.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from trapd.errors import SensorUnavailable, StoreError, StoreFull, StoreUnwritable, TrapdError
from trapd.ports import Clock, Sensor
from trapd.records import Refusal, Trigger
from trapd.rules import NS_PER_S
from trapd.stages.capture.refusals import Refusals
from trapd.store import Store

log = logging.getLogger("trapd.standby")

DISK_TROUBLE = (StoreFull, StoreUnwritable)
"""What waiting may help against."""

_DELAYS_S = (2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
_LOOK_S = 1.0
_CALM_S = 600.0  # so long without trouble: the next one is a new one


def may_be_damage(cause: BaseException | None) -> bool:
    """Whether the database may be why a stage ended: damaged, or with a row that says what nobody wrote.

    The next start then looks closely, which costs time only. Else the same row would end every process.
    """
    if isinstance(cause, StoreError):
        return not isinstance(cause, DISK_TROUBLE)
    return not isinstance(cause, TrapdError)


class Standby:
    """`tell` gets one line on what is waited for; `alive` is called every second of waiting."""

    def __init__(
        self,
        *,
        clock: Clock,
        refusals: Refusals,
        sensor: Callable[[], Sensor],
        tell: Callable[[str], None],
        alive: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._refusals = refusals
        self._sensor = sensor
        self._tell = tell
        self._alive = alive
        self._failures = 0
        self._trouble: StoreError | None = None
        self._last_ns = 0
        self._began_ns: int | None = None

    def failed(self, error: StoreError) -> None:
        """The disk has refused: what is opened next waits first."""
        now_ns = self._clock.boot_ns()
        if now_ns - self._last_ns > _CALM_S * NS_PER_S:
            self._failures = 0
        self._last_ns = now_ns
        if self._began_ns is None:
            self._began_ns = now_ns
        self._trouble = error

    def open(self, open_store: Callable[[], Store], stop: threading.Event) -> Store | None:
        """The store, as soon as the disk lets it be opened; None when `stop` came first.

        Raises what else opening it raises.
        """
        sensor: Sensor | None = None
        try:
            while not stop.is_set():
                if self._trouble is not None:
                    sensor = sensor or self._watch()
                    self._pause(self._trouble, stop)
                    self._trouble = None
                    continue
                try:
                    return open_store()
                except DISK_TROUBLE as error:
                    self.failed(error)
        finally:
            if sensor is not None:
                sensor.close()
        return None

    def outage_s(self) -> float | None:
        """How long there was no store, told once; None without an outage."""
        began_ns, self._began_ns = self._began_ns, None
        return None if began_ns is None else (self._clock.boot_ns() - began_ns) / NS_PER_S

    def _watch(self) -> Sensor | None:
        sensor = self._sensor()
        try:
            sensor.start(self._refuse)
        except SensorUnavailable as error:
            log.warning("triggers are not counted meanwhile: %s", error)
            sensor.close()
            return None
        return sensor

    def _refuse(self, trigger: Trigger) -> None:  # noqa: ARG002 - the sensor's sink
        self._refusals.add(Refusal.DISK)

    def _pause(self, trouble: StoreError, stop: threading.Event) -> None:
        delay_s = _DELAYS_S[min(self._failures, len(_DELAYS_S) - 1)]
        self._failures += 1
        log.error("no store: %s; triggers are counted, next try in %.0f s", trouble, delay_s)
        self._tell(f"in alert: {trouble.message}")
        end_ns = self._clock.boot_ns() + int(delay_s * NS_PER_S)
        while self._clock.boot_ns() < end_ns and not self._clock.wait(stop, _LOOK_S):
            self._alive()
