"""A sensor that a test fires by hand."""

from __future__ import annotations

from collections.abc import Callable

from tests.fakes.clock import FakeClock
from trapd.errors import SensorUnavailable
from trapd.records import Activity, Trigger


class FakeSensor:
    """The Sensor port. Knobs: `level`, `fail_start`, `dead`, `lacking` (one of its pins).

    `started` counts starts.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._sink: Callable[[Trigger], None] | None = None
        self._since_ns: int | None = None
        self.level = False
        self.fail_start = False
        self.dead = False
        self.lacking = False
        self.started = 0

    def start(self, sink: Callable[[Trigger], None]) -> None:
        if self.fail_start:
            raise SensorUnavailable("pin 17 is taken", "another program uses it")
        self.dead = False
        self.started += 1
        self._sink = sink

    def fire(self) -> None:
        """An edge."""
        if self._sink is not None:
            self._sink(Trigger("pir", "17", self._clock.boot_ns()))

    def active(self) -> tuple[Activity, ...]:
        """Of `level`, since the first look that found it."""
        now_ns = self._clock.boot_ns()
        self._since_ns = (self._since_ns or now_ns) if self.level else None
        return (Activity(Trigger("pir", "17", now_ns), self._since_ns),) if self._since_ns else ()

    def check(self) -> None:
        if self.dead or self._sink is None:
            raise SensorUnavailable("the pin gives no edges any more", "")
        if self.lacking:
            raise SensorUnavailable("pin 27 is taken; the other pins go on", "", partly=True)

    def close(self) -> None:
        self._sink = None
