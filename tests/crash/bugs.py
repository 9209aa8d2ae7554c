"""Faults put into the store on purpose, most of the kind that only a power cut shows."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from trapd.errors import StoreError
from trapd.records import Message
from trapd.store.files import durable
from trapd.store.photographs import burst, thumbs
from trapd.store.queue import outbox
from trapd.store.queue.outbox import Outbox
from trapd.store.repair import damage, rebuild, recovery
from trapd.store.sqlite import database, log, schema
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import EPOCH, REBUILT, Meta


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

    def _write(self: Database, *, sync: bool = True) -> AbstractContextManager[sqlite3.Connection]:
        self._connection.execute("PRAGMA synchronous=OFF")
        return right(self, sync=sync)

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


def row_gone_when_taken() -> None:
    """A row is deleted when it is handed out to be sent, and not when it was acknowledged."""
    right = Outbox.next

    def _next(self: Outbox, limit: int, **choice: Any) -> list[Message]:
        taken = right(self, limit, **choice)
        self.acknowledge([message.row for message in taken])
        return taken

    vars(outbox)["Outbox"].next = _next


def refused_commit_trusted() -> None:
    """A transaction that the disk refused is taken for done."""
    right = Database.write

    @contextmanager
    def _write(self: Database, *, sync: bool = True) -> Iterator[sqlite3.Connection]:
        begun = False
        try:
            with right(self, sync=sync) as connection:
                begun = True
                yield connection
        except StoreError:
            if not begun:
                raise

    vars(database)["Database"].write = _write


def failed_log_trusted() -> None:
    """What stands in a log whose sync has failed is built upon."""
    vars(log)["Log"].mend = _nothing


def rebuild_noted_later() -> None:
    """That a database takes another's place is noted in a transaction of its own, behind its epoch."""
    right = rebuild.begin_epoch

    def _begin_epoch(
        database: Database, taken: frozenset[str], drawn: Iterator[str], *, takes_place: bool
    ) -> str:
        is_new = Meta(database).get(EPOCH) is None
        epoch = right(database, taken, drawn, takes_place=False)
        if is_new and takes_place:
            Meta(database).put(REBUILT, "{}")
        return epoch

    vars(rebuild)["begin_epoch"] = _begin_epoch


def migration_in_pieces() -> None:
    """Each statement of a migration is a transaction of its own, the new version's number the first."""

    def _migrate(database: Database, migrations: tuple[tuple[str, ...], ...] = schema.MIGRATIONS) -> None:
        version = database.number("PRAGMA user_version")
        for number, statements in enumerate(migrations[version:], version + 1):
            header = (f"PRAGMA application_id = {schema.APPLICATION_ID}", f"PRAGMA user_version = {number}")
            for statement in (*header, *statements):
                with database.write() as connection:
                    connection.execute(statement)

    vars(schema)["migrate"] = _migrate


BUGS: dict[str, Callable[[], None]] = {
    "no-file-sync": no_file_sync,
    "no-folder-sync": no_folder_sync,
    "link-before-sync": link_before_sync,
    "no-transaction-sync": no_transaction_sync,
    "thumbs-not-secured": thumbs_not_secured,
    "row-gone-when-taken": row_gone_when_taken,
    "refused-commit-trusted": refused_commit_trusted,
    "failed-log-trusted": failed_log_trusted,
    "rebuild-noted-later": rebuild_noted_later,
    "migration-in-pieces": migration_in_pieces,
    "found-names-trusted": found_names_trusted,
    "found-folder-trusted": found_folder_trusted,
    "found-log-trusted": found_log_trusted,
    "sqlite-trusted": sqlite_trusted,
}
