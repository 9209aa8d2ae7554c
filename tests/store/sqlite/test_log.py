"""The log of a database whose sync has failed. What a disk does then: tests/crash/test_errors.py."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.store.common import running
from trapd.errors import StoreError, StoreUnwritable
from trapd.store import Session
from trapd.store.sqlite import log


def put(session: Session, value: str) -> None:
    session.meta.put("key", value)


def test_nothing_is_committed_until_a_doubted_log_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as (store, session), store.session() as other:
        put(session, "before")
        session.database.log.doubt()

        def refuse(*_: object) -> int:
            raise OSError(5, os.strerror(5))

        with monkeypatch.context() as disk:
            disk.setattr(os, "pwrite", refuse)
            for each in (session, other):  # they share it
                with pytest.raises(StoreUnwritable, match="log durable again"):
                    put(each, "refused")
        assert session.meta.get("key") == "before"
        put(other, "after")
        assert session.meta.get("key") == "after"


def test_a_doubted_log_is_written_again_once_and_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, bytes]] = []
    real = os.pwrite

    def noted(fd: int, data: bytes, offset: int) -> int:
        written.append((offset, data))
        return real(fd, data, offset)

    with running(tmp_path) as (_, session):
        for number in range(50):
            put(session, str(number))
        before = (tmp_path / "trapd.db-wal").read_bytes()
        with monkeypatch.context() as disk:
            disk.setattr(os, "pwrite", noted)
            session.database.log.doubt()
            put(session, "one")
            put(session, "two")
        assert b"".join(data for _, data in written) == before
        assert (tmp_path / "trapd.db-wal").read_bytes().startswith(before)


def test_who_waits_too_long_to_write_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "BUSY_S", 0.05)
    with running(tmp_path) as (store, session):
        writes, done = threading.Event(), threading.Event()

        def hold() -> None:
            with store.session() as other, other.database.write():
                writes.set()
                done.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        assert writes.wait(10)
        with pytest.raises(StoreError, match="was busy"):
            put(session, "late")
        done.set()
        thread.join()
        put(session, "in time")
