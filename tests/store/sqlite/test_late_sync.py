"""The sync that comes after its commits: what it promises, and what becomes of one that fails."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.store.common import running
from trapd.errors import StoreUnwritable
from trapd.records import Kind
from trapd.store import Session

WITHIN_S = 10.0


def rows(session: Session, count: int) -> list[int]:
    return [session.outbox.put(Kind.TRAIL, "trail", b"x", retain=False) for _ in range(count)]


class Disk:
    """Its syncs of the log are counted, wait for `go`, and fail when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Event()
        self.failing = False
        self.syncs = 0
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, handle: int) -> None:
        self.begun.set()
        assert self.go.wait(WITHIN_S)
        self.syncs += 1
        if self.failing:
            raise OSError(5, os.strerror(5))
        self._real(handle)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_the_writer_goes_on_and_is_told_when_it_is_durable(tmp_path: Path, disk: Disk) -> None:
    with running(tmp_path) as (_, session):
        row = rows(session, 1)[0]
        disk.go.clear()
        session.outbox.acknowledge([row], sync=False)
        session.late_sync.begin()
        assert disk.begun.wait(WITHIN_S)
        assert session.outbox.depth() == {}
        assert not session.late_sync.ended()
        disk.go.set()
        assert session.late_sync.wait(WITHIN_S)
        assert session.late_sync.ended()
        assert disk.syncs == 1


def test_without_anything_begun_it_has_ended(tmp_path: Path, disk: Disk) -> None:
    with running(tmp_path) as (_, session):
        assert session.late_sync.ended()
    assert disk.syncs == 0


def test_nobody_commits_while_it_lasts(tmp_path: Path, disk: Disk) -> None:
    with running(tmp_path) as (store, session):
        disk.go.clear()
        session.late_sync.begin()
        assert disk.begun.wait(WITHIN_S)
        written = threading.Event()

        def write() -> None:
            with store.session() as other:
                rows(other, 1)
            written.set()

        writer = threading.Thread(target=write)
        writer.start()
        assert not written.wait(0.05)
        disk.go.set()
        writer.join(WITHIN_S)
        assert written.is_set()


def test_one_that_fails_is_told_once_and_the_log_written_again(tmp_path: Path, disk: Disk) -> None:
    with running(tmp_path) as (_, session):
        first, second = rows(session, 2)
        disk.failing = True
        session.outbox.acknowledge([first], sync=False)
        session.late_sync.begin()
        assert session.late_sync.wait(WITHIN_S)
        with pytest.raises(StoreUnwritable, match="log durable"):
            session.late_sync.ended()
        assert session.late_sync.ended()
        disk.failing = False
        session.outbox.acknowledge([second], sync=False)
        assert not session.database.log._doubted
        assert session.outbox.depth() == {}


def test_a_log_in_doubt_is_written_again_instead(tmp_path: Path, disk: Disk) -> None:
    with running(tmp_path) as (_, session):
        rows(session, 1)
        session.database.log.doubt()
        session.late_sync.begin()
        assert session.late_sync.wait(WITHIN_S)
        assert session.late_sync.ended()
        assert disk.syncs == 0
        assert not session.database.log._doubted


def test_what_was_begun_ends_before_the_session_does(tmp_path: Path, disk: Disk) -> None:
    with running(tmp_path) as (store, _):
        with store.session() as session:
            session.late_sync.begin()
        assert disk.syncs == 1


def test_a_commit_without_a_sync_is_followed_by_those_with_one(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        session.outbox.acknowledge(rows(session, 1), sync=False)
        assert session.database.number("PRAGMA synchronous") == 2
