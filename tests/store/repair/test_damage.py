import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import (
    ANIMAL,
    CONTEXT,
    EMPTY,
    capture,
    files_below,
    frame,
    keep,
    open_store,
    running,
)
from trapd.errors import StoreCorrupt, StoreError, UsageError
from trapd.records import State, Trigger
from trapd.store import Store


def zeros(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flipped_in_header(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[5] ^= 0x10
    file.write_bytes(bytes(data))


def garbage_pages(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    file.write_bytes(bytes(data))


def foreign(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()


def version_lost(file: Path) -> None:
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA user_version = 0")
    other.close()


def table_lost(file: Path) -> None:
    with sqlite3.connect(file) as other:
        other.execute("DROP TABLE meta")
    other.close()


DAMAGE = [zeros, cut_short, flipped_in_header, garbage_pages, foreign, version_lost, table_lost]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_database_is_set_aside_and_its_photographs_found_again(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        epoch = store.epoch
        events = [capture(store, session, clock) for _ in range(4)]
        keep(store, session, events[0])
        session.events.settle(events[1].id, EMPTY)
    damage(tmp_path / "trapd.db")

    with running(tmp_path, clock) as (store, session):
        assert not store.recovered.clean
        assert store.recovered.set_aside is not None
        assert (tmp_path / store.recovered.set_aside).stat().st_size > 0
        assert store.epoch != epoch
        assert (store.recovered.adopted, store.recovered.waiting) == (4, 4)
        assert session.sums.some(100) == 12
        found = session.events.page()
        assert [event.id for event in found] == [event.id for event in events]  # with their old ids
        assert [event.media for event in found] == [event.media for event in events]
        assert [event.moment for event in found] == [event.moment for event in events]
        assert {event.epoch for event in found} == {store.epoch}  # n counts in the new one
        assert [session.events.settle(event.id, ANIMAL).n for event in found] == [1, 2, 3, 4]
        fresh = capture(store, session, clock)
        assert fresh.seq == 5
        assert fresh.id == f"unit-1-{store.epoch}-000005"
        assert session.events.settle(fresh.id, ANIMAL).n == 5
        assert files_below(tmp_path / "orphans") == []
    with running(tmp_path, clock) as (store, _):
        assert store.recovered.clean
        assert store.recovered.adopted == 0


def test_a_database_damaged_twice_in_a_second_overwrites_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    for _ in range(3):
        with running(tmp_path, clock) as (_, session):
            session.meta.put("x", "y")
        zeros(tmp_path / "trapd.db")
    with running(tmp_path, clock):
        pass
    assert len(list(tmp_path.glob("trapd.db.damaged-*"))) == 3


def flipped_in_the_middle(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x04
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [zeros, cut_short, flipped_in_the_middle, Path.unlink])
def test_a_damaged_log_gives_no_number_twice(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """SQLite takes it for one that a power cut ended: it goes back to an earlier state, without a word."""
    clock, root, root_later = FakeClock(), tmp_path / "before", tmp_path / "after"
    store = open_store(root, clock)
    with store.session() as session:
        events = [keep(store, session, capture(store, session, clock, frames=1)) for _ in range(12)]
        shutil.copytree(root, root_later)  # killed here, with all of it in the log
    store.close(clean=False)
    (root_later / "trapd.db-shm").unlink()
    damage(root_later / "trapd.db-wal")

    with running(root_later, clock) as (later, session):
        assert later.epoch != store.epoch
        assert later.recovered.rebuilt is not None
        known = later.recovered.rebuilt
        assert known.restored + known.adopted == 12
        assert known.is_older == (known.restored > 0)
        assert {event.id for event in session.events.page()} == {event.id for event in events}
        while (event := session.events.oldest_captured()) is not None:
            session.events.settle(event.id, ANIMAL)
        numbers = [(event.epoch, event.n) for event in session.events.page()]
        assert len(set(numbers)) == 12
        fresh = [n for epoch, n in numbers if epoch == later.epoch]
        assert len(fresh) >= known.adopted
        assert fresh == list(range(1, len(fresh) + 1))
        assert capture(later, session, clock).seq == 13
        later.told_rebuilt()
    with running(root_later, clock) as (again, _):
        assert (again.epoch, again.recovered.rebuilt) == (later.epoch, None)


def test_a_log_that_ends_before_two_verdicts_is_known_by_their_thumbnails(tmp_path: Path) -> None:
    clock, root, root_later = FakeClock(), tmp_path / "before", tmp_path / "after"
    store = open_store(root, clock)
    with store.session() as session:
        events = [capture(store, session, clock, frames=1) for _ in range(3)]
        shutil.copytree(root, root_later)  # the state to which the log goes back
        for event in events[:2]:
            keep(store, session, event)
    store.close(clean=False)
    for thumb in (root / "thumbs").iterdir():
        shutil.copy(thumb, root_later / "thumbs")
    with running(root_later, clock) as (later, session):
        assert later.epoch != store.epoch
        assert later.recovered.rebuilt is not None
        assert later.recovered.rebuilt.is_older
        assert [session.events.settle(event.id, ANIMAL).n for event in events] == [1, 2, 3]


def test_bursts_without_rows_and_one_without_a_verdict_are_no_damage(tmp_path: Path) -> None:
    """A database that refused rows for a while, and a power cut before a verdict was stored."""
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        epoch = store.epoch
        store.write_thumb(capture(store, session, clock), 0, 20_000)
        for _ in range(3):
            moment = clock.now()
            trigger = Trigger("pir", "17", moment.boot_ns)
            files = store.burst_files(store.next_seq(), moment, CONTEXT, trigger=trigger, config="")
            files.add(frame(moment))
            files.commit()
    with running(tmp_path, clock) as (store, _):
        assert (store.epoch, store.recovered.adopted, store.recovered.rebuilt) == (epoch, 3, None)


def test_a_log_without_its_database_does_not_meet_a_new_one(tmp_path: Path) -> None:
    """The power goes while a damaged database is set aside: it is renamed, its log is not."""
    clock = FakeClock()
    store = open_store(tmp_path, clock)
    with store.session() as session:
        event = capture(store, session, clock)
        log = (tmp_path / "trapd.db-wal").read_bytes()
        assert log
    store.close(clean=False)
    (tmp_path / "trapd.db").rename(tmp_path / "trapd.db.damaged-20231115T000000Z")
    (tmp_path / "trapd.db-wal").write_bytes(log)

    with running(tmp_path, clock) as (store, session):
        assert store.epoch not in event.id
        assert store.recovered.set_aside is not None
        assert (tmp_path / f"{store.recovered.set_aside}-wal").read_bytes() == log
        assert [found.id for found in session.events.page()] == [event.id]


def test_without_any_database_the_photographs_make_a_new_one(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)
    (tmp_path / "trapd.db").unlink()

    with running(tmp_path, clock) as (store, session):
        (found,) = session.events.page()
        assert (found.id, found.state) == (event.id, State.CAPTURED)
        assert store.recovered.set_aside is None


def test_rebuilding_twice_keeps_every_number_apart(tmp_path: Path) -> None:
    clock = FakeClock()
    seen: set[str] = set()
    for _ in range(3):
        with running(tmp_path, clock) as (store, session):
            assert {event.id for event in session.events.page()} == seen
            seen.add(capture(store, session, clock).id)
            assert len({(event.epoch, event.seq) for event in session.events.page()}) == len(seen)
        (tmp_path / "trapd.db").unlink()


@pytest.mark.parametrize("large", [False, True])
def test_damage_within_a_large_database_is_found_after_a_bad_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr("trapd.store.repair.damage._SMALL_BYTES", 0 if large else 10**9)
    clock = FakeClock()
    store = open_store(tmp_path, clock)
    with store.session() as session:
        for _ in range(30):
            capture(store, session, clock, frames=1)
    store.close(clean=False)
    garbage_pages(tmp_path / "trapd.db")

    with running(tmp_path, clock) as (store, _):
        assert store.recovered.set_aside is not None
        assert store.recovered.adopted == 30


def test_looking_at_a_damaged_database_says_so(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    zeros(tmp_path / "trapd.db")
    with pytest.raises(StoreCorrupt):
        Store.peek(tmp_path)


def test_a_newer_trapds_database_is_left_alone(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "trapd.db") as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    before = (tmp_path / "trapd.db").read_bytes()

    for look in (open_store, Store.peek):
        with pytest.raises(StoreError, match="newer trapd") as caught:
            look(tmp_path)
        assert not isinstance(caught.value, StoreCorrupt | UsageError)
    assert (tmp_path / "trapd.db").read_bytes() == before
    assert list(tmp_path.glob("*damaged*")) == []
