import sqlite3
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import EMPTY, capture, files_below, jpeg, keep, open_store, rows, running
from trapd.errors import StoreFull
from trapd.records import Event, Kind
from trapd.store import Session, Space, Store
from trapd.store.files.durable import tree_bytes
from trapd.store.room import eviction

PHOTOGRAPH = jpeg(640, 480, quality=95)


def on_disk(root: Path, event: Event) -> int:
    return sum((root / medium.path).exists() for medium in event.media if medium.path)


def deliver(session: Session) -> None:
    session.outbox.acknowledge(rows(session))


def space_of(
    root: Path, *, max_bytes: int = 10**9, min_free_bytes: int = 0, used: int = 0, free: int = 10**9
) -> Space:
    return Space(
        root, max_bytes=max_bytes, min_free_bytes=min_free_bytes, files_bytes=used, free_bytes=lambda: free
    )


def test_a_burst_that_leaves_room_for_few_more_says_so(tmp_path: Path) -> None:
    space = space_of(tmp_path, max_bytes=1000, used=400)
    assert space.admit(200)
    assert not space.tight.is_set()
    assert space.admit(201)
    assert space.tight.is_set()


def test_quota_and_floor_decide_what_is_admitted(tmp_path: Path) -> None:
    assert space_of(tmp_path, max_bytes=1000, used=400).admit(600)
    assert not space_of(tmp_path, max_bytes=1000, used=400).admit(601)
    assert space_of(tmp_path, min_free_bytes=300, free=1000).admit(700)
    assert not space_of(tmp_path, min_free_bytes=300, free=1000).admit(701)


def test_the_sum_in_memory_is_what_lies_on_the_disk(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        for number in range(4):
            event = capture(store, session, clock)
            if number % 2:
                keep(store, session, event)
            else:
                session.events.settle(event.id, EMPTY)
        store.space.drop(session, event)
        # the index of the log (-shm) is memory that only looks like a file
        index = (tmp_path / "trapd.db-shm").stat().st_size
        assert (
            abs(store.space.disk().used_bytes - tree_bytes(tmp_path) + index) < 10
        )  # the process id in the lock


def fill(store: Store, session: Session, clock: FakeClock) -> dict[str, list[Event]]:
    """Two each: delivered, discarded, kept but not delivered, captured."""
    made: dict[str, list[Event]] = {"delivered": [], "discarded": [], "kept": [], "captured": []}
    for _ in range(2):
        made["delivered"].append(keep(store, session, capture(store, session, clock, data=PHOTOGRAPH)))
    deliver(session)
    for _ in range(2):
        event = capture(store, session, clock, data=PHOTOGRAPH)
        made["discarded"].append(session.events.settle(event.id, EMPTY))
    for _ in range(2):
        made["kept"].append(keep(store, session, capture(store, session, clock, data=PHOTOGRAPH)))
    for _ in range(2):
        made["captured"].append(capture(store, session, clock, data=PHOTOGRAPH))
    return made


def test_discarded_bursts_go_first_then_delivered_ones_oldest_first(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        made = fill(store, session, clock)
        expected = [*made["discarded"], *made["delivered"]]
        store.space._max_bytes = 1  # far too little, whatever goes
        for done in range(1, 5):
            evicted = store.space.tidy(session, 1)
            assert evicted.events == 1
            assert evicted.files == (3 if done <= 2 else 4)
            assert [on_disk(tmp_path, event) for event in expected] == [0] * done + [3] * (4 - done)
        assert store.space.tidy(session, 10).events == 0  # what is not delivered stays
        for event in (*made["kept"], *made["captured"]):
            assert on_disk(tmp_path, event) == 3


def test_events_and_counts_stay_and_their_photographs_say_that_they_are_gone(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        made = fill(store, session, clock)
        totals = session.events.totals()
        store.space._max_bytes = 1
        store.space.tidy(session, 100)

        assert session.events.totals() == totals
        gone = session.events.get(made["delivered"][0].id)
        assert gone is not None
        assert gone.thumb is None
        assert [medium.path for medium in gone.media] == [None] * 3
        assert [medium.sha256 for medium in gone.media] == [m.sha256 for m in made["delivered"][0].media]


def test_no_more_goes_than_must(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        for _ in range(10):
            session.events.settle(capture(store, session, clock, data=PHOTOGRAPH).id, EMPTY)
        used = store.space.disk().used_bytes
        burst = sum(medium.bytes for medium in session.events.page(limit=1)[0].media)
        store.space._max_bytes = used
        store.space._wanted_bytes = 0

        least = -(-(used // 4) // burst)  # the margin: a quarter
        assert store.space.tidy(session, 100).events in (least, least + 1)  # marking takes room of its own
        assert store.space.tidy(session, 100).events == 0
        assert store.space.admit(burst)


def test_an_event_with_rows_waiting_keeps_its_files_although_it_is_delivered(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = keep(store, session, capture(store, session, clock))
        event_row, thumb_row = rows(session)
        session.outbox.acknowledge([event_row])
        store.space._max_bytes = 1

        assert store.space.tidy(session, 10).events == 0
        session.outbox.acknowledge([thumb_row])
        assert store.space.tidy(session, 10).events == 1
        assert on_disk(tmp_path, event) == 0


def test_the_floor_of_free_space_evicts_too(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        session.events.settle(capture(store, session, clock).id, EMPTY)
        store.space._min_free_bytes = 10**15

        assert not store.space.admit(1)
        assert store.space.tidy(session, 10).events == 1


def test_with_room_nothing_goes(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        session.events.settle(capture(store, session, clock).id, EMPTY)

        assert store.space.tidy(session, 10).events == 0
        assert len(files_below(tmp_path / "media")) == 3


def test_a_discarded_burst_can_be_dropped_at_once(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = session.events.settle(capture(store, session, clock).id, EMPTY)

        assert store.space.drop(session, event).files == 3
        assert store.space.drop(session, event).files == 0
        assert files_below(tmp_path / "media") == []


@pytest.mark.parametrize("reserved", [False, True])
def test_files_go_first_where_not_even_their_mark_finds_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserved: bool
) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        if not reserved:
            store.space.release_reserve()
        event = session.events.settle(capture(store, session, clock).id, EMPTY)
        real_mark = eviction.mark
        seen: list[int] = []

        def full_until_the_files_are_gone(*args: object) -> None:
            seen.append(on_disk(tmp_path, event))
            if seen[-1]:
                raise StoreFull("no room for the mark")
            real_mark(*args)  # type: ignore[arg-type]  # passed through as it came

        monkeypatch.setattr(eviction, "mark", full_until_the_files_are_gone)
        store.space._max_bytes = 1
        assert store.space.tidy(session, 10).files == 3
        assert seen == ([3, 3, 0] if reserved else [3, 0])  # the reserve was given up first, in vain
        assert not (tmp_path / "reserve").exists()


@pytest.mark.parametrize("cut_after", ["mark", "first file"])
def test_a_cut_within_an_eviction_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_after: str
) -> None:
    class Cut(Exception):
        """The power goes."""

    clock = FakeClock()
    store = open_store(tmp_path, clock)
    with store.session() as session:
        session.events.settle(capture(store, session, clock).id, EMPTY)
        store.space._max_bytes = 1
        real_unlink = Path.unlink
        left = [1 if cut_after == "first file" else 0]

        def unlink(file: Path, missing_ok: bool = False) -> None:
            if left[0] == 0:
                raise Cut
            left[0] -= 1
            real_unlink(file, missing_ok)

        with monkeypatch.context() as power, pytest.raises(Cut):
            power.setattr(Path, "unlink", unlink)
            store.space.tidy(session, 1)
    store.close(clean=False)

    with running(tmp_path, clock) as (store, session):
        assert store.recovered.evictions_finished == (2 if cut_after == "first file" else 3)
        assert store.recovered.media_missing == store.recovered.adopted == store.recovered.orphaned == 0
        assert files_below(tmp_path / "media") == []
        assert session.events.totals()["discarded"] == 1


def test_housekeeping_brings_a_long_log_back_into_the_database(tmp_path: Path) -> None:
    with running(tmp_path) as (store, session):
        for _ in range(300):
            session.outbox.put(Kind.TRAIL, "trail", bytes(2000), retain=False)
        assert (tmp_path / "trapd.db-wal").stat().st_size > 1_000_000
        before = (tmp_path / "trapd.db").stat().st_size
        store.space.tidy(session, 1)
        assert (tmp_path / "trapd.db").stat().st_size > before + 600_000
        with sqlite3.connect(f"file:{tmp_path / 'trapd.db'}?immutable=1", uri=True) as plain:
            assert plain.execute("SELECT count(*) FROM outbox").fetchone() == (300,)
        plain.close()
