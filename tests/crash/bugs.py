"""Faults put into the store on purpose, each of the kind that only a power cut shows."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from trapd.store import burst, damage, database, durable, recovery, thumbs
from trapd.store.database import Database


def _nothing(*_: object) -> None:
    """In place of a sync."""


def _write_unsynced(file: Path, data: bytes) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def no_file_sync() -> None:
    """A photograph's bytes are never synced."""
    durable.write_new = _write_unsynced


def no_folder_sync() -> None:
    """A folder's entries are never synced."""
    for module in (durable, damage, recovery):
        vars(module)["sync_folder"] = _nothing


def link_before_sync() -> None:
    """A photograph gets its name before its bytes are durable."""
    durable.write_new = _write_unsynced
    right = burst.BurstFiles._link

    def _link(self: burst.BurstFiles) -> None:
        right(self)
        for final in self._finals:
            durable.sync_file(final)

    vars(burst)["BurstFiles"]._link = _link


def no_transaction_sync() -> None:
    """A commit is not synced."""
    right = Database.write

    def _write(self: Database) -> AbstractContextManager[sqlite3.Connection]:
        self._connection.execute("PRAGMA synchronous=OFF")
        return right(self)

    vars(database)["Database"].write = _write


def found_folder_trusted() -> None:
    """A folder that is there is taken for durable."""
    right = durable.Folders.make

    def _make(self: durable.Folders, folder: Path) -> None:
        if not folder.is_dir():
            right(self, folder)

    vars(durable)["Folders"].make = _make


def found_names_trusted() -> None:
    """Photographs that lie there are adopted as they are."""
    vars(recovery)["MediaFiles"]._make_names_durable = _nothing


def found_log_trusted() -> None:
    """What the database's log says is taken for durable, and so is its name."""
    vars(damage)["_write_log_again"] = _nothing


def sqlite_trusted() -> None:
    """SQLite is left to make its log's name durable."""
    vars(damage)["sync_folder"] = _nothing


def thumbs_not_secured() -> None:
    """A photograph is evicted whose thumbnail is not durable yet."""
    vars(thumbs)["secure"] = lambda *_: 0


BUGS: dict[str, Callable[[], None]] = {
    "no-file-sync": no_file_sync,
    "no-folder-sync": no_folder_sync,
    "link-before-sync": link_before_sync,
    "no-transaction-sync": no_transaction_sync,
    "thumbs-not-secured": thumbs_not_secured,
    "found-names-trusted": found_names_trusted,
    "found-folder-trusted": found_folder_trusted,
    "found-log-trusted": found_log_trusted,
    "sqlite-trusted": sqlite_trusted,
}
