"""Whether the database is still the file that its name stands for. Housekeep's thread.

A file that was removed or replaced under an open connection goes on working, and ends with the process: what
is written from then on no start will find. So the process ends at once, and the next one rebuilds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trapd.errors import StoreCorrupt
from trapd.store.files.durable import disk_errors
from trapd.store.sqlite.database import FILE, Database

_PARTS = (FILE, f"{FILE}-wal")


def identities(root: Path) -> dict[str, tuple[int, int]]:
    """Device and number of the database's file and of its log, where they are there. Raises StoreError."""
    found = {}
    with disk_errors("look at the database"):
        for name in _PARTS:
            try:
                status = (root / name).stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            found[name] = (status.st_dev, status.st_ino)
    return found


def check(root: Path, known: Mapping[str, tuple[int, int]], database: Database) -> None:
    """Raises StoreCorrupt where one is not the one it was; StoreError."""
    now = identities(root)
    gone = [name for name, identity in known.items() if now.get(name) != identity]
    if not gone:
        return
    database.checkpoint()  # what stands in a log without a name is kept where the database still has one
    raise StoreCorrupt(f"{' and '.join(gone)} was removed or replaced", "the next start looks what is there")
