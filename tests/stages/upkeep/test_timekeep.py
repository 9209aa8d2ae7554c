"""True time arrives: what waits is dated by it, what was sent is corrected."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.stages.driver import Bench
from trapd.records import TsQuality
from trapd.stages.upkeep.timekeep import Timekeep
from trapd.store import Session
from trapd.wire import codec

TRUE_MS = 1_790_000_000_000


@pytest.fixture
def session(bench: Bench) -> Iterator[Session]:
    with bench.store.session() as session:
        yield session


@pytest.fixture
def stage(bench: Bench) -> Timekeep:
    bench.clock.set_wall(0)
    bench.clock.set_quality(TsQuality.UNSET)
    return Timekeep(store=bench.store, clock=bench.clock, encode=codec.clock)


def turns(bench: Bench, stage: Timekeep, session: Session, seconds: float) -> None:
    for _ in range(int(seconds / 5)):
        stage._turn(session)
        bench.clock.advance(5.0)


def settle_clock(bench: Bench, wall_ms: int, quality: TsQuality) -> None:
    bench.clock.set_wall(wall_ms)
    bench.clock.set_quality(quality)


def test_when_the_quality_rises_the_next_turn_dates_what_waits(
    bench: Bench, stage: Timekeep, session: Session
) -> None:
    event = bench.kept()
    turns(bench, stage, session, 600)
    settle_clock(bench, TRUE_MS, TsQuality.SYNCED)
    stage._turn(session)
    (found,) = bench.events()
    assert (found.id, found.moment.quality) == (event.id, TsQuality.SYNCED)
    assert TRUE_MS - 700_000 < found.moment.wall_ms < TRUE_MS
    assert json.loads(bench.leaf("clock")[0])["ts_quality"] == "synced"
    turns(bench, stage, session, 600)
    assert len(bench.leaf("clock")) == 1


def test_a_burst_begun_before_and_recorded_after_the_correction_is_dated_too(
    bench: Bench, stage: Timekeep, session: Session
) -> None:
    before = bench.clock.now()
    turns(bench, stage, session, 600)
    settle_clock(bench, TRUE_MS, TsQuality.SYNCED)
    turns(bench, stage, session, 10)
    event = bench.burst()
    with session.database.write() as connection:  # as if it had begun before
        connection.execute("UPDATE event SET wall_ms = ?, ts_quality = 'unset'", (before.wall_ms,))
    turns(bench, stage, session, 10)
    (found,) = bench.events()
    assert found.moment == event.moment


def test_a_jump_is_believed_once_its_quality_is_fresh(
    bench: Bench, stage: Timekeep, session: Session
) -> None:
    settle_clock(bench, TRUE_MS, TsQuality.SYNCED)
    turns(bench, stage, session, 300)
    event = bench.kept()
    # Somebody sets the clock by hand; for some seconds it still counts as synced.
    bench.clock.set_wall(5_000_000_000_000)
    turns(bench, stage, session, 10)
    bench.clock.set_quality(TsQuality.ESTIMATED)
    turns(bench, stage, session, 300)
    assert bench.events()[0].moment == event.moment


def test_a_full_store_is_tried_again(bench: Bench, stage: Timekeep, session: Session) -> None:
    bench.kept()
    settle_clock(bench, TRUE_MS, TsQuality.SYNCED)
    bench.store.faults.guard(session.timeline, "correct", "correct")
    bench.store.faults.make("correct")
    turns(bench, stage, session, 600)
    assert bench.leaf("clock") == []
    bench.store.faults.end()
    stage._turn(session)
    assert len(bench.leaf("clock")) == 1


def test_run_ends_when_told(bench: Bench, stage: Timekeep) -> None:
    stage.stop.set()
    stage.run()
