"""What goes when space is short, and in which order. Called by Space.tidy, on Housekeep's thread.

1 discarded bursts, 2 photographs and thumbnails of delivered ones (those drawn for audit last: people have to
look at them), 3 undelivered photographs (their event and thumbnail stay), 4 thumbnails, 5 the files of audit
samples, 6 rows: of discarded bursts, of delivered ones, and last of events that still wait. Within each the
oldest first. A burst that is not judged yet is never touched: judging it comes first.

What nobody has seen yet leaves a tombstone: a photograph, a thumbnail that waited, an event.

Every step is counted (`evicted.<step>`) in the transaction that takes it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from trapd.frozen import Frozen
from trapd.records import Kind, Moment
from trapd.rules import PRIORITY
from trapd.store.files import names
from trapd.store.queue import transfer
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import count, queue_row

_COLUMNS = "SELECT row, id, thumb FROM event"
_WAITS = "EXISTS (SELECT 1 FROM outbox WHERE outbox.event = event.row)"
# What takes a file's place has a payload of its own, and needs no file.
_WAITS_WITH_FILES = "EXISTS (SELECT 1 FROM outbox WHERE outbox.event = event.row AND payload IS NULL)"
_DELIVERED = f"has_files = 1 AND state = 'delivered' AND NOT {_WAITS_WITH_FILES}"
_DRAWN = "EXISTS (SELECT 1 FROM sample WHERE sample.event = event.id)"
_HAS_MEDIA = "EXISTS (SELECT 1 FROM medium WHERE medium.event = event.row AND medium.evicted = 0)"
_STILL_HAS_FILES = f"UPDATE event SET has_files = (thumb IS NOT NULL OR {_HAS_MEDIA}) WHERE row = ?"
_OF_MEDIA = (Kind.MEDIA_REQUESTED, Kind.MEDIA_BULK)
_TOMBSTONE_REASON = "space"
_ROWS_AT_ONCE = 200


class Tombstones(Frozen):
    """Make the payloads that take the place of an event (its id, epoch, n and the reason) and of a photograph
    or thumbnail (its id and the reason).
    """

    event: Callable[[str, str, int, str], bytes]
    file: Callable[[str, str], bytes]


class Step(Frozen):
    """Which events lose files, and which files: `media`, `thumb` or both."""

    name: str
    where: str
    media: bool
    thumb: bool


DUE_TO_NOBODY = (
    Step(
        "discarded",
        f"has_files = 1 AND state = 'discarded' AND NOT {_WAITS_WITH_FILES}",
        media=True,
        thumb=True,
    ),
    Step("delivered", f"{_DELIVERED} AND NOT {_DRAWN}", media=True, thumb=True),
    Step("delivered", _DELIVERED, media=True, thumb=True),
)
UNDELIVERED = (
    Step("undelivered", "has_files = 1 AND state = 'discarded'", True, True),  # somebody has asked for them
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
    f"has_files = 0 AND state = 'discarded' AND NOT {_WAITS}",
    f"has_files = 0 AND state = 'delivered' AND NOT {_WAITS}",
    "has_files = 0 AND state <> 'captured'",
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


def mark(
    database: Database, chosen: Sequence[Victim], now: Moment, tombstones: Tombstones | None = None
) -> None:
    """Note that these files are gone, and forget what would have been sent of them. One transaction.

    With `tombstones`, those go in their place.
    """
    with database.write() as connection:
        for each in chosen:
            dues = _dues(connection, each)
            _forget_files(connection, each)
            if tombstones is not None:
                for kind, leaf, file_id in dues:
                    payload = tombstones.file(file_id, _TOMBSTONE_REASON)
                    _queue(connection, now, kind, leaf, payload, event=each.row)
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
        # Tombstones stay: they have a payload of their own.
        connection.execute(
            "DELETE FROM outbox WHERE event = ? AND kind = ? AND payload IS NULL", (each.row, kind.value)
        )


def _dues(connection: sqlite3.Connection, each: Victim) -> list[tuple[Kind, str, str]]:
    """What the receiver will never see: kind, leaf and id of its photographs, and of a waiting thumbnail."""
    waiting = connection.execute(
        "SELECT kind, leaf FROM outbox WHERE event = ? AND payload IS NULL", (each.row,)
    ).fetchall()
    kinds = {row["leaf"]: Kind(row["kind"]) for row in waiting}
    dues = []
    if each.step.media:
        frames = connection.execute(
            "SELECT frame FROM medium WHERE event = ? AND evicted = 0 ORDER BY frame", (each.row,)
        )
        for row in frames:
            medium_id = names.medium_id(each.id, row["frame"])
            leaf = transfer.leaf(medium_id)
            dues.append((kinds.get(leaf, Kind.MEDIA_BULK), leaf, medium_id))
    if each.step.thumb:
        dues += [(kind, leaf, each.id) for leaf, kind in kinds.items() if kind is Kind.THUMB]
    return dues


def _queue(
    connection: sqlite3.Connection,
    now: Moment,
    kind: Kind,
    leaf: str,
    payload: bytes,
    *,
    event: int | None = None,
) -> None:
    queue_row(
        connection,
        now,
        kind=kind,
        priority=PRIORITY[kind],
        leaf=leaf,
        size_bytes=len(payload),
        event=event,
        payload=payload,
    )


def give_up_rows(database: Database, now: Moment, tombstones: Tombstones) -> int:
    """Delete the rows of events, oldest first; how many. Undelivered ones leave a tombstone."""
    for where in _ROWS:
        with database.write() as connection:
            rows = connection.execute(
                f"SELECT row, id, epoch, n, state FROM event WHERE {where} ORDER BY row LIMIT ?",
                (_ROWS_AT_ONCE,),
            ).fetchall()
            for row in rows:
                _give_up(connection, row, now, tombstones)
        if rows:
            return len(rows)
    return 0


def _give_up(connection: sqlite3.Connection, row: sqlite3.Row, now: Moment, tombstones: Tombstones) -> None:
    if row["state"] == "kept":
        # Its own tombstone speaks for its photographs too.
        connection.execute("DELETE FROM outbox WHERE event = ?", (row["row"],))
    else:
        connection.execute("DELETE FROM outbox WHERE event = ? AND payload IS NULL", (row["row"],))
        connection.execute("UPDATE outbox SET event = NULL WHERE event = ?", (row["row"],))
    connection.execute("DELETE FROM event WHERE row = ?", (row["row"],))  # and its photographs' rows
    if row["state"] != "kept":
        count(connection, "evicted.rows", 1)
        return
    payload = tombstones.event(row["id"], row["epoch"], row["n"], _TOMBSTONE_REASON)
    _queue(connection, now, Kind.EVENT, "event", payload)
    count(connection, "evicted.events", 1)
