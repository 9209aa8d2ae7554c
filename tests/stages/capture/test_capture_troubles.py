"""Capture when the camera, the disk or the sensor fails, and as a whole on its own thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.classifier import FakeClassifier
from tests.stages.driver import PLAN, Bench, CaptureDriver
from trapd.errors import StoreCorrupt, StoreError
from trapd.records import Refusal, State
from trapd.rules import NS_PER_S
from trapd.stages.base import Stage
from trapd.stages.screen import Screen, ScreenPlan
from trapd.store.sqlite.counters import Counters

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


# --- the camera fails --------------------------------------------------------------------------------------


def test_a_camera_that_does_not_open_is_tried_ever_more_seldom(bench: Bench) -> None:
    with capture(bench, armed=False) as unit:
        unit.camera.fail_open = True
        begin_ns = unit.clock.boot_ns()
        tries = []
        for _ in range(260):
            before = unit.camera.tries
            unit.turn()
            if unit.camera.tries > before:
                tries.append((unit.clock.boot_ns() - begin_ns) // NS_PER_S)
            unit.clock.advance(1.0)
        assert tries == [0, 5, 15, 35, 75, 135, 195, 255]
        assert bench.alerts.names() == ("camera",)
        unit.fire()
        assert bench.refused() == {"camera": 1}

        unit.camera.fail_open = False
        unit.turn(after_s=60.0)
        assert bench.alerts.names() == ()
        unit.fire()
        assert len(bench.events()) == 1


def test_a_camera_that_opens_and_gives_no_frame_has_not_recovered(bench: Bench) -> None:
    with capture(bench, armed=False) as unit:
        unit.camera.fail_probe = True
        unit.turn(100, after_s=1.0)
        assert unit.camera.tries == 5  # at 1, 6, 16, 36 and 76 s
        assert not unit.camera.is_open
        since = bench.leaf("alert/camera")
        unit.turn(100, after_s=1.0)
        assert bench.leaf("alert/camera") == since != []  # raised once, not at every try


def test_a_camera_that_fails_at_the_first_frame_refuses_and_comes_back(
    bench: Bench, unit: CaptureDriver
) -> None:
    unit.camera.fail_shoot_at = 0
    unit.fire()
    assert (bench.events(), bench.files(), bench.refused()) == ([], [], {"camera": 1})
    assert bench.alerts.names() == ("camera",)
    unit.camera.fail_shoot_at = None
    unit.turn(after_s=4.9)
    unit.fire()
    assert bench.refused() == {"camera": 2}
    unit.turn(after_s=0.2)
    unit.fire()
    assert [event.seq for event in bench.events()] == [2]
    assert bench.alerts.names() == ()


def test_a_camera_that_fails_in_mid_burst_leaves_a_shorter_one(bench: Bench, unit: CaptureDriver) -> None:
    unit.camera.fail_shoot_at = 2
    unit.fire()
    (event,) = bench.events()
    assert len(event.media) == len(bench.files()) == 2
    smalls = bench.waiting.take(event.id)
    assert smalls is not None
    assert len(smalls) == 2
    assert bench.refused() == {}
    assert (bench.alerts.names(), unit.camera.is_open) == (("camera",), False)


def test_an_idle_camera_is_looked_at_now_and_then(bench: Bench) -> None:
    with capture(bench, probe_s=100.0) as unit:
        unit.turn(300, after_s=1.0)
        assert unit.camera.probed == 4  # at start, and every 100 s
        unit.camera.fail_probe = True
        unit.turn(100, after_s=1.0)
        assert bench.alerts.names() == ("camera",)
        assert not unit.camera.is_open


# --- the disk fails ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["add", "commit", "record"])
@pytest.mark.parametrize("after", [0, 2])
def test_a_disk_that_fills_up_during_a_burst_leaves_nothing_half_recorded(
    bench: Bench, unit: CaptureDriver, operation: str, after: int
) -> None:
    spared = after if operation == "add" else 0
    bench.store.faults.make(operation, after=spared)
    unit.fire()
    assert bench.store.faults.met[operation] == 1
    assert (bench.events(), bench.files(), bench.refused()) == ([], [], {"disk": 1})
    assert bench.alerts.names() == ("disk",)
    assert bench.waiting.take("ridge-07-0000-000001") is None

    bench.store.faults.end()
    used = bench.store.space.disk().used_bytes
    unit.fire()
    (event,) = bench.events()
    assert sorted(str(medium.path) for medium in event.media) == bench.files()
    assert bench.refused() == {"disk": 1}
    assert bench.store.space.disk().used_bytes >= used + sum(medium.bytes for medium in event.media)


def test_a_disk_that_fails_refuses_and_says_so(bench: Bench, unit: CaptureDriver) -> None:
    bench.store.faults.make("add", StoreError("cannot write photograph 1: Input/output error", "look"))
    unit.fire()
    assert (bench.events(), bench.refused(), bench.alerts.names()) == ([], {"disk": 1}, ("disk",))
    assert b"cannot be written" in bench.leaf("alert/disk")[0]


@pytest.mark.parametrize("operation", ["record", "disk", "count"])
def test_a_damaged_database_ends_the_stage(bench: Bench, unit: CaptureDriver, operation: str) -> None:
    """Start-up sets it aside and begins anew."""
    if operation == "count":
        unit.camera.fail_shoot_at = 0
    bench.store.faults.make(operation, StoreCorrupt("the database is damaged", ""))
    with pytest.raises(StoreCorrupt):
        unit.fire()


def test_an_alert_that_finds_no_room_ends_nothing(bench: Bench, unit: CaptureDriver) -> None:
    bench.store.faults.make("put")
    bench.store.free_bytes = 0
    unit.fire()
    assert (bench.refused(), bench.alerts.names()) == ({"disk": 1}, ())


# --- the sensor fails --------------------------------------------------------------------------------------


def test_a_sensor_that_does_not_start_is_tried_again(bench: Bench) -> None:
    with capture(bench, armed=False) as unit:
        unit.sensor.fail_start = True
        unit.turn(21, after_s=1.0)
        assert (unit.sensor.started, bench.alerts.names()) == (0, ("sensor",))
        unit.sensor.level = True
        unit.turn()
        assert bench.events() == []  # what is not started is not asked
        unit.sensor.fail_start = unit.sensor.level = False
        unit.turn(after_s=10.0)
        assert (unit.sensor.started, bench.alerts.names()) == (1, ())
        unit.fire()
        assert len(bench.events()) == 1


def test_a_sensor_that_dies_is_started_again(bench: Bench, unit: CaptureDriver) -> None:
    unit.sensor.dead = True
    unit.turn(after_s=10.0)
    assert bench.alerts.names() == ("sensor",)
    unit.turn(after_s=10.0)
    assert (unit.sensor.started, bench.alerts.names()) == (2, ())
    unit.fire()
    assert len(bench.events()) == 1


def test_a_sensor_that_lacks_a_pin_goes_on_with_the_others_and_tells(bench: Bench) -> None:
    with capture(bench, armed=False) as unit:
        unit.sensor.lacking = True
        unit.turn()
        assert (unit.sensor.started, bench.alerts.names()) == (1, ("sensor_pin",))
        unit.turn(after_s=10.0)
        unit.fire()
        assert (unit.sensor.started, len(bench.events())) == (1, 1)
        unit.sensor.dead = True
        unit.turn(after_s=10.0)
        assert bench.alerts.names() == ("sensor", "sensor_pin")
        unit.turn(after_s=10.0)
        assert (unit.sensor.started, bench.alerts.names()) == (2, ("sensor_pin",))
        unit.sensor.lacking = False
        unit.turn(after_s=10.0)
        assert (unit.sensor.started, bench.alerts.names()) == (2, ())


# --- the stage as a whole, on its own thread ---------------------------------------------------------------


@contextmanager
def running(stage: Stage) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=stage.run)
    thread.start()
    try:
        yield thread
    finally:
        stage.stop.set()
        thread.join(WITHIN_S)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    """Look until it holds; each look lets the other threads run."""
    end_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < end_s
        threading.Event().wait(0.005)


def test_capture_does_not_wait_for_the_filter(bench: Bench, unit: CaptureDriver) -> None:
    """A model that is still busy with the first burst holds up none of the next."""
    judging, may_go_on = threading.Event(), threading.Event()

    def slow() -> None:
        judging.set()
        assert may_go_on.wait(WITHIN_S)

    classifier = FakeClassifier()
    classifier.judging = slow
    screen = Screen(
        ScreenPlan(None, ("animal",), 0.0, 0, discard_at_once=False),
        classifier=classifier,
        store=bench.store,
        waiting=bench.waiting,
        alerts=bench.alerts,
        clock=bench.clock,
        announce=lambda model: None,
    )
    with running(screen):
        unit.fire()
        assert judging.wait(WITHIN_S)
        unit.fire(20)
        assert [event.state for event in bench.events()] == [State.CAPTURED] * 21
        may_go_on.set()
        until(lambda: all(event.state is State.KEPT for event in bench.events()))
    assert classifier.judged.count("small") + classifier.judged.count("disk") == 63


def test_a_stop_ends_the_burst_with_its_present_frame_and_counts_what_waits(bench: Bench) -> None:
    driver = CaptureDriver(bench, replace(PLAN, frames=100))

    def during(index: int) -> None:
        driver.sensor.fire()
        if index == 3:
            driver.stage.stop.set()

    driver.camera.shooting = during
    with running(driver.stage) as thread:
        until(lambda: driver.sensor.started == 1)
        driver.sensor.fire()
        thread.join(WITHIN_S)
    (event,) = bench.events()
    assert len(event.media) == 4
    assert bench.refused() == {"busy": 4}  # three found the inbox taken, one still stood in it
    assert not driver.camera.is_open
    driver.close()


def test_triggers_from_another_thread_all_leave_a_trace(bench: Bench) -> None:
    driver = CaptureDriver(bench)
    with running(driver.stage):
        until(lambda: driver.sensor.started == 1)
        for _ in range(300):
            driver.sensor.fire()
    assert len(bench.events()) + bench.refused().get("busy", 0) == 300
    driver.close()


def test_a_storm_of_triggers_writes_once_a_second_and_loses_no_count(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pin that hums would wear the card out, and fill the journal, for weeks."""
    written: list[int] = []
    add = Counters.add

    def noted(self: Counters, name: str, by: int = 1) -> None:
        written.append(by)
        add(self, name, by)

    monkeypatch.setattr(Counters, "add", noted)
    caplog.set_level(logging.INFO)
    driver = CaptureDriver(bench, replace(PLAN, max_per_hour=1, while_active=False))
    driver.turn()
    for _ in range(3000):
        driver.clock.advance(0.001)
        driver.fire()
    assert len(written) <= 4
    assert [record.args for record in caplog.records if "refused" in record.msg] == [(1, "rate")]
    driver.turn(after_s=60.0)
    assert caplog.text.count("refused: rate") == 2
    driver.stage.stop.set()
    driver.stage.run()
    assert (bench.refused(), sum(written)) == ({"rate": 2999}, 2999)
    driver.close()


def test_the_reasons_are_those_of_the_contract() -> None:
    assert {why.value for why in Refusal} == {
        "busy", "cooldown", "rate", "disk", "camera", "disarmed", "warmup", "stuck",
    }  # fmt: skip
