"""A sensor that is warming up or stuck: what is refused, what is taken all the same, and when it is over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tests.stages.driver import PLAN, Bench, CaptureDriver
from trapd.records import Trigger
from trapd.stages.capture.doubt import Judged
from trapd.stages.capture.orders import REMOTE

BOOTED_S = 1000.0  # the fake clock's at start


@contextmanager
def capture(bench: Bench, **plan: Any) -> Iterator[CaptureDriver]:
    driver = CaptureDriver(bench, replace(PLAN, frames=1, **plan))
    try:
        driver.turn()
        yield driver
    finally:
        driver.close()


class Hours:
    """A unit whose sensor stays active, and whose filter judges at once."""

    def __init__(self, bench: Bench, unit: CaptureDriver) -> None:
        self.bench, self.unit = bench, unit

    def go_on(self, seconds: float, *, step_s: float = 20.0, keeps_up: bool = True) -> int:
        """Let time pass; how many bursts there were."""
        before = len(self.bench.events())
        for _ in range(int(seconds / step_s)):
            if keeps_up:
                self.unit.judged = replace(self.unit.judged, caught_up_ns=self.bench.clock.boot_ns())
            self.unit.turn(after_s=step_s)
        return len(self.bench.events()) - before

    def keep(self) -> None:
        """The filter finds something."""
        self.unit.judged = replace(self.unit.judged, kept_ns=self.bench.clock.boot_ns())


# --- warm-up -----------------------------------------------------------------------------------------------


def test_until_it_is_warm_a_trigger_is_refused_and_counted(bench: Bench) -> None:
    with capture(bench, warmup_s=BOOTED_S + 60, while_active=False) as unit:
        unit.fire(2)
        unit.turn(after_s=1.0)
        assert (bench.events(), bench.refused()) == ([], {"warmup": 2})
        unit.clock.advance(60)
        unit.fire()
        assert (len(bench.events()), bench.refused()) == (1, {"warmup": 2})


def test_warm_up_counts_from_boot_and_not_from_the_daemons_start(bench: Bench) -> None:
    """The sensor had its power all along: a restart makes nobody blind."""
    with capture(bench, warmup_s=60.0) as unit:
        unit.fire()
        assert (len(bench.events()), bench.refused()) == (1, {})


def test_a_level_that_outlasts_the_warm_up_triggers_then(bench: Bench) -> None:
    with capture(bench, warmup_s=BOOTED_S + 60) as unit:
        unit.sensor.level = True
        unit.turn(5, after_s=1)
        assert (bench.events(), bench.refused()) == ([], {})
        unit.turn(after_s=60)
        assert len(bench.events()) == 1


def test_the_operators_burst_waits_for_no_warm_up(bench: Bench) -> None:
    with capture(bench, warmup_s=BOOTED_S + 60) as unit:
        unit.stage._orders.ask(Trigger(REMOTE, "operator", bench.clock.boot_ns()))
        unit.turn()
        assert len(bench.events()) == 1


# --- stuck -------------------------------------------------------------------------------------------------


def test_active_for_long_with_nothing_kept_is_an_alert_and_one_burst_an_hour(bench: Bench) -> None:
    with capture(bench, stuck_s=600.0, max_per_hour=10**6) as unit:
        hours = Hours(bench, unit)
        unit.sensor.level = True
        assert hours.go_on(580) == 29
        assert bench.alerts.names() == ()
        hours.go_on(60)
        assert bench.alerts.names() == ("sensor_stuck",)
        told = json.loads(bench.leaf("alert/sensor_stuck")[-1])
        assert told["message"].startswith("sensor 17 stays active")
        assert hours.go_on(3500) == 0
        assert hours.go_on(3600) == 1
        assert hours.go_on(7200) == 2
        assert bench.refused() == {}  # a level is no new trigger


def test_one_that_is_freed_is_believed_at_once_and_the_alert_ends(bench: Bench) -> None:
    with capture(bench, stuck_s=600.0, max_per_hour=10**6) as unit:
        hours = Hours(bench, unit)
        unit.sensor.level = True
        hours.go_on(700)
        unit.sensor.level = False
        hours.go_on(20)
        assert bench.alerts.names() == ("sensor_stuck",)  # it may be flickering
        unit.fire()
        assert bench.refused() == {}
        hours.go_on(80)
        assert bench.alerts.names() == ()


def test_edges_of_a_stuck_sensor_are_refused_and_counted(bench: Bench) -> None:
    """A loose contact flickers."""
    with capture(bench, stuck_s=600.0, max_per_hour=10**6) as unit:
        hours = Hours(bench, unit)
        unit.sensor.level = True
        hours.go_on(700)
        before = len(bench.events())
        unit.fire(3)
        unit.turn(after_s=1.0)
        assert (bench.refused(), len(bench.events())) == ({"stuck": 3}, before)
        unit.clock.advance(3600)
        unit.judged = Judged(bench.clock.boot_ns())
        unit.fire(2)
        assert (bench.refused(), len(bench.events())) == ({"stuck": 4}, before + 1)


def test_another_sensors_trigger_is_believed_beside_a_stuck_one(bench: Bench) -> None:
    with capture(bench, stuck_s=600.0, max_per_hour=10**6) as unit:
        hours = Hours(bench, unit)
        unit.sensor.level = True
        hours.go_on(700)
        before = len(bench.events())
        unit.stage.offer(Trigger("pir", "22", bench.clock.boot_ns()))
        unit.turn()
        assert (len(bench.events()), bench.refused()) == (before + 1, {})


def test_something_kept_speaks_for_the_sensor(bench: Bench) -> None:
    """The mother stays at the water: ten minutes are nothing."""
    with capture(bench, stuck_s=600.0, max_per_hour=10**6) as unit:
        hours = Hours(bench, unit)
        unit.sensor.level = True
        for _ in range(4):
            hours.go_on(500)
            hours.keep()
        assert bench.alerts.names() == ()
        hours.go_on(650)
        assert bench.alerts.names() == ("sensor_stuck",)
        hours.keep()
        assert hours.go_on(500) == 25


def test_while_the_filter_is_behind_nobody_knows_and_every_burst_is_taken(bench: Bench) -> None:
    with capture(bench, stuck_s=600.0, max_per_hour=10**6) as unit:
        hours = Hours(bench, unit)
        unit.sensor.level = True
        assert hours.go_on(3600, keeps_up=False) == 180
        assert bench.alerts.names() == ()
        hours.go_on(20)
        assert bench.alerts.names() == ("sensor_stuck",)


def test_a_stuck_sensor_is_told_where_the_level_does_not_trigger_too(bench: Bench) -> None:
    with capture(bench, stuck_s=600.0, while_active=False) as unit:
        hours = Hours(bench, unit)
        unit.sensor.level = True
        assert hours.go_on(580) == 0
        assert hours.go_on(60) == 1
        assert bench.alerts.names() == ("sensor_stuck",)
        assert hours.go_on(3500) == 0
        assert hours.go_on(200) == 1


def test_a_timer_is_never_stuck(bench: Bench) -> None:
    with capture(bench, stuck_s=None, max_per_hour=10**6) as unit:
        hours = Hours(bench, unit)
        unit.sensor.level = True
        assert hours.go_on(1000) == 50


def test_the_time_of_warming_up_does_not_make_it_stuck(bench: Bench) -> None:
    with capture(bench, stuck_s=600.0, warmup_s=BOOTED_S + 500, max_per_hour=10**6) as unit:
        hours = Hours(bench, unit)
        unit.sensor.level = True
        hours.go_on(1000)
        assert bench.alerts.names() == ()
        hours.go_on(120)
        assert bench.alerts.names() == ("sensor_stuck",)
