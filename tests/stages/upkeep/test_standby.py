"""A disk that takes no writes: the unit waits, counts and says why, and goes on when it can."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.sensor import FakeSensor
from tests.stages.driver import Bench
from trapd.errors import CameraLost, StoreCorrupt, StoreError, StoreFull, StoreLocked, StoreUnwritable
from trapd.ports import Sensor
from trapd.records import Refusal
from trapd.stages.capture.absent import AbsentSensor
from trapd.stages.capture.refusals import Refusals
from trapd.stages.upkeep.standby import Standby, may_be_damage
from trapd.store import Store

READ_ONLY = StoreUnwritable("cannot lock: Read-only file system", "look at the disk")


class Disk:
    """Refuses to be opened so many times."""

    def __init__(self, store: Store, clock: FakeClock, errors: list[StoreError]) -> None:
        self.store = store
        self.clock = clock
        self.errors = errors
        self.asked_s: list[float] = []

    def open(self) -> Store:
        self.asked_s.append(self.clock.boot_ns() / 1e9 - 1000)
        if self.errors:
            raise self.errors.pop(0)
        return self.store


class Rig:
    def __init__(
        self, bench: Bench, errors: list[StoreError], sensor: Callable[[], Sensor] | None = None
    ) -> None:
        self.stop = threading.Event()
        self.disk = Disk(bench.store, bench.clock, errors)
        self.sensor = FakeSensor(bench.clock)
        self.refusals = Refusals(bench.clock)
        self.told: list[str] = []
        self.fed = 0
        self.standby = Standby(
            clock=bench.clock,
            refusals=self.refusals,
            sensor=sensor or (lambda: self.sensor),
            tell=self.told.append,
            alive=self.alive,
        )

    @property
    def watched(self) -> bool:
        return self.sensor._sink is not None

    def alive(self) -> None:
        self.fed += 1
        self.sensor.fire()

    def open(self) -> Store | None:
        return self.standby.open(self.disk.open, self.stop)


def test_a_sound_disk_is_opened_at_once(bench: Bench) -> None:
    rig = Rig(bench, [])
    assert rig.open() is bench.store
    assert (rig.told, rig.standby.outage_s(), rig.sensor.started) == ([], None, 0)


@pytest.mark.parametrize("error", [READ_ONLY, StoreFull("no space left", "free some")])
def test_it_tries_again_at_growing_intervals_says_why_and_counts_triggers(
    bench: Bench, error: StoreError
) -> None:
    rig = Rig(bench, [error] * 7)
    assert rig.open() is bench.store
    waits = [round(b - a) for a, b in zip(rig.disk.asked_s, rig.disk.asked_s[1:], strict=False)]
    assert waits == [2, 5, 10, 20, 40, 60, 60]
    assert rig.told == [f"in alert: {error.message}"] * 7
    assert rig.fed >= sum(waits) - 7
    assert (rig.sensor.started, rig.watched) == (1, False)  # Capture starts its own
    rig.refusals.store(bench.session)
    assert bench.refused() == {Refusal.DISK.value: rig.fed}
    outage_s = rig.standby.outage_s()
    assert outage_s is not None
    assert outage_s == pytest.approx(sum(waits), abs=8)
    assert rig.standby.outage_s() is None


def test_trouble_while_it_ran_is_waited_for_first_and_calm_is_forgotten(bench: Bench) -> None:
    rig = Rig(bench, [])
    rig.standby.failed(READ_ONLY)
    rig.open()
    assert rig.disk.asked_s[-1] == pytest.approx(2, abs=0.5)
    rig.standby.failed(READ_ONLY)  # at once again
    rig.open()
    assert rig.disk.asked_s[-1] == pytest.approx(7, abs=0.5)
    bench.clock.advance(700)
    rig.standby.failed(READ_ONLY)
    rig.open()
    assert rig.disk.asked_s[-1] == pytest.approx(709, abs=0.5)


def test_told_to_stop_while_it_waits_it_stops(bench: Bench) -> None:
    rig = Rig(bench, [READ_ONLY] * 1000)
    rig.standby._alive = rig.stop.set
    assert rig.open() is None
    assert not rig.watched


def test_without_a_sensor_it_waits_all_the_same(bench: Bench) -> None:
    rig = Rig(bench, [READ_ONLY], lambda: AbsentSensor("no sensor", "connect one"))
    assert rig.open() is bench.store


def test_what_waiting_does_not_help_against_is_raised(bench: Bench) -> None:
    rig = Rig(bench, [READ_ONLY, StoreLocked("another trapd", "stop it")])
    with pytest.raises(StoreLocked):
        rig.open()
    assert not rig.watched


@pytest.mark.parametrize(
    ("cause", "is_suspect"),
    [
        (StoreCorrupt("the database is damaged"), True),
        (StoreError("no event unit-1-3f9a-000008 in the store"), True),  # an index that says so
        (KeyError("threshold"), True),
        (READ_ONLY, False),
        (StoreFull("no space left"), False),
        (CameraLost("the camera does not work any more"), False),
    ],
)
def test_what_may_be_the_databases_fault_makes_the_next_start_look_closely(
    cause: BaseException, is_suspect: bool
) -> None:
    assert may_be_damage(cause) is is_suspect
