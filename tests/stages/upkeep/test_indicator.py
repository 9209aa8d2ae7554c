"""What the LED shows, and that nobody waits for it."""

from __future__ import annotations

import logging

import pytest

from tests.fakes.clock import FakeClock
from trapd.errors import SensorUnavailable
from trapd.stages.upkeep.indicator import FAULTS, Indicator, Sight

WELL = Sight(taking=False, armed=True, online=True)


class FakeLamp:
    """The Lamp port. `fails`: what it does instead of lighting. Notes each change with its time."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.fails: Exception | None = None
        self.changes: list[tuple[float, bool]] = []
        self.tries = 0
        self.closed = 0

    def light(self, on: bool) -> None:
        self.tries += 1
        if self.fails is not None:
            raise self.fails
        self.changes.append((self._clock.boot_ns() / 1e9, on))

    def close(self) -> None:
        self.closed += 1


class Site:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.lamp = FakeLamp(self.clock)
        self.sight = WELL
        self.stage = Indicator(lamp=self.lamp, see=lambda: self.sight, clock=self.clock)

    def go_on(self, seconds: float) -> int:
        """How often it was lit meanwhile."""
        before, end_ns = len(self.lamp.changes), self.clock.boot_ns() + int(seconds * 1e9)
        while self.clock.boot_ns() < end_ns:
            self.stage._turn()
            self.clock.advance(0.2)
        return sum(on for _, on in self.lamp.changes[before:])


@pytest.mark.parametrize(
    ("sight", "flashes"),
    [
        (WELL, 1),
        (Sight(taking=False, armed=True, online=False), 2),
        (Sight(taking=False, armed=True, online=True, alerts=("camera",)), 3),
        (Sight(taking=False, armed=True, online=False, alerts=("link", "sensor")), 3),
        (Sight(taking=False, armed=True, online=True, alerts=("config",)), 1),
        (Sight(taking=False, armed=False, online=True), 0),
    ],
)
def test_so_many_flashes_in_ten_seconds(sight: Sight, flashes: int) -> None:
    site = Site()
    site.sight = sight
    assert site.go_on(9.9) == flashes
    assert site.go_on(40) in (4 * flashes, 3 * flashes)


def test_it_is_dark_nearly_all_the_time() -> None:
    site = Site()
    site.go_on(600)
    lit = sum(
        off - on
        for (on, is_on), (off, _) in zip(site.lamp.changes, site.lamp.changes[1:], strict=False)
        if is_on
    )
    assert lit < 600 * 0.01


def test_it_is_lit_for_as_long_as_a_burst_is_taken() -> None:
    site = Site()
    site.go_on(1)
    site.lamp.changes.clear()
    site.sight = Sight(taking=True, armed=True, online=True)
    site.go_on(30)
    assert [on for _, on in site.lamp.changes] == [True]
    site.sight = WELL
    site.stage._turn()
    assert site.lamp.changes[1][1] is False


def test_a_burst_that_was_over_between_two_looks_is_seen() -> None:
    site = Site()
    site.go_on(1)
    site.lamp.changes.clear()
    site.sight = Sight(taking=False, armed=True, online=True, bursts=1)
    site.go_on(3)
    ((on, is_on), (off, is_off)) = site.lamp.changes
    assert (is_on, is_off) == (True, False)
    assert off - on == pytest.approx(0.2)


def test_an_led_that_fails_is_said_once_and_tried_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.lamp.fails = SensorUnavailable("pin 27 is in use", "end the other program")
    with caplog.at_level(logging.WARNING):
        site.go_on(3600)
    assert 50 <= site.lamp.tries <= 61
    assert caplog.text.count("pin 27 is in use") == 1
    site.lamp.fails = None
    assert site.go_on(120) > 5


def test_it_is_dark_when_the_stage_ends() -> None:
    site = Site()
    site.stage.stop.set()
    site.stage.run()
    assert site.lamp.closed == 1


def test_what_counts_as_a_fault_is_an_alert_that_is_raised_somewhere() -> None:
    from tests.test_operating_page import RAISED, ROOT

    raised = {name for file in (ROOT / "trapd").rglob("*.py") for name in RAISED.findall(file.read_text())}
    assert raised >= FAULTS
