"""The write-ahead log of a database, as all connections of one process share it.

A sync of it that fails gives up whatever was not durable yet: also counts, which an earlier transaction wrote
without a sync. They are still read back, and no later sync brings them to the disk; but after a power cut
SQLite stops at the first that is missing, and passes over every transaction behind it. So nothing is
committed behind a failed sync until all of the log has been written again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trapd.errors import StoreError
from trapd.store.files.durable import disk_errors, file_bytes, write_again

BUSY_S = 10.0  # every write is short: a longer wait is a fault


class Log:
    """Any thread. `file`: the database's."""

    def __init__(self, file: Path) -> None:
        self._file = file.with_name(f"{file.name}-wal")
        self._lock = threading.Lock()
        self._doubted = False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One connection at a time, from before its transaction until it is known what became of it."""
        if not self._lock.acquire(timeout=BUSY_S):
            raise busy()
        try:
            yield
        finally:
            self._lock.release()

    def open(self) -> int:
        """A handle for `sync`. Keep it: one that is opened after a failed write is not told of that."""
        with disk_errors("open the database's log"):
            return os.open(self._file, os.O_RDWR | os.O_CLOEXEC)

    def sync(self, handle: int) -> None:
        """Make durable what was committed without a sync; nobody commits meanwhile.

        Raises StoreUnwritable, StoreFull, StoreError; then the log is in doubt.
        """
        with self.writing():
            if self._doubted:
                self.mend()
                return
            with disk_errors("make the database's log durable"):
                try:
                    os.fdatasync(handle)
                except OSError:
                    self.doubt()
                    raise

    def doubt(self) -> None:
        """The disk failed under the database: what the log holds may never get there."""
        self._doubted = True

    def mend(self) -> None:
        """Write a doubted log again. Within a transaction that writes: nobody else may add to it meanwhile.

        Raises StoreUnwritable, StoreError where the disk still refuses; then it stays doubted.
        """
        if self._doubted:
            with disk_errors("make the database's log durable again"):
                if file_bytes(self._file):
                    write_again(self._file)
            self._doubted = False


def busy() -> StoreError:
    """Somebody else wrote for too long."""
    return StoreError(f"the database was busy for {BUSY_S:.0f} s", "another program may hold it: end it")
