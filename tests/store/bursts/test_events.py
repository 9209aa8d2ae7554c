from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, CONFIG, EMPTY, capture, keep, running
from trapd.errors import StoreError
from trapd.records import Kind, State, Trigger, Verdict
from trapd.store.bursts.event_rows import SELECT


def test_a_recorded_burst_is_read_back_as_it_was(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)

        assert session.events.get(event.id) == event
        assert event.id == f"unit-1-{store.epoch}-000001"
        assert event.state is State.CAPTURED
        assert event.n is None
        assert event.trigger == Trigger("pir", "17", event.moment.boot_ns)
        assert [medium.id for medium in event.media] == [f"{event.id}-{frame}" for frame in range(3)]
        assert event.env == {"cpu_c": 31.2}


def test_kept_events_are_numbered_without_a_gap_and_discarded_ones_not_at_all(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        events = [capture(store, session, clock, frames=1) for _ in range(6)]
        settled = [
            session.events.settle(event.id, EMPTY if event.seq % 3 == 0 else ANIMAL) for event in events
        ]

        assert [event.n for event in settled] == [1, 2, None, 3, 4, None]
        assert [event.state for event in settled] == [
            State.DISCARDED if event.n is None else State.KEPT for event in settled
        ]
        assert [session.events.get(event.id) for event in settled] == settled


def test_a_verdict_is_stored_whole_also_for_a_discarded_burst(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        first, second = capture(store, session, clock), capture(store, session, clock)
        session.events.settle(first.id, ANIMAL)
        session.events.settle(second.id, EMPTY)

        found = [session.events.get(event.id) for event in (first, second)]
        assert [event.verdict if event else None for event in found] == [ANIMAL, EMPTY]


def test_an_audit_sample_is_published_as_empty(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)
        sample = session.events.settle(event.id, Verdict("empty", keep=True, audit=True, score=0.1))

        assert (sample.state, sample.n) == (State.KEPT, 1)
        found = session.events.get(event.id)
        assert found is not None
        assert found.verdict is not None
        assert found.verdict.audit


def test_settling_queues_event_and_thumbnail_and_a_discarded_burst_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        kept = keep(store, session, capture(store, session, clock))
        session.events.settle(capture(store, session, clock).id, EMPTY)

        event, thumb = session.outbox.next(10, max_bytes=10**9)
        assert (event.kind, event.leaf, event.event_id) == (Kind.EVENT, "event", kept.id)
        assert (thumb.kind, thumb.leaf, thumb.event_id) == (Kind.THUMB, f"thumb/{kept.id}", kept.id)
        assert event.payload is thumb.payload is None
        assert kept.thumb is not None
        assert thumb.bytes == kept.thumb[1]


def test_settling_twice_changes_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)
        first = session.events.settle(event.id, ANIMAL)

        assert session.events.settle(event.id, EMPTY) == first
        assert session.outbox.depth() == {"event": 1}


def test_an_unknown_event_cannot_be_settled(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session), pytest.raises(StoreError, match="no event unit-1-0000-000001"):
        session.events.settle("unit-1-0000-000001", ANIMAL)


def test_a_number_is_recorded_once_only(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)
        with pytest.raises(StoreError):
            session.events.record(
                seq=event.seq, moment=event.moment, trigger=event.trigger, media=(), config=CONFIG, env={}
            )
        assert session.events.totals()["bursts"] == 1


def test_bursts_are_judged_in_the_order_of_recording_whatever_the_clock_does(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        ids = []
        for jump_ms in (0, -10 * 365 * 86_400_000, 10 * 365 * 86_400_000, 5):
            clock.set_wall(1_700_000_000_000 + jump_ms)
            ids.append(capture(store, session, clock, frames=1).id)

        judged = []
        while event := session.events.oldest_captured():
            judged.append(event.id)
            session.events.settle(event.id, EMPTY)
        assert judged == ids


def test_totals_follow_every_change(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        assert session.events.totals() == {
            "captured": 0,
            "kept": 0,
            "discarded": 0,
            "delivered": 0,
            "bursts": 0,
        }
        kept = [capture(store, session, clock, frames=1) for _ in range(4)]
        session.events.settle(kept[0].id, ANIMAL)
        session.events.settle(kept[1].id, EMPTY)
        session.events.settle(kept[2].id, ANIMAL)
        session.outbox.acknowledge([session.outbox.next(1, max_bytes=1)[0].row])

        assert session.events.totals() == {
            "captured": 1,
            "kept": 1,
            "discarded": 1,
            "delivered": 1,
            "bursts": 4,
        }
        assert session.events.captured_count() == 1


def test_pages_give_every_event_once_in_order(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        events = [capture(store, session, clock, frames=1) for _ in range(7)]
        for event in events[:5]:
            session.events.settle(event.id, ANIMAL if event.seq % 2 else EMPTY)
        ids = [event.id for event in events]

        seen: list[str] = []
        while page := session.events.page(limit=3, after=seen[-1] if seen else None):
            seen += [event.id for event in page]
        assert seen == ids
        assert [event.id for event in session.events.page(limit=2, newest_first=True)] == ids[:-3:-1]
        assert [e.id for e in session.events.page(limit=2, newest_first=True, after=ids[2])] == ids[1::-1]
        assert [e.seq for e in session.events.page(verdict="animal")] == [1, 3, 5]
        since = events[4].moment.wall_ms
        assert [e.seq for e in session.events.page(since_wall_ms=since)] == [5, 6, 7]
        assert session.events.page(since_wall_ms=since, verdict="animal", limit=1)[0].seq == 5
        newest = session.events.newest()
        assert newest is not None
        assert newest.id == ids[-1]
        with pytest.raises(StoreError, match="no event"):
            session.events.page(after="nothing")


def test_a_page_looks_beyond_its_first_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trapd.store.bursts.events._SLICE", 3)
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        events = [capture(store, session, clock, frames=1) for _ in range(10)]
        session.events.settle(events[-1].id, ANIMAL)

        assert [event.seq for event in session.events.page(verdict="animal")] == [10]
        assert len(session.events.page(limit=8)) == 8


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (f"{SELECT} WHERE event.state = 'captured' ORDER BY event.row LIMIT 1", "event_captured"),
        (f"{SELECT} ORDER BY event.row DESC LIMIT 1", "SCAN event"),
        ("SELECT 1 FROM outbox WHERE event = 7", "outbox_of_event"),
        (
            "SELECT row FROM outbox WHERE priority = 1 AND kind = 'state' AND awaits = 0"
            " ORDER BY row LIMIT 9",
            "outbox_next",
        ),
        (
            "SELECT row FROM event WHERE has_files = 1 AND state = 'x' ORDER BY row LIMIT 9",
            "event_with_files",
        ),
        ("SELECT path FROM medium WHERE evicted = 0", "medium_on_disk"),
        ("SELECT max(seq) FROM event WHERE epoch = 'abcd'", "sqlite_autoindex_event_2"),
    ],
)
def test_hot_queries_walk_an_index_and_sort_nothing(tmp_path: Path, query: str, index: str) -> None:
    with running(tmp_path) as (_, session):
        plan = " | ".join(row["detail"] for row in session.database.all(f"EXPLAIN QUERY PLAN {query}"))

    assert index in plan
    assert "TEMP B-TREE" not in plan
