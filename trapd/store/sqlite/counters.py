"""Counts that must survive the process but not each cost a sync. One object per session, on its thread.

They are written by a connection of their own whose commits do not sync: kill -9 loses none, and the next
durable commit of any connection carries them along. A power cut loses those since then.
"""

from __future__ import annotations

from pathlib import Path

from trapd.errors import StoreError
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import count, number_of, put_meta


class Counters:
    """`file` None: to read only."""

    def __init__(self, database: Database, file: Path | None) -> None:
        self._database = database
        self._file = file
        self._quick: Database | None = None

    def add(self, name: str, by: int = 1) -> None:
        """Count `by` more of `name`. No sync."""
        with self._unsynced().write() as connection:
            count(connection, name, by)

    def put(self, name: str, value: int) -> None:
        """Set a count to what it is now. No sync."""
        with self._unsynced().write() as connection:
            count(connection, name, value - number_of(connection, name))

    def remember(self, key: str, value: str) -> None:
        """Set a small fact of `meta`. No sync."""
        with self._unsynced().write() as connection:
            put_meta(connection, key, value)

    def all(self) -> dict[str, int]:
        """Every count, by name."""
        return {
            row["name"]: row["value"]
            for row in self._database.all("SELECT name, value FROM counter ORDER BY name")
        }

    def _unsynced(self) -> Database:
        if self._file is None:
            raise StoreError("this session only reads")
        if self._quick is None:
            self._quick = Database.open(self._file, durable=False, log=self._database.log)
        return self._quick

    def close(self) -> None:
        """May be called twice."""
        if self._quick is not None:
            self._quick.close()
            self._quick = None
