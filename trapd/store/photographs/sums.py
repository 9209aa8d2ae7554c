"""SHA-256 of photographs that were adopted without one: a rebuild must not read every photograph first.

Housekeep sums a few at every turn, and Events.settle whatever its event still lacks: nothing is published
without its sum. One object per session, on its thread.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from trapd.store.files import names
from trapd.store.files.durable import disk_errors
from trapd.store.sqlite.database import Database

log = logging.getLogger("trapd.store")

_UNSUMMED = (
    "SELECT medium.event, medium.frame, medium.path FROM medium {join}"
    " WHERE medium.sha256 IS NULL AND medium.evicted = 0"
)
_READ_BYTES = 1_000_000


class Sums:
    """The photographs below `root` that have no sum yet."""

    def __init__(self, root: Path, database: Database) -> None:
        self._root = root
        self._database = database

    def some(self, limit: int) -> int:
        """Sum at most `limit` photographs; how many were there to do. One sync, none where none lack it."""
        return self._sum(self._database.all(f"{_UNSUMMED.format(join='')} LIMIT ?", (limit,)))

    def of_event(self, event_id: str) -> int:
        """Sum what this event lacks."""
        query = _UNSUMMED.format(join="JOIN event ON event.row = medium.event")
        return self._sum(self._database.all(f"{query} AND event.id = ?", (event_id,)))

    def _sum(self, rows: Sequence[sqlite3.Row]) -> int:
        if not rows:
            return 0
        summed = [(self._sha256(row["path"]), row["event"], row["frame"]) for row in rows]
        with self._database.write() as connection:
            # One that cannot be read is gone, like one that was evicted; its event stays.
            connection.executemany(
                "UPDATE medium SET sha256 = ?1, evicted = max(evicted, ?1 IS NULL)"
                " WHERE event = ?2 AND frame = ?3 AND sha256 IS NULL",
                summed,
            )
        return len(rows)

    def _sha256(self, path: str) -> bytes | None:
        total = hashlib.sha256()
        try:
            with (self._root / path).open("rb") as photograph:
                while part := photograph.read(_READ_BYTES):
                    total.update(part)
        except FileNotFoundError:
            log.error("%s is gone from the disk", path)
            return None
        except OSError as error:
            log.error("%s cannot be read: %s", path, error.strerror)
            self._set_aside(path)
            return None
        return total.digest()

    def _set_aside(self, path: str) -> None:
        """What cannot be read today may be readable tomorrow: left in its place, the next start would take it
        for an eviction to be finished, and remove it.
        """
        file = self._root / path
        aside = self._root / names.ORPHANS / file.name
        number = 1
        while aside.exists():
            number += 1
            aside = aside.with_name(f"{file.name}.{number}")
        with disk_errors(f"move {path} aside"):
            file.rename(aside)
