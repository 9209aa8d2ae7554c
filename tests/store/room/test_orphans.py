"""What start-up could not take up stays until space is needed, and goes before what nobody has seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import EMPTY, capture, files_below, jpeg, keep, open_store, rows, running
from trapd.parts import TOMBSTONES
from trapd.store import Session, Store
from trapd.store.repair import backup
from trapd.store.sqlite import database

PHOTOGRAPH = jpeg(640, 480, quality=95)


def strays(root: Path, count: int) -> None:
    """Files under media/ that are no photographs, the first the oldest."""
    for number in range(count):
        file = root / "media" / f"{number}.txt"
        file.write_bytes(bytes(100_000))
        os.utime(file, (1000 + number, 1000 + number))


def squeeze(store: Store, session: Session, over_bytes: int = 10**9) -> None:
    """So much too much lies there, and one burst's room is wanted."""
    store.space.admit(1)
    store.space._max_bytes = max(1, store.space.disk().used_bytes - over_bytes)


def orphans(root: Path) -> list[str]:
    return files_below(root / "orphans")


def test_they_count_and_go_after_what_is_delivered_and_before_what_is_not(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        keep(store, session, capture(store, session, clock))
        session.outbox.acknowledge(rows(session))
        session.events.settle(capture(store, session, clock).id, EMPTY)
        waiting = keep(store, session, capture(store, session, clock))
        backup.make(tmp_path, session.database, lambda: None)
    strays(tmp_path, 2)
    with running(tmp_path, clock) as (store, session):
        assert orphans(tmp_path) == ["0.txt", "1.txt"]
        squeeze(store, session)
        assert store.space.tidy(session, 100).events == 2
        assert len(orphans(tmp_path)) == 2  # for comfort alone nothing goes that nobody has seen
        left = []
        used_bytes = [store.space.disk().used_bytes]
        while store.space.tidy(session, 1, TOMBSTONES).events:
            there = session.events.get(waiting.id)
            assert there is not None
            photographs = sum(medium.path is not None for medium in there.media)
            left.append(((tmp_path / database.BACKUP).exists(), len(orphans(tmp_path)), photographs))
            used_bytes.append(store.space.disk().used_bytes)
        assert left[:4] == [(False, 2, 3), (False, 1, 3), (False, 0, 3), (False, 0, 0)]
        assert 80_000 < used_bytes[1] - used_bytes[2] <= 100_000  # the note takes a little room
        assert session.counters.all()["evicted.orphans"] == 2


def test_the_oldest_go_and_no_more_than_must(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    strays(tmp_path, 5)
    with running(tmp_path) as (store, session):
        squeeze(store, session, 150_000)
        store.space._wanted_bytes = 0
        store.space.tidy(session, 100, TOMBSTONES)
        assert orphans(tmp_path) in (["2.txt", "3.txt", "4.txt"], ["3.txt", "4.txt"])


def test_a_folder_and_a_link_go_too(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("not ours")
    root = tmp_path / "store"
    with running(root):
        pass
    (root / "media" / "2020-01-01" / "folder" / "deep").mkdir(parents=True)
    (root / "media" / "2020-01-01" / "folder" / "deep" / "file").write_bytes(bytes(5000))
    (root / "media" / "link").symlink_to(outside)
    with running(root) as (store, session):
        assert len(list((root / "orphans").iterdir())) == 2
        squeeze(store, session)
        assert store.space.tidy(session, 100, TOMBSTONES).events == 2
        assert list((root / "orphans").iterdir()) == []
        assert files_below(outside) == ["kept.txt"]


def test_a_number_in_an_orphans_name_is_not_given_again(tmp_path: Path) -> None:
    with running(tmp_path) as (store, _):
        epoch = store.epoch
    (tmp_path / "orphans" / f"unit-1__2023-11-15__06-13-21__{epoch}-000041_0.jpg").write_bytes(bytes(5000))
    with running(tmp_path) as (store, session):
        squeeze(store, session)
        store.space.tidy(session, 100, TOMBSTONES)
        assert orphans(tmp_path) == []
    with running(tmp_path) as (store, _):
        assert store.next_seq() == 42


def test_a_cut_before_they_are_removed_leaves_them_for_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(Exception):
        """The power goes."""

    def cut(*_: object, **__: object) -> None:
        raise Cut

    with running(tmp_path):
        pass
    strays(tmp_path, 2)
    store = open_store(tmp_path)
    with store.session() as session:
        squeeze(store, session)
        with monkeypatch.context() as power, pytest.raises(Cut):
            power.setattr(Path, "unlink", cut)
            store.space.tidy(session, 100, TOMBSTONES)
    store.close(clean=False)
    with running(tmp_path) as (store, session):
        assert len(orphans(tmp_path)) == 2
        squeeze(store, session)
        store.space.tidy(session, 100, TOMBSTONES)
        assert orphans(tmp_path) == []


def test_one_that_cannot_be_removed_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with running(tmp_path):
        pass
    strays(tmp_path, 1)
    with running(tmp_path) as (store, session):
        squeeze(store, session)
        with monkeypatch.context() as disk:
            disk.setattr(Path, "unlink", refuse)
            assert store.space.tidy(session, 100, TOMBSTONES).files == 0
        assert len(orphans(tmp_path)) == 1


def test_one_that_cannot_be_removed_is_counted_once_and_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink

    def refuse(self: Path, *given: bool, **named: bool) -> None:
        if self.name == "0.txt":
            raise PermissionError(1, "Operation not permitted")
        real(self, *given, **named)

    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        waiting = keep(store, session, capture(store, session, clock, data=PHOTOGRAPH))
    strays(tmp_path, 2)
    monkeypatch.setattr(Path, "unlink", refuse)
    with running(tmp_path, clock) as (store, session):
        squeeze(store, session)
        while store.space.tidy(session, 1, TOMBSTONES).events:
            pass
        assert orphans(tmp_path) == ["0.txt"]
        assert session.counters.all()["evicted.orphans"] == 2
        there = session.events.get(waiting.id)
        assert there is not None
        assert [medium.path for medium in there.media] == [None] * 3
