"""What goes when space is short, and in which order. Called by Space.tidy, on Housekeep's thread.

1 discarded bursts, 2 photographs and thumbnails of delivered ones (those drawn for audit last: people have to
look at them), 3 undelivered photographs (their event and thumbnail stay), 4 thumbnails, 5 the files of audit
samples, 6 rows: of discarded bursts, of delivered ones, and last of events that still wait, each of which
leaves a tombstone in its place. Within each the oldest first. A burst that is not judged yet is never
touched: judging it comes first.

Every step is counted (`evicted.<step>`) in the transaction that takes it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from trapd.frozen import Frozen
from trapd.records import Kind, Moment, Priority
from trapd.store.database import Database
from trapd.store.rows import count, queue_row

_COLUMNS = "SELECT row, id, thumb FROM event"
_WAITS = "EXISTS (SELECT 1 FROM outbox WHERE outbox.event = event.row)"
_DELIVERED = f"has_files = 1 AND state = 'delivered' AND NOT {_WAITS}"
_DRAWN = "EXISTS (SELECT 1 FROM sample WHERE sample.event = event.id)"
_HAS_MEDIA = "EXISTS (SELECT 1 FROM medium WHERE medium.event = event.row AND medium.evicted = 0)"
_STILL_HAS_FILES = f"UPDATE event SET has_files = (thumb IS NOT NULL OR {_HAS_MEDIA}) WHERE row = ?"
_OF_MEDIA = (Kind.MEDIA_REQUESTED, Kind.MEDIA_BULK)
_TOMBSTONE_REASON = "space"
_ROWS_AT_ONCE = 200

Tombstone = Callable[[str, str, int, str], bytes]
"""Makes the payload that takes an event's place: id, epoch, n, reason."""


class Step(Frozen):
    """Which events lose files, and which files: `media`, `thumb` or both."""

    name: str
    where: str
    media: bool
    thumb: bool


DUE_TO_NOBODY = (
    Step("discarded", f"has_files = 1 AND state = 'discarded' AND NOT {_WAITS}", media=True, thumb=True),
    Step("delivered", f"{_DELIVERED} AND NOT {_DRAWN}", media=True, thumb=True),
    Step("delivered", _DELIVERED, media=True, thumb=True),
)
UNDELIVERED = (
    Step("undelivered", f"has_files = 1 AND state = 'delivered' AND audit = 0 AND {_HAS_MEDIA}", True, False),
    Step("undelivered", f"has_files = 1 AND state = 'kept' AND audit = 0 AND {_HAS_MEDIA}", True, False),
    Step("thumbs", "has_files = 1 AND state = 'delivered' AND audit = 0", True, True),
    Step("thumbs", "has_files = 1 AND state = 'kept' AND audit = 0", True, True),
    Step("audit", "has_files = 1 AND state = 'delivered'", True, True),
    Step("audit", "has_files = 1 AND state = 'kept'", True, True),
)
LOSSES = ("evicted.undelivered", "evicted.thumbs", "evicted.audit", "evicted.events", "evicted.orphans")
"""The counters of what the receiver will never see: in orphans/ may lie photographs that nobody sent."""

_ROWS = (
    "has_files = 0 AND state = 'discarded'",
    f"has_files = 0 AND state = 'delivered' AND NOT {_WAITS}",
    "has_files = 0 AND state IN ('kept', 'delivered')",
)


class Victim(Frozen):
    """An event, and its files that go."""

    row: int
    id: str
    files: tuple[str, ...]
    step: Step


def victims(database: Database, steps: Sequence[Step], limit: int) -> list[Victim]:
    """The oldest events of the first step that finds any."""
    for step in steps:
        rows = database.all(f"{_COLUMNS} WHERE {step.where} ORDER BY row LIMIT ?", (limit,))
        if rows:
            return [victim(database, row, step) for row in rows]
    return []


def victim(database: Database, row: sqlite3.Row, step: Step) -> Victim:
    """The files that this step takes of an event."""
    media = database.all(
        "SELECT path FROM medium WHERE event = ? AND evicted = 0 ORDER BY frame", (row["row"],)
    )
    files = [medium["path"] for medium in media] if step.media else []
    if step.thumb and row["thumb"] is not None:
        files.append(row["thumb"])
    return Victim(row["row"], row["id"], tuple(files), step)


def mark(database: Database, chosen: Sequence[Victim]) -> None:
    """Note that these files are gone, and forget what would have been sent of them. One transaction."""
    with database.write() as connection:
        for each in chosen:
            _forget_files(connection, each)
            connection.execute(_STILL_HAS_FILES, (each.row,))
            count(connection, f"evicted.{each.step.name}", 1)


def _forget_files(connection: sqlite3.Connection, each: Victim) -> None:
    gone: list[Kind] = []
    if each.step.media:
        connection.execute("UPDATE medium SET evicted = 1 WHERE event = ?", (each.row,))
        gone += _OF_MEDIA
    if each.step.thumb:
        connection.execute("UPDATE event SET thumb = NULL, thumb_bytes = NULL WHERE row = ?", (each.row,))
        gone.append(Kind.THUMB)
    for kind in gone:
        connection.execute("DELETE FROM outbox WHERE event = ? AND kind = ?", (each.row, kind.value))


def give_up_rows(database: Database, now: Moment, tombstone: Tombstone) -> int:
    """Delete the rows of events, oldest first; how many. Undelivered ones leave a tombstone."""
    for where in _ROWS:
        with database.write() as connection:
            rows = connection.execute(
                f"SELECT row, id, epoch, n, state FROM event WHERE {where} ORDER BY row LIMIT ?",
                (_ROWS_AT_ONCE,),
            ).fetchall()
            for row in rows:
                _give_up(connection, row, now, tombstone)
        if rows:
            return len(rows)
    return 0


def _give_up(connection: sqlite3.Connection, row: sqlite3.Row, now: Moment, tombstone: Tombstone) -> None:
    connection.execute("DELETE FROM outbox WHERE event = ?", (row["row"],))
    connection.execute("DELETE FROM event WHERE row = ?", (row["row"],))  # and its photographs' rows
    if row["state"] != "kept":
        count(connection, "evicted.rows", 1)
        return
    payload = tombstone(row["id"], row["epoch"], row["n"], _TOMBSTONE_REASON)
    queue_row(
        connection,
        now,
        kind=Kind.EVENT,
        priority=Priority.EVENT,
        leaf="event",
        size_bytes=len(payload),
        payload=payload,
    )
    count(connection, "evicted.events", 1)
