"""One SQLite file, and the one way every connection to it is set up and used.

A connection belongs to the thread that opened it. Writes are BEGIN IMMEDIATE and short. What SQLite raises
becomes StoreFull, StoreCorrupt or StoreError here and nowhere else.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from trapd.errors import StoreCorrupt, StoreError, StoreFull, StoreUnwritable
from trapd.store.files.durable import file_bytes
from trapd.store.sqlite.log import BUSY_S, Log, busy

FILE = "trapd.db"
BACKUP = f"{FILE}.backup"
# Housekeep brings the log back into the database every few seconds, so that no burst and no verdict pays for
# it; this many pages (16 MB) are the net under that.
_CHECKPOINT_PAGES = 4000
_LOG_BYTES = 16_000_000
# Each connection's own, and there are eight. One that now and then looks through the whole database keeps
# what it has read until it looks again, so it has to be little. The kernel has the same pages, and can let go
# of them: with four times as much no look-up and no drain is faster.
_SMALL_CACHE = "PRAGMA cache_size=-256"  # kB
_COPY_PAGES = 256
_REBUILT = "trapd rebuilds it at its next start"
_TELL_STEPS = 1_000_000  # of SQLite's machine: a fraction of a second


class Database:
    """A connection. `log` is that of all connections of this process to the same file."""

    def __init__(self, connection: sqlite3.Connection, log: Log) -> None:
        self._connection = connection
        self.log = log

    @classmethod
    def open(cls, file: Path, *, durable: bool = True, log: Log | None = None) -> Database:
        """Open for writing; the file is made where it is missing. Raises StoreError and its children.

        `durable` False: commits survive the end of the process, not yet a power cut. `log`: of a connection
        that this process has to the same file already.
        """
        with _sqlite_errors():
            connection = _connect(f"{file.absolute().as_uri()}?mode=rwc")
            try:
                if file_bytes(file) == 0:
                    # Pages that are free again can then be given back to the disk; later is too late.
                    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(_SMALL_CACHE)
                connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                connection.execute("PRAGMA foreign_keys=ON")
                connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
                connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}")
            except BaseException:
                connection.close()
                raise
            return cls(connection, log or Log(file))

    @classmethod
    def open_read_only(cls, file: Path, *, immutable: bool = False) -> Database:
        """Open to look only, beside a running daemon or without one. `immutable`: nobody writes, no log."""
        uri = file.absolute().as_uri()
        log_file = file.with_name(file.name + "-wal")
        with _sqlite_errors():
            if immutable or (not os.access(file.parent, os.W_OK) and not log_file.exists()):
                # SQLite would have to make its -wal and -shm and may not. Without a log nobody writes, and
                # the file holds everything.
                connection = _connect(f"{uri}?mode=ro&immutable=1")
            else:
                connection = _connect(f"{uri}?mode=ro")
            try:
                connection.execute("PRAGMA query_only=ON")
                connection.execute(_SMALL_CACHE)
            except BaseException:
                connection.close()
                raise
            return cls(connection, Log(file))

    @contextmanager
    def write(self, *, sync: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing.

        `sync` False: a kill does not undo it, and a power cut may until the log is synced.
        """
        with self.log.writing(), _sqlite_errors(self.log), self._syncing(sync):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self.log.mend()
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    @contextmanager
    def _syncing(self, sync: bool) -> Iterator[None]:
        if not sync:
            self._connection.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            if not sync:
                self._connection.execute("PRAGMA synchronous=FULL")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Several queries on one state of the database. Short: a long reader lets the log grow."""
        with _sqlite_errors():
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._roll_back()

    def all(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Every row of one query."""
        with _sqlite_errors():
            return self._connection.execute(query, values).fetchall()

    def one(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of one query, None without any."""
        with _sqlite_errors():
            row: sqlite3.Row | None = self._connection.execute(query, values).fetchone()
            return row

    def number(self, query: str, values: Sequence[Any] = ()) -> int:
        """The one number that a query gives; 0 for none."""
        row = self.one(query, values)
        return int(row[0]) if row is not None and row[0] is not None else 0

    def checkpoint(self) -> None:
        """Bring the log back into the database as far as no reader stands in the way; waits for nobody."""
        with _sqlite_errors(self.log):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def copy_to(self, file: Path, each: Callable[[], None]) -> None:
        """Write this database, as it is now, into a new file; `each` is called about once a megabyte.

        Holds one state of the database all the while, so that writers do not make it begin again. Not synced
        at the end. What `each` raises ends it.
        """

        def progress(status: int, remaining: int, total: int) -> None:  # noqa: ARG001 - sqlite3's signature
            # By and by: one large sync at the end would hold up everybody else's.
            os.fdatasync(out)
            each()

        with _sqlite_errors(), closing(sqlite3.connect(file, isolation_level=None)) as target:
            target.execute(_SMALL_CACHE)
            target.execute("PRAGMA journal_mode=OFF")
            target.execute("PRAGMA synchronous=OFF")
            out = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            self._connection.execute("BEGIN")
            try:
                self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                self._connection.backup(target, pages=_COPY_PAGES, progress=progress)
            finally:
                self._roll_back()
                os.close(out)

    def check_whole(self, each: Callable[[], None] | None = None, *, closely: bool = False) -> None:
        """Read every page; `closely` compares every index with its table too. Raises StoreCorrupt.

        `each` is called now and then, and may raise.
        """
        with nullcontext() if each is None else self.telling(each):
            said = self.all(f"PRAGMA {'integrity' if closely else 'quick'}_check(1)")
        if said[0][0] != "ok":
            raise StoreCorrupt(f"the database is damaged: {said[0][0]}", "it is set aside")

    @contextmanager
    def telling(self, each: Callable[[], None]) -> Iterator[None]:
        """Within, `each` is called now and then while a query runs; what it raises ends the query.

        Reading the pages of a check may be one step, some 20 s for each gigabyte of a slow card.
        """
        raised: list[BaseException] = []

        def progress() -> int:
            try:
                each()
            except BaseException as error:
                raised.append(error)
            return len(raised)

        self._connection.set_progress_handler(progress, _TELL_STEPS)
        try:
            yield
        except StoreError:
            if raised:
                raise raised[0] from None
            raise
        finally:
            self._connection.set_progress_handler(None, 0)

    def give_back(self, most_pages: int) -> None:
        """Return at most so many free pages to the disk."""
        with self.log.writing(), _sqlite_errors(self.log):
            # It steps once for every page and has no columns: execute() would stop after the first step.
            self._connection.executescript(f"PRAGMA incremental_vacuum({most_pages})")

    def free_pages(self) -> tuple[int, int]:
        """Pages that hold nothing, and all pages."""
        return self.number("PRAGMA freelist_count"), self.number("PRAGMA page_count")

    def close(self) -> None:
        """May be called twice."""
        self._connection.close()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            # What counts is the error that led here; SQLite has often rolled back by itself.
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")


def log_bytes(file: Path) -> int:
    """Size of the database's write-ahead log."""
    return file_bytes(file.with_name(file.name + "-wal"))


def database_bytes(file: Path) -> int:
    """What the database takes on the disk: file and log."""
    return file_bytes(file) + log_bytes(file)


def is_damage(error: StoreError) -> bool:
    """Whether another database file would not have met this: it is the file's own fault, not the disk's."""
    cause = error.__cause__
    if isinstance(error, StoreCorrupt):
        return True
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF not in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    )


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def _sqlite_errors(log: Log | None = None) -> Iterator[None]:
    """`log`: the one that is written meanwhile."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise StoreCorrupt(f"the database is damaged: {error}", _REBUILT) from error
    except sqlite3.Error as error:
        if log is not None and _primary(error) == sqlite3.SQLITE_IOERR:
            log.doubt()
        raise store_error(error) from error


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def store_error(error: sqlite3.Error) -> StoreError:
    """The StoreError that says what SQLite met."""
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    primary = _primary(error)
    if primary == sqlite3.SQLITE_FULL or extended == sqlite3.SQLITE_IOERR_SHMSIZE:
        return StoreFull("the database cannot grow: no space left", "free space on the disk of storage.path")
    garbled = "Could not decode to UTF-8" in str(error)  # Python's own word: SQLite has none for it
    if garbled or primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(f"the database is damaged: {error}", _REBUILT)
    if primary == sqlite3.SQLITE_BUSY:
        return busy()
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        kind = StoreUnwritable if primary == sqlite3.SQLITE_READONLY else StoreError
        return kind(
            f"the database cannot be used: {error}",
            "look at the permissions and mount options of storage.path",
        )
    if primary == sqlite3.SQLITE_IOERR:
        return StoreUnwritable(f"the disk failed under the database: {error}", "look at the disk and its log")
    return StoreError(f"the database refused: {error}")
