"""What goes when space is short: the order, the counts, the tombstones, and what never goes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, EMPTY, capture, files_below, jpeg, keep, open_store, rows, running
from trapd.errors import StoreFull
from trapd.parts import TOMBSTONES
from trapd.records import Event, Kind
from trapd.store import LOSSES, Session, Store
from trapd.store.room import eviction
from trapd.wire import codec

PHOTOGRAPH = jpeg(320, 240, quality=90)
AUDIT = replace(EMPTY, keep=True, audit=True)


def fill(store: Store, session: Session, clock: FakeClock) -> dict[str, Event]:
    """One event of each kind, the ones to go last made first."""

    def burst() -> Event:
        return capture(store, session, clock, data=PHOTOGRAPH)

    made = {"captured": burst()}
    audit = burst()
    made["audit"] = session.events.settle(audit.id, AUDIT, thumb=store.write_thumb(audit, 0, 20_000))
    made["kept"] = keep(store, session, burst())
    half = keep(store, session, burst())  # its event is delivered, its thumbnail waits
    wanted = [m.row for m in session.outbox.next(99, max_bytes=10**9) if m.event_id == half.id]
    session.outbox.acknowledge(wanted[:1])
    made["half"] = half
    sent = keep(store, session, burst())
    session.outbox.acknowledge(
        [m.row for m in session.outbox.next(99, max_bytes=10**9) if m.event_id == sent.id]
    )
    made["delivered"] = sent
    made["discarded"] = session.events.settle(burst().id, EMPTY)
    return made


def photographs(root: Path, event: Event) -> int:
    return sum((root / str(medium.path)).exists() for medium in event.media)


def thumbnail(root: Path, event: Event) -> bool:
    return (root / "thumbs" / f"{event.id}.jpg").exists()


def squeeze(store: Store) -> None:
    """Far too little room, whatever goes."""
    store.space.admit(1)
    store.space._max_bytes = 1000


def test_the_order_in_which_things_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trapd.store.room.space._SMALL_DATABASE_BYTES", 0)
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        (tmp_path / "trapd.db.damaged-20200101T000000Z").write_bytes(bytes(1000))
        (tmp_path / "trapd.db.backup").write_bytes(bytes(1000))
        made = fill(store, session, clock)
        squeeze(store)
        went = []
        before = {name: (photographs(tmp_path, e), thumbnail(tmp_path, e)) for name, e in made.items()}
        copies = sorted(file.name for file in tmp_path.glob("trapd.db.*"))
        while store.space.tidy(session, 1, TOMBSTONES).events:
            for name, event in made.items():
                now = (photographs(tmp_path, event), thumbnail(tmp_path, event))
                if now != before[name]:
                    went.append((name, *now))
                    before[name] = now
            left = sorted(file.name for file in tmp_path.glob("trapd.db.[bd]*"))
            if left != copies:
                went.append(("copies", len(left), False))
                copies = left
        assert [step for step in went if step[0] != "copies"] == [
            ("discarded", 0, False),
            ("delivered", 0, False),
            ("half", 0, True),
            ("kept", 0, True),
            ("half", 0, False),
            ("kept", 0, False),
            ("audit", 0, False),
        ]
        assert [step[0] for step in went].index("copies") == 2  # before anything that nobody has seen
        assert [event.id for event in session.events.page()] == [made["captured"].id]
        assert photographs(tmp_path, made["captured"]) == 3
        counts = session.counters.all()
        assert {name: counts.get(name, 0) for name in LOSSES} == {
            "evicted.undelivered": 2,
            "evicted.thumbs": 2,
            "evicted.audit": 1,
            "evicted.events": 2,
            "evicted.orphans": 0,
        }
        assert (counts["evicted.discarded"], counts["evicted.delivered"], counts["evicted.rows"]) == (1, 1, 3)
        waiting = session.outbox.next(99, max_bytes=10**9)
        assert [json.loads(m.payload or b"") for m in waiting if m.kind is Kind.EVENT] == [
            {"v": 1, "id": made[name].id, "epoch": store.epoch, "n": made[name].n, "lost": "space"}
            for name in ("audit", "kept")
        ]
        # Of the one whose event has arrived its thumbnail and its photographs have each their own.
        assert session.outbox.depth() == {"event": 2, "thumb": 1, "media_bulk": 3}


def test_of_what_was_delivered_samples_for_audit_go_last(tmp_path: Path) -> None:
    """Without its photographs nobody can judge one, and the miss rate is known of fewer."""
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        drawn = capture(store, session, clock, data=PHOTOGRAPH)
        session.events.settle(drawn.id, AUDIT, heap="h", is_drawn=True)
        newer = keep(store, session, capture(store, session, clock, data=PHOTOGRAPH))
        session.outbox.acknowledge(rows(session))
        squeeze(store)
        store.space.tidy(session, 1, TOMBSTONES)
        assert (photographs(tmp_path, drawn), photographs(tmp_path, newer)) == (3, 0)
        store.space.tidy(session, 1, TOMBSTONES)
        assert photographs(tmp_path, drawn) == 0
        assert session.counters.all() == {"evicted.delivered": 2}


def test_an_event_whose_photographs_went_is_still_an_event(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = keep(store, session, capture(store, session, clock, data=PHOTOGRAPH))
        payload = codec.event(event)
        squeeze(store)
        assert store.space.tidy(session, 1, TOMBSTONES).files == 3
        later = session.events.get(event.id)
        assert later is not None
        assert codec.event(later) == payload  # sums and all
        assert [medium.path for medium in later.media] == [None] * 3
        assert later.thumb == event.thumb
        assert store.thumb(later) == (tmp_path / "thumbs" / f"{event.id}.jpg").read_bytes()
        assert session.outbox.depth() == {"event": 1, "thumb": 1, "media_bulk": 3}  # tombstones


def test_what_nobody_has_seen_goes_for_the_next_bursts_only_and_not_for_comfort(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        for _ in range(10):
            keep(store, session, capture(store, session, clock, data=jpeg(1600, 1200, quality=97)))
        burst_bytes = sum(medium.bytes for medium in session.events.page(limit=1)[0].media)
        store.space.admit(burst_bytes)
        store.space._max_bytes = store.space.disk().used_bytes + burst_bytes
        assert store.space.tidy(session, 100, TOMBSTONES).events in (3, 4)
        assert store.space.admit(burst_bytes)
        assert store.space.tidy(session, 100, TOMBSTONES).events <= 1  # for what the notes have taken
        assert store.space.tidy(session, 100, TOMBSTONES).events == 0


def test_rows_go_only_while_they_take_more_room_than_a_database_must(tmp_path: Path) -> None:
    """Others may have filled the disk: giving up rows would not help."""
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        fill(store, session, clock)
        squeeze(store)
        while store.space.tidy(session, 100, TOMBSTONES).events:
            pass
        assert session.events.totals()["bursts"] == 6
        assert session.outbox.depth() == {"event": 2, "thumb": 3, "media_bulk": 9}  # tombstones but events


def test_rows_given_up_give_their_room_back_to_the_disk(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        for _ in range(3000):
            session.outbox.put(Kind.TRAIL, "trail", bytes(1000), retain=False)
        session.database.checkpoint()
        before = (tmp_path / "trapd.db").stat().st_size
        assert before > 3_000_000
        session.outbox.acknowledge(rows(session))
        session.outbox.acknowledge(rows(session))
        session.outbox.acknowledge(rows(session))
        for _ in range(5):
            store.space.tidy(session, 1)
        assert (tmp_path / "trapd.db").stat().st_size < before / 4
        assert session.outbox.depth() == {}


def test_the_reserve_is_there_released_once_and_made_again(tmp_path: Path) -> None:
    with running(tmp_path) as (store, session):
        assert (tmp_path / "reserve").stat().st_size == 1_000_000
        used = store.space.disk().used_bytes
        assert store.space.release_reserve()
        assert not store.space.release_reserve()
        assert store.space.disk().used_bytes == used - 1_000_000
        store.space._free_bytes = lambda: 2_000_000
        store.space.tidy(session, 1)
        assert not (tmp_path / "reserve").exists()
        store.space._free_bytes = lambda: 10**9
        store.space.tidy(session, 1)
        assert (tmp_path / "reserve").stat().st_size == 1_000_000
        assert files_below(tmp_path / "tmp") == []


@pytest.mark.parametrize("refusals", [1, 2, 3])
def test_a_disk_without_room_is_opened_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    """The reserve goes, then the backup, then thumbnails, which are made again when they are sent."""
    from trapd.store.repair import backup, recovery

    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = keep(store, session, capture(store, session, clock))
        backup.make(tmp_path, session.database, lambda: None)
    left = [refusals]
    real = recovery.begin

    def begin(*given: object) -> bool:
        if left[0]:
            left[0] -= 1
            raise StoreFull("no space left", "")
        return real(*given)  # type: ignore[arg-type]  # passed through as it came

    monkeypatch.setattr(recovery, "begin", begin)
    monkeypatch.setattr("trapd.store.room.reserve._PLENTY_BYTES", 10**18)
    with running(tmp_path, clock) as (store, session):
        assert not (tmp_path / "reserve").exists()
        assert (tmp_path / "trapd.db.backup").exists() == (refusals < 2)
        assert thumbnail(tmp_path, event) == (refusals < 3)
        found = session.events.get(event.id)
        assert found == event
        thumb = store.thumb(found)
        assert thumb is not None
        assert thumb.startswith(b"\xff\xd8")


def test_a_disk_that_never_has_room_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bool:
        raise StoreFull("no space left", "")

    with running(tmp_path):
        pass
    with monkeypatch.context() as disk, pytest.raises(StoreFull):
        disk.setattr("trapd.store.repair.recovery.begin", full)
        open_store(tmp_path)
    with running(tmp_path):  # and lets go of the lock
        pass


def test_a_cut_between_marks_and_files_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    store = open_store(tmp_path, clock)
    with store.session() as session:
        made = fill(store, session, clock)
        shutil.copytree(tmp_path / "media", tmp_path / "before")
        for step in (*eviction.DUE_TO_NOBODY, *eviction.UNDELIVERED):
            eviction.mark(session.database, eviction.victims(session.database, [step], 10), clock.now())
    store.close(clean=False)
    with running(tmp_path, clock) as (store, session):
        assert store.recovered.evictions_finished == 15
        assert store.recovered.adopted == store.recovered.orphaned == store.recovered.media_missing == 0
        assert len(files_below(tmp_path / "media")) == 3
        assert files_below(tmp_path / "thumbs") == []
        assert session.events.get(made["captured"].id) is not None


def test_what_nobody_has_seen_is_told_when_it_goes(tmp_path: Path) -> None:
    """Photographs, and thumbnails that waited; of what had arrived nobody needs to hear."""
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        made = fill(store, session, clock)
        squeeze(store)
        while store.space.tidy(session, 100, TOMBSTONES).events:
            pass
        told = [
            (message.kind, message.leaf, json.loads(message.payload))
            for message in session.outbox.next(99, max_bytes=10**9)
            if message.payload is not None
        ]
        photographed = [m for name in ("audit", "kept", "half") for m in made[name].media]
        assert sorted(told, key=str) == sorted(
            [(Kind.MEDIA_BULK, f"media/{m.id}", {"v": 1, "id": m.id, "lost": "space"}) for m in photographed]
            + [
                (Kind.THUMB, f"thumb/{made[name].id}", {"v": 1, "id": made[name].id, "lost": "space"})
                for name in ("audit", "kept", "half")
            ],
            key=str,
        )
        assert session.outbox.request_media({photographed[0].id: None}, chunk_bytes=1000).missing


def test_a_photograph_that_was_asked_for_is_told_as_soon_as_it_would_have_gone(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        kept = keep(store, session, capture(store, session, clock, frames=1, data=PHOTOGRAPH))
        session.outbox.request_media({kept.media[0].id: None}, chunk_bytes=1000)
        squeeze(store)
        store.space.tidy(session, 100, TOMBSTONES)
        assert session.outbox.depth() == {"event": 1, "thumb": 1, "media_requested": 1}


def test_the_tombstones_of_an_event_go_with_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a unit that is never heard would fill its card with them."""
    monkeypatch.setattr("trapd.store.room.space._SMALL_DATABASE_BYTES", 0)
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        keep(store, session, capture(store, session, clock, data=PHOTOGRAPH))
        squeeze(store)
        while store.space.tidy(session, 1, TOMBSTONES).events:
            pass
        assert session.outbox.depth() == {"event": 1}


def test_a_tombstone_keeps_the_numbers_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "_ROWS_AT_ONCE", 2)
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        for _ in range(3):
            session.events.settle(capture(store, session, clock, frames=1).id, ANIMAL)
        for step in eviction.UNDELIVERED:
            eviction.mark(session.database, eviction.victims(session.database, [step], 10), clock.now())
        assert eviction.give_up_rows(session.database, clock.now(), TOMBSTONES) == 2
        session.events.settle(capture(store, session, clock, frames=1).id, ANIMAL)
        told = []
        for message in session.outbox.next(99, max_bytes=10**9):
            event = session.events.get(message.event_id) if message.event_id else None
            told.append(json.loads(codec.event(event) if event else message.payload or b""))
        assert sorted(each["n"] for each in told) == [1, 2, 3, 4]
        assert sorted(each["n"] for each in told if "lost" in each) == [1, 2]


def test_a_discarded_burst_that_somebody_asked_for_goes_before_anything_else_that_waits(
    tmp_path: Path,
) -> None:
    """Else what was asked for before a long outage would outlive every event, and then stop the camera."""
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        kept = keep(store, session, capture(store, session, clock, frames=1, data=PHOTOGRAPH))
        asked = capture(store, session, clock, frames=1, data=PHOTOGRAPH)
        session.events.settle(asked.id, EMPTY)
        session.outbox.request_media({asked.media[0].id: None}, chunk_bytes=1000)
        squeeze(store)
        assert store.space.tidy(session, 1).events == 0  # not for comfort
        store.space.tidy(session, 1, TOMBSTONES)
        assert (photographs(tmp_path, asked), photographs(tmp_path, kept)) == (0, 1)
        assert session.counters.all() == {"evicted.undelivered": 1}
        (told,) = [m for m in session.outbox.next(99, max_bytes=10**9) if m.payload is not None]
        assert (told.kind, told.leaf) == (Kind.MEDIA_REQUESTED, f"media/{asked.media[0].id}")


def delivered_without_its_photograph(store: Store, session: Session, clock: FakeClock) -> Event:
    """The photograph had to go first; event and thumbnail have arrived, and its tombstone waits."""
    event = keep(store, session, capture(store, session, clock, frames=1, data=PHOTOGRAPH))
    squeeze(store)
    store.space.tidy(session, 1, TOMBSTONES)
    session.outbox.acknowledge([m.row for m in session.outbox.next(99, max_bytes=10**9) if m.payload is None])
    return event


def test_a_tombstone_that_waits_does_not_make_what_was_delivered_undelivered(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = delivered_without_its_photograph(store, session, clock)
        assert session.outbox.depth() == {"media_bulk": 1}
        assert store.space.tidy(session, 1, TOMBSTONES).events == 1  # the thumbnail, which arrived
        assert not thumbnail(tmp_path, event)
        assert session.counters.all() == {"evicted.undelivered": 1, "evicted.delivered": 1}
        assert session.outbox.depth() == {"media_bulk": 1}


def test_what_stands_for_the_photographs_of_a_delivered_event_outlives_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event's own arrival has promised them, and no other tombstone speaks of them."""
    monkeypatch.setattr("trapd.store.room.space._SMALL_DATABASE_BYTES", 0)
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = delivered_without_its_photograph(store, session, clock)
        while store.space.tidy(session, 1, TOMBSTONES).events:
            pass
        assert session.events.get(event.id) is None
        (told,) = session.outbox.next(99, max_bytes=10**9)
        assert json.loads(told.payload or b"")["id"] == event.media[0].id
        session.outbox.acknowledge([told.row])
        assert session.outbox.depth() == {}
