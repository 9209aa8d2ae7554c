"""Rows that several tables' writers need, inside a transaction that the caller has begun."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from trapd.errors import StoreCorrupt
from trapd.records import Kind, Moment, Priority, State
from trapd.store.sqlite.database import Database

EPOCH = "epoch"
LAST_SEQ = "last_seq"
LAST_N = "last_n"
LAST_DELIVERY_MS = "last_delivery_ms"
CLEAN = "clean"
_DELIVERED = (  # the words stand in it: with values bound in their place SQLite looks at more rows
    f"UPDATE event SET state = '{State.DELIVERED.value}' WHERE state = '{State.KEPT.value}'"
    f" AND row IN (SELECT event FROM outbox WHERE kind = '{Kind.EVENT.value}'"
    " AND row IN (SELECT value FROM json_each(?)))"
)
BACKED_UP_SEQ = "backed_up_seq"  # the last one that the backup knew when it was restored
REBUILT = "rebuilt"  # what a rebuild found, until the operator has been told


class Meta:
    """Small facts about the whole store, as text by key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> str | None:
        """None where it was never put."""
        row = self._database.one("SELECT value FROM meta WHERE key = ?", (key,))
        return None if row is None else str(row["value"])

    def put(self, key: str, value: str) -> None:
        """One transaction of its own, one sync."""
        with self._database.write() as connection:
            put_meta(connection, key, value)

    def put_or_forget(self, key: str, value: str | None) -> None:
        """As `put`; None forgets it."""
        if value is not None:
            self.put(key, value)
            return
        with self._database.write() as connection:
            connection.execute("DELETE FROM meta WHERE key = ?", (key,))


def put_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Set `key`, within the caller's transaction."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def count(connection: sqlite3.Connection, name: str, by: int) -> None:
    """Count `by` more of `name`, within the caller's transaction."""
    connection.execute(
        "INSERT INTO counter (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        (name, by),
    )


def number_of(connection: sqlite3.Connection, name: str) -> int:
    """The count of `name`; 0 where nothing was counted."""
    row = connection.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()
    return 0 if row is None else int(row["value"])


def meta_number(connection: sqlite3.Connection, key: str) -> int:
    """The number under `key`; 0 where it was never put. Raises StoreCorrupt for what is none."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    try:
        return 0 if row is None else int(row["value"])
    except ValueError as error:
        raise StoreCorrupt(f"{key} is no number: {row['value']!r}", "the next start looks closely") from error


def boot_row(connection: sqlite3.Connection, boot_id: str) -> int:
    """The row that stands for this boot; made where it is missing."""
    found = connection.execute("SELECT row FROM boot WHERE boot_id = ?", (boot_id,)).fetchone()
    if found is not None:
        return int(found["row"])
    cursor = connection.execute("INSERT INTO boot (boot_id) VALUES (?)", (boot_id,))
    return int(cursor.lastrowid or 0)


def queue_row(
    connection: sqlite3.Connection,
    now: Moment,
    *,
    kind: Kind,
    priority: Priority,
    leaf: str,
    size_bytes: int,
    retain: bool = False,
    event: int | None = None,
    payload: bytes | None = None,
    correlation: bytes | None = None,
) -> int:
    """Put one row into the outbox and give its id."""
    cursor = connection.execute(
        "INSERT INTO outbox"
        " (priority, kind, leaf, retain, event, bytes, queued_ms, queued_boot_ms, boot, payload, correlation)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            int(priority),
            kind.value,
            leaf,
            int(retain),
            event,
            size_bytes,
            now.wall_ms,
            now.boot_ns // 1_000_000,
            boot_row(connection, now.boot_id),
            payload,
            correlation,
        ),
    )
    return int(cursor.lastrowid or 0)


def free(connection: sqlite3.Connection, rows: Sequence[int]) -> None:
    """These rows go; an event's makes its event `delivered`. Within the caller's transaction."""
    if not rows:
        return
    these = json.dumps(list(rows))
    connection.execute(_DELIVERED, (these,))
    connection.execute("DELETE FROM outbox WHERE row IN (SELECT value FROM json_each(?))", (these,))
