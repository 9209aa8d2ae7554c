"""A trigger becomes a burst or a counted refusal; a sensor that stays active."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.store import FULL
from tests.stages.driver import CONFIG, PLAN, Bench, CaptureDriver
from trapd.errors import StoreError
from trapd.records import State, Trigger

WITHIN_S = 20.0


@contextmanager
def capture(bench: Bench, *, armed: bool = True, **plan: Any) -> Iterator[CaptureDriver]:
    """A Capture of another plan."""
    driver = CaptureDriver(bench, replace(PLAN, **plan))
    try:
        if armed:
            driver.turn()
        yield driver
    finally:
        driver.close()


# --- a burst -----------------------------------------------------------------------------------------------


def test_a_trigger_becomes_a_burst_on_disk_and_a_captured_event(bench: Bench, unit: CaptureDriver) -> None:
    at = bench.clock.now()
    unit.fire()
    (event,) = bench.events()
    assert (event.state, event.seq, event.verdict, event.n) == (State.CAPTURED, 1, None, None)
    assert (event.trigger, event.config, event.env) == (
        Trigger("pir", "17", at.boot_ns),
        CONFIG,
        {"cpu_c": 31.0},
    )
    assert event.moment == at
    assert len(event.media) == 3
    for medium in event.media:
        data = bench.store.read(medium)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (medium.bytes, medium.sha256)
    assert sorted(str(medium.path) for medium in event.media) == bench.files()
    assert bench.refused() == {}


def test_the_small_frames_wait_in_memory_and_screen_is_told(bench: Bench, unit: CaptureDriver) -> None:
    unit.fire()
    assert bench.waiting.news.is_set()
    smalls = bench.waiting.take(bench.events()[0].id)
    assert smalls is not None
    assert [frame.data[0] for frame in smalls] == [1, 2, 3]


def test_a_camera_without_small_frames_leaves_the_disk_to_screen(bench: Bench, unit: CaptureDriver) -> None:
    unit.camera.with_small = False
    unit.fire()
    assert bench.waiting.take(bench.events()[0].id) is None
    assert bench.waiting.news.is_set()


def test_each_trigger_is_a_burst_of_its_own_in_order(bench: Bench, unit: CaptureDriver) -> None:
    unit.fire(4)
    assert [event.seq for event in bench.events()] == [1, 2, 3, 4]
    assert len({medium.sha256 for event in bench.events() for medium in event.media}) == 12


def test_a_frame_that_is_no_photograph_is_left_out(bench: Bench, unit: CaptureDriver) -> None:
    """And so is its small copy: frame and small frame keep one number."""
    unit.camera.no_jpeg = frozenset({1})
    unit.fire()
    (event,) = bench.events()
    assert [medium.id[-1] for medium in event.media] == ["0", "1"]
    smalls = bench.waiting.take(event.id)
    assert smalls is not None
    assert [frame.data[0] for frame in smalls] == [1, 3]
    assert bench.session.counters.all() == {"photographs_bad": 1}


def test_what_the_camera_passed_over_is_counted_once(bench: Bench, unit: CaptureDriver) -> None:
    unit.camera.passed_over = 2
    bench.store.faults.make("count", FULL)
    unit.turn()
    assert bench.session.counters.all() == {}  # no room: not forgotten
    bench.store.faults.end()
    unit.turn(3)
    assert bench.session.counters.all() == {"photographs_passed_over": 2}
    unit.camera.passed_over = 3
    unit.turn(3)
    assert bench.session.counters.all() == {"photographs_passed_over": 3}


def test_what_lies_in_the_folder_is_not_counted_again_at_each_start(bench: Bench) -> None:
    for found in (3, 3, 1):  # two of them were removed at last
        unit = CaptureDriver(bench)
        unit.turn()
        unit.camera.passed_over = found
        unit.turn(2)
        assert bench.session.counters.all() == {"photographs_passed_over": found}
        unit.close()


def test_a_burst_without_any_photograph_is_a_refusal(bench: Bench, unit: CaptureDriver) -> None:
    unit.camera.no_jpeg = frozenset({0, 1, 2})
    unit.fire()
    assert (bench.events(), bench.files(), bench.refused()) == ([], [], {"camera": 1})
    assert bench.alerts.names() == ("camera",)


# --- refusals ----------------------------------------------------------------------------------------------


def test_the_cool_down_begins_when_the_burst_has_ended(bench: Bench) -> None:
    with capture(bench, cooldown_s=10.0, while_active=False) as unit:
        unit.camera.frame_s = 5.0
        unit.fire()  # ends 15 s later
        unit.clock.advance(9.0)
        unit.fire()
        assert bench.refused() == {"cooldown": 1}
        unit.clock.advance(1.0)
        unit.fire()
        assert len(bench.events()) == 2
        assert bench.refused() == {"cooldown": 1}


def test_the_rate_limit_counts_an_hour_back(bench: Bench) -> None:
    with capture(bench, max_per_hour=2, while_active=False) as unit:
        unit.fire(3)
        assert bench.refused() == {"rate": 1}
        unit.clock.advance(3600.0)
        unit.fire(1)
        assert (len(bench.events()), bench.refused()) == (3, {"rate": 1})


def test_one_trigger_waits_while_a_burst_is_taken_and_more_are_busy(
    bench: Bench, unit: CaptureDriver
) -> None:
    unit.camera.shooting = lambda index: unit.sensor.fire()
    unit.fire()
    unit.camera.shooting = lambda index: None
    assert bench.refused() == {"busy": 2}
    unit.turn()
    assert (len(bench.events()), bench.refused()) == (2, {"busy": 2})


def test_a_full_card_refuses_before_the_camera_is_asked(bench: Bench, unit: CaptureDriver) -> None:
    bench.store.free_bytes = 1_500_000  # less than a burst above the floor
    unit.fire(2)
    unit.turn(after_s=1.0)
    assert (unit.camera.shot, bench.events(), bench.refused()) == (0, [], {"disk": 2})
    assert bench.alerts.names() == ("disk",)
    bench.store.free_bytes = 10**9
    unit.fire()
    assert (len(bench.events()), bench.refused()) == (1, {"disk": 2})
    assert bench.alerts.names() == ("disk",)  # Housekeep clears it, an hour later


def test_a_disk_that_does_not_answer_refuses(bench: Bench, unit: CaptureDriver) -> None:
    bench.store.faults.make("disk", StoreError("cannot look at the disk", "is it there?"))
    unit.fire()
    assert (bench.events(), bench.refused(), bench.alerts.names()) == ([], {"disk": 1}, ("disk",))


def test_the_room_asked_for_follows_the_size_of_photographs(bench: Bench, unit: CaptureDriver) -> None:
    """The first guess is large; what a burst really took is the next one's measure."""
    unit.fire()
    bench.store.free_bytes = 1_100_000  # room for small photographs above the floor of 1 MB
    unit.fire()
    assert (len(bench.events()), bench.refused()) == (2, {})


def test_refusals_add_up_while_the_store_is_full_and_are_counted_after(
    bench: Bench, unit: CaptureDriver
) -> None:
    bench.store.faults.make("count")
    bench.store.free_bytes = 0
    unit.fire(5)
    assert bench.refused() == {}
    assert bench.store.faults.met["count"] == 1  # not tried again at every turn
    bench.store.faults.end()
    unit.turn(after_s=6.0)
    assert bench.refused() == {"disk": 5}


def test_a_failed_burst_costs_neither_quota_nor_cool_down(bench: Bench) -> None:
    with capture(bench, max_per_hour=1, cooldown_s=60.0, while_active=False) as unit:
        unit.camera.fail_shoot_at = 0
        unit.fire()
        unit.camera.fail_shoot_at = None
        unit.turn(after_s=6.0)
        unit.fire()
        assert (len(bench.events()), bench.refused()) == (1, {"camera": 1})


# --- a sensor that stays active ----------------------------------------------------------------------------


def test_a_sensor_still_active_fires_again_until_it_is_quiet(bench: Bench, unit: CaptureDriver) -> None:
    unit.sensor.level = True
    unit.fire()
    unit.turn(2)
    assert len(bench.events()) == 3
    unit.sensor.level = False
    unit.turn(3)
    assert (len(bench.events()), bench.refused()) == (3, {})


def test_without_while_active_the_level_is_nothing(bench: Bench) -> None:
    with capture(bench, while_active=False) as unit:
        unit.sensor.level = True
        unit.fire()
        unit.turn(3)
        assert len(bench.events()) == 1


def test_a_level_at_start_is_a_trigger(bench: Bench, unit: CaptureDriver) -> None:
    """A pin that is high already gives no edge."""
    unit.sensor.level = True
    unit.turn()
    assert len(bench.events()) == 1


@pytest.mark.parametrize("plan", [{"cooldown_s": 100.0}, {"max_per_hour": 1}])
def test_a_level_that_the_gate_refuses_is_not_counted(bench: Bench, plan: dict[str, Any]) -> None:
    with capture(bench, **plan) as unit:
        unit.sensor.level = True
        unit.fire()
        unit.turn(20)
        assert (len(bench.events()), bench.refused()) == (1, {})
        unit.fire()
        assert sum(bench.refused().values()) == 1


def test_a_level_without_a_camera_or_room_is_counted_once_for_its_edge(
    bench: Bench, unit: CaptureDriver
) -> None:
    unit.sensor.level = True
    bench.store.free_bytes = 0
    unit.fire()
    unit.turn(50, after_s=0.2)
    assert bench.refused() == {"disk": 1}
    bench.store.free_bytes = 10**9
    unit.turn(after_s=6.0)
    assert len(bench.events()) == 1
    unit.camera.fail_open = True
    unit.camera.fail_shoot_at = 0
    unit.turn(50, after_s=0.2)
    assert bench.refused() == {"disk": 1, "camera": 1}
    assert unit.camera.shot == 2


def test_a_level_does_not_shoot_on_and_on_at_a_disk_that_refuses(bench: Bench, unit: CaptureDriver) -> None:
    bench.store.faults.make("commit")
    unit.sensor.level = True
    unit.turn(50, after_s=0.1)
    assert unit.camera.shot <= 2
