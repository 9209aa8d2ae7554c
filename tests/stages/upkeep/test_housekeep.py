"""Room is made before it is needed; what is not delivered goes last, and is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.store import FLOOR_BYTES, FULL
from tests.stages.driver import Bench
from trapd.errors import StoreCorrupt, StoreError
from trapd.parts import TOMBSTONES
from trapd.records import Event, State, Verdict
from trapd.rules import NS_PER_S
from trapd.stages.upkeep.housekeep import Housekeep
from trapd.store import Session

EMPTY = Verdict("empty", keep=False, score=0.02, model="fake", threshold=0.35)


@pytest.fixture
def session(bench: Bench) -> Iterator[Session]:
    with bench.store.session() as session:
        yield session


def housekeep(bench: Bench) -> Housekeep:
    return Housekeep(store=bench.store, clock=bench.clock, alerts=bench.alerts, tombstones=TOMBSTONES)


def with_files(bench: Bench) -> set[str]:
    return {event.id for event in bench.events() if all(medium.path for medium in event.media)}


def discarded(bench: Bench) -> Event:
    event = bench.burst(frames=1)
    return bench.session.events.settle(event.id, EMPTY)


def delivered(bench: Bench) -> Event:
    event = bench.kept()
    rows = [row.row for row in bench.session.outbox.next(1000, max_bytes=10**9) if row.event_id == event.id]
    bench.session.outbox.acknowledge(rows)
    return event


def test_with_room_nothing_goes(bench: Bench, session: Session) -> None:
    event = discarded(bench)
    assert housekeep(bench)._turn(session) == 5.0
    assert with_files(bench) == {event.id}


def test_discarded_goes_first_then_delivered_then_what_waits(bench: Bench, session: Session) -> None:
    captured, kept = bench.burst(), bench.kept(thumb=True)
    sent, empty = delivered(bench), discarded(bench)
    stage = housekeep(bench)
    # The disk is short until one burst has gone.
    bench.store.space._free_bytes = lambda: 10**9 if len(with_files(bench)) < 4 else 0
    assert stage._turn(session) == 0.0
    assert with_files(bench) == {captured.id, kept.id, sent.id}
    bench.store.space._free_bytes = lambda: 0
    while stage._turn(session) == 0.0:
        pass
    assert with_files(bench) == {captured.id}
    assert {event.id: event.state for event in bench.events()} == {
        captured.id: State.CAPTURED,
        kept.id: State.KEPT,
        sent.id: State.DELIVERED,
        empty.id: State.DISCARDED,
    }


def test_a_long_list_goes_batch_by_batch_with_a_beat_between(bench: Bench, session: Session) -> None:
    for _ in range(60):
        discarded(bench)
    bench.store.free_bytes = 0
    stage = housekeep(bench)
    assert stage._turn(session) == 0.0
    assert len(with_files(bench)) == 10
    assert stage._turn(session) == 0.0
    assert with_files(bench) == set()
    assert stage._turn(session) == 5.0  # nothing left that may go: it waits and does not spin


def test_bursts_that_find_little_room_do_not_wait_for_the_next_look(bench: Bench) -> None:
    """A trigger a second on a full card: what a look makes room for is used up before the next would come."""
    stage = housekeep(bench)
    begin_ns = bench.clock.boot_ns()
    bench.store.space.tight.set()
    stage._rest(5.0)
    assert bench.clock.boot_ns() - begin_ns < NS_PER_S
    bench.store.space.tight.clear()
    stage._rest(5.0)
    assert 5 * NS_PER_S <= bench.clock.boot_ns() - begin_ns < 6 * NS_PER_S


def test_a_stop_does_not_wait_for_the_next_look(bench: Bench) -> None:
    stage = housekeep(bench)
    stage.stop.set()
    begin_ns = bench.clock.boot_ns()
    stage._rest(60.0)
    assert bench.clock.boot_ns() == begin_ns


def test_a_database_that_is_taken_away_ends_the_stage(bench: Bench, session: Session) -> None:
    (bench.store.root / "trapd.db").unlink()
    with pytest.raises(StoreCorrupt, match="removed or replaced"):
        housekeep(bench)._turn(session)


def test_a_full_disk_ends_nothing(bench: Bench, session: Session) -> None:
    bench.store.faults.guard(bench.store.space, "tidy", "tidy")
    bench.store.faults.make("tidy", FULL)
    stage = housekeep(bench)
    assert stage._turn(session) == 0.0  # the reserve is given up
    assert stage._turn(session) == 60.0
    assert not (bench.store.root / "reserve").exists()


@pytest.mark.parametrize("error", [StoreCorrupt("damaged", ""), StoreError("the disk failed", "")])
def test_a_store_that_is_broken_ends_the_stage(bench: Bench, session: Session, error: StoreError) -> None:
    bench.store.faults.make("disk", error)
    with pytest.raises(type(error)):
        housekeep(bench)._turn(session)


def test_run_makes_room_and_ends_when_told(bench: Bench) -> None:
    for _ in range(3):
        discarded(bench)
    bench.store.free_bytes = FLOOR_BYTES
    stage = housekeep(bench)
    begin_ns = bench.clock.boot_ns()
    beat = stage.beat

    def beat_for_a_minute() -> None:
        beat()
        if bench.clock.boot_ns() - begin_ns > 60 * NS_PER_S:
            stage.stop.set()

    stage.beat = beat_for_a_minute  # type: ignore[method-assign]  # called at every turn
    stage.run()
    assert with_files(bench) == set()
