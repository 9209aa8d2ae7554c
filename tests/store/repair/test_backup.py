"""The daily copy of the database, and what comes back when the database itself is damaged, gone or cut."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, CONTEXT, EMPTY, capture, frame, keep, open_store, rows, running
from tests.store.repair.test_damage import cut_short, garbage_pages, zeros
from trapd.errors import StoreCorrupt, StoreFull
from trapd.records import Kind, State, Trigger
from trapd.store import Store
from trapd.store.repair import backup
from trapd.store.sqlite import database
from trapd.store.sqlite.database import Database

MANY = 40


def flip_a_bit(file: Path) -> None:
    """In the middle of a page's cell pointers, where quick_check sees it."""
    data = bytearray(file.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 + 3] ^= 0x40  # number of cells
    file.write_bytes(bytes(data))


def flip_a_late_bit(file: Path) -> None:
    """In one leaf of the events' table, which opening the database does not touch."""
    with closing(sqlite3.connect(file)) as plain:
        found = plain.execute(
            "SELECT pageno FROM dbstat WHERE name = 'event' AND pagetype = 'leaf'"
        ).fetchall()
    data = bytearray(file.read_bytes())
    data[(found[len(found) // 2][0] - 1) * 4096 + 3] ^= 0x40
    file.write_bytes(bytes(data))


def nothing() -> None:
    """Called at every step."""


@pytest.mark.parametrize("damage", [zeros, cut_short, flip_a_bit, garbage_pages, Path.unlink])
def test_the_backup_brings_back_events_verdicts_and_the_outbox(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        old_epoch = store.epoch
        delivered = keep(store, session, capture(store, session, clock))
        session.outbox.acknowledge(rows(session))
        kept = keep(store, session, capture(store, session, clock))
        discarded = session.events.settle(capture(store, session, clock).id, EMPTY)
        waiting = capture(store, session, clock)
        session.outbox.put(Kind.TRAIL, "trail", b"{}", retain=False)
        backup.make(tmp_path, session.database, nothing)
        newer = keep(store, session, capture(store, session, clock))
        lost = session.events.settle(capture(store, session, clock).id, EMPTY)
        store.space.drop(session, lost)
        newest = capture(store, session, clock)
    damage(tmp_path / "trapd.db")

    with running(tmp_path, clock) as (store, session):
        rebuilt = store.recovered.rebuilt
        assert rebuilt is not None
        assert (rebuilt.restored, rebuilt.adopted, rebuilt.lost) == (4, 2, 1)
        assert (rebuilt.set_aside is None) == (damage is Path.unlink)
        assert store.epoch != old_epoch
        found = {event.id: event for event in session.events.page()}
        for event in (kept, discarded):
            assert found[event.id] == event
        assert found[delivered.id].state is State.DELIVERED
        assert found[waiting.id].epoch == store.epoch
        assert {found[newer.id].state, found[newest.id].state} == {State.CAPTURED}
        assert set(session.outbox.depth().items()) == {("event", 1), ("thumb", 1), ("trail", 1)}
        # judged again, and numbered without a gap from 1 in the new epoch
        ids = []
        while (oldest := session.events.oldest_captured()) is not None:
            ids.append(oldest.id)
            assert session.events.settle(oldest.id, ANIMAL).n == len(ids)
        assert ids == [waiting.id, newer.id, newest.id]
        assert [medium.sha256 for medium in session.events.get(newer.id).media] == [  # type: ignore[union-attr]  # is there
            medium.sha256 for medium in newer.media
        ]
        assert capture(store, session, clock).seq == newest.seq + 1
    with running(tmp_path, clock) as (store, _):
        assert store.recovered.rebuilt == rebuilt  # until somebody was told
        store.told_rebuilt()
    with running(tmp_path, clock) as (store, _):
        assert store.recovered.rebuilt is None


def test_a_backup_does_not_hold_up_writers_and_is_of_one_moment(tmp_path: Path) -> None:
    with running(tmp_path) as (store, session), store.session() as other:
        for _ in range(500):
            other.outbox.put(Kind.TRAIL, "trail", bytes(4000), retain=False)
        steps = 0

        def write() -> None:
            nonlocal steps
            steps += 1
            other.outbox.put(Kind.TRAIL, "trail", bytes(4000), retain=False)

        backup.make(tmp_path, session.database, write)
        assert steps >= 3
        copy = sqlite3.connect(f"file:{tmp_path / 'trapd.db.backup'}?immutable=1", uri=True)
        assert copy.execute("SELECT count(*) FROM outbox").fetchone() == (500,)
        copy.close()


class Cut(Exception):
    """The power goes."""


@pytest.mark.parametrize("at", ["a step", "the rename"])
def test_a_backup_cut_short_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def cut(*_: object) -> None:
        raise Cut

    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        capture(store, session, clock)
        backup.make(tmp_path, session.database, nothing)
        before = (tmp_path / "trapd.db.backup").read_bytes()
        capture(store, session, clock)
        with monkeypatch.context() as power, pytest.raises(Cut):
            if at == "the rename":
                power.setattr(Path, "rename", cut)
            backup.make(tmp_path, session.database, cut if at == "a step" else nothing)
        assert (tmp_path / "trapd.db.backup").read_bytes() == before
        assert list((tmp_path / "tmp").iterdir()) == []


def test_a_damaged_database_is_not_backed_up(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        for _ in range(30):
            capture(store, session, clock, frames=1)
        backup.make(tmp_path, session.database, nothing)
        before = (tmp_path / "trapd.db.backup").read_bytes()
    flip_a_late_bit(tmp_path / "trapd.db")
    database = Database.open(tmp_path / "trapd.db")
    with closing(database), pytest.raises(StoreCorrupt):
        backup.make(tmp_path, database, nothing)
    assert (tmp_path / "trapd.db.backup").read_bytes() == before


def test_a_restore_cut_short_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = keep(store, session, capture(store, session, clock))
        backup.make(tmp_path, session.database, nothing)
    zeros(tmp_path / "trapd.db")
    real = Path.rename

    def cut(file: Path, target: Path) -> Path:
        if file.name == database.BACKUP:
            raise Cut
        return real(file, target)

    with monkeypatch.context() as power, pytest.raises(Cut):
        power.setattr(Path, "rename", cut)
        open_store(tmp_path, clock)
    with running(tmp_path, clock) as (store, session):
        assert session.events.get(event.id) == event
        assert store.recovered.rebuilt is not None
        assert store.recovered.rebuilt.restored == 1


@pytest.mark.parametrize("damage", [zeros, cut_short, flip_a_bit, lambda file: file.write_bytes(b"")])
def test_without_a_sound_backup_the_photographs_alone_rebuild(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        events = [capture(store, session, clock) for _ in range(3)]
        backup.make(tmp_path, session.database, nothing)
    damage(tmp_path / "trapd.db.backup")
    zeros(tmp_path / "trapd.db")
    with running(tmp_path, clock) as (store, session):
        assert [event.id for event in session.events.page()] == [event.id for event in events]
        assert store.recovered.rebuilt is not None
        assert (store.recovered.rebuilt.restored, store.recovered.rebuilt.adopted) == (0, 3)


def keep_many(root: Path, clock: FakeClock) -> None:
    """More than a page of the database, and a backup of it; ended in good order."""
    with running(root, clock) as (store, session):
        for _ in range(MANY):
            keep(store, session, capture(store, session, clock, frames=1))
        backup.make(root, session.database, nothing)


def test_damage_met_late_is_looked_for_closely_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large database that ended in good order is not read at start: a stage meets the damage."""
    monkeypatch.setattr("trapd.store.repair.damage._SMALL_BYTES", 0)
    clock = FakeClock()
    keep_many(tmp_path, clock)
    late: Store = open_store(tmp_path, clock)
    flip_a_late_bit(tmp_path / "trapd.db")
    with late.session() as session, pytest.raises(StoreCorrupt):
        session.events.page(limit=1000)
    late.suspect()
    late.close(clean=True)  # whatever was said at the end

    with running(tmp_path, clock) as (store, session):
        assert store.recovered.set_aside is not None
        assert len(session.events.page(limit=1000)) == MANY
    assert not list(tmp_path.glob("*.suspect"))


def test_damage_that_recovery_itself_meets_is_put_right_in_the_same_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trapd.store.repair.damage._SMALL_BYTES", 0)
    clock = FakeClock()
    keep_many(tmp_path, clock)
    flip_a_late_bit(tmp_path / "trapd.db")
    with running(tmp_path, clock) as (store, session):
        assert store.recovered.set_aside is not None
        assert len(session.events.page(limit=1000)) == MANY


def test_an_index_that_disagrees_with_its_table_is_found_when_damage_was_met(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        events = [keep(store, session, capture(store, session, clock, frames=1)) for _ in range(5)]
    file = tmp_path / "trapd.db"
    data = file.read_bytes()
    place = data.index(events[2].id.encode())  # in one of table and index
    file.write_bytes(data[:place] + b"U" + data[place + 1 :])
    with running(tmp_path, clock) as (store, _):
        assert store.recovered.set_aside is None  # quick_check does not see it
        store.suspect()
    with running(tmp_path, clock) as (store, _):
        assert store.recovered.set_aside is not None


def test_a_disk_without_room_for_a_backup_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with running(tmp_path) as (_, session), monkeypatch.context() as disk, pytest.raises(StoreFull):
        disk.setattr("trapd.store.repair.backup.sync_file", full)
        backup.make(tmp_path, session.database, nothing)
    assert not (tmp_path / "trapd.db.backup").exists()


@pytest.fixture(scope="module")
def ten_thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many photographs, half of them known to the backup too."""
    root = tmp_path_factory.mktemp("many")
    clock = FakeClock()
    with running(root, clock) as (store, session):
        session.database.one("PRAGMA synchronous=OFF")
        for number in range(3334):
            clock.advance(60)
            moment = clock.now()
            trigger, seq = Trigger("pir", "17", moment.boot_ns), store.next_seq()
            files = store.burst_files(seq, moment, CONTEXT, trigger=trigger, config="")
            for index in range(3):
                files.add(frame(moment, index))
            media = files.commit()
            session.events.record(seq=seq, moment=moment, trigger=trigger, media=media, config="", env={})
            if number == 1667:
                backup.make(root, session.database, nothing)
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "backed_up"), [(zeros, True), (cut_short, False), (flip_a_bit, True), (Path.unlink, False)]
)
def test_ten_thousand_photographs_make_a_database_in_half_a_minute(
    tmp_path: Path, ten_thousand: Path, damage: Callable[[Path], None], backed_up: bool
) -> None:
    root = tmp_path / "store"
    shutil.copytree(ten_thousand, root, copy_function=os.link)
    for name in ("lock", "trapd.db", "trapd.db.backup"):
        data = (root / name).read_bytes()
        (root / name).unlink()
        (root / name).write_bytes(data)
    damage(root / "trapd.db")
    if not backed_up:
        (root / "trapd.db.backup").unlink()
    began_s = time.monotonic()
    with running(root) as (store, session):
        took_s = time.monotonic() - began_s
        assert (store.recovered.set_aside is None) == (damage is Path.unlink)
        rebuilt = store.recovered.rebuilt
        assert rebuilt is not None
        assert (rebuilt.restored, rebuilt.adopted) == ((1668, 1666) if backed_up else (0, 3334))
        print(f"{took_s:.1f} s")
        assert took_s < 30
        left = 3 * rebuilt.adopted
        while (done := session.sums.some(200)) > 0:
            left -= done
        assert left == 0
