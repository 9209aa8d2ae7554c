"""Photographs on their way: one outbox row each, and a bit for every part that is still to go.

Part 0 is the manifest, part n + 1 the chunk n. The row's leaf is `media/<id>`. Progress is written in the
transaction that notes the broker's answers, so that a break costs what was in flight and no more. Called by
Outbox and Events, within their transactions, on their threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

from trapd.errors import BadPicture
from trapd.frozen import Frozen
from trapd.records import Kind, Medium, Moment
from trapd.rules import PRIORITY
from trapd.store.files import names
from trapd.store.sqlite.rows import queue_row

KINDS = frozenset({Kind.MEDIA_REQUESTED, Kind.MEDIA_BULK})
_PREFIX = "media/"
_LONGEST_FRAME = 4  # digits; more is no frame of ours and no number for SQLite

Ranges = Sequence[tuple[int, int]]
"""First and last chunk, both included."""


class Requested(Frozen):
    """What became of a request, by media id. `missing`: known, and its file is gone."""

    queued: tuple[str, ...]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]


def leaf(medium_id: str) -> str:
    """The leaf of a photograph's row: above its manifest and its chunks."""
    return f"{_PREFIX}{medium_id}"


def medium_of(leaf: str) -> str:
    """The id of the photograph that such a row is for."""
    return leaf.removeprefix(_PREFIX)


def chunks(size_bytes: int, chunk_bytes: int) -> int:
    """How many chunks a photograph of this size has."""
    return -(-size_bytes // chunk_bytes)


def read_chunk(root: Path, medium: Medium, number: int, chunk_bytes: int) -> bytes:
    """Chunk `number` of a photograph. Raises BadPicture where it is evicted, missing or cut short."""
    if medium.path is None:
        raise BadPicture(f"photograph {medium.id} was evicted")
    begin = number * chunk_bytes
    wanted = min(chunk_bytes, medium.bytes - begin)
    try:
        with (root / medium.path).open("rb", buffering=0) as file:
            file.seek(begin)
            data = file.read(wanted)
    except OSError as error:
        raise BadPicture(f"photograph {medium.id} cannot be read: {error.strerror}") from error
    if wanted <= 0 or len(data) != wanted:
        raise BadPicture(f"photograph {medium.id} is shorter than its row says")
    return data


def queue(
    connection: sqlite3.Connection, now: Moment, event: int, medium: Medium, kind: Kind
) -> tuple[int, bool]:
    """The row that sends this photograph, made where none waits; True if it was. Requests overtake bulk."""
    found = connection.execute(
        "SELECT row, kind FROM outbox WHERE leaf = ? AND payload IS NULL"
        " AND kind IN ('media_requested', 'media_bulk')",
        (leaf(medium.id),),
    ).fetchone()
    if found is not None and (found["kind"] == kind.value or kind is Kind.MEDIA_BULK):
        return int(found["row"]), False
    progress = None
    if found is not None:
        progress = _progress(connection, found["row"])
        connection.execute("DELETE FROM outbox WHERE row = ?", (found["row"],))
    row = queue_row(
        connection,
        now,
        kind=kind,
        priority=PRIORITY[kind],
        leaf=leaf(medium.id),
        event=event,
        size_bytes=medium.bytes,
    )
    if progress is not None:
        _write(connection, row, *progress)
    return row, found is None


def request(
    connection: sqlite3.Connection,
    now: Moment,
    medium_id: str,
    ranges: Ranges | None,
    chunk_bytes: int,
) -> bool | None:
    """Queue a photograph that somebody asks for: True, False where its file is gone, None for an unknown id.

    With `ranges` only those chunks and the manifest. What waits already goes on where it is, and gets the
    ranges added; where only ranges of it wait and now all is asked for, all goes.
    """
    found = _find(connection, medium_id)
    if found is None:
        return None
    event, medium = found
    if medium.path is None or medium.bytes <= 0:
        return False
    row, new = queue(connection, now, event, medium, Kind.MEDIA_REQUESTED)
    if ranges is None:
        _want_all(connection, row, medium.bytes)
    else:
        wanted = 1
        for first, last in ranges:
            last_there = min(last, chunks(medium.bytes, chunk_bytes) - 1)
            if first <= last_there:
                wanted |= ((1 << (last_there - first + 1)) - 1) << (first + 1)
        progress = _progress(connection, row)
        if new:
            _write(connection, row, chunk_bytes, wanted)
            connection.execute("UPDATE transfer SET whole = 0 WHERE row = ?", (row,))
        elif progress is not None:
            # Asked in chunks of another size than those under way: then all of it.
            added = wanted if progress[0] == chunk_bytes else _all(medium.bytes, progress[0])
            _write(connection, row, progress[0], progress[1] | added)
    return True


def to_go(
    connection: sqlite3.Connection,
    row: int,
    size_bytes: int,
    chunk_bytes: int,
    *,
    out: Collection[int],
    most: int,
) -> tuple[list[int], int]:
    """At most `most` parts of this row that are neither done nor in `out`, and the size of their chunks.

    Chunks are never larger than `chunk_bytes`: what began with larger ones begins again.
    """
    progress = _progress(connection, row)
    if progress is None or progress[0] > chunk_bytes:
        progress = (chunk_bytes, _all(size_bytes, chunk_bytes))
    chunk_bytes, left = progress
    found: list[int] = []
    while left and len(found) < most:
        part = (left & -left).bit_length() - 1
        left &= left - 1
        if part not in out:
            found.append(part)
    return found, chunk_bytes


def done(connection: sqlite3.Connection, row: int, chunk_bytes: int, parts: Sequence[int]) -> None:
    """The broker has these parts; with its last one the row goes. A row that is gone is passed over."""
    found = connection.execute("SELECT bytes FROM outbox WHERE row = ?", (row,)).fetchone()
    if found is None:
        return
    progress = _progress(connection, row)
    if progress is not None and progress[0] < chunk_bytes:
        return  # parts of larger chunks, which have begun again since
    if progress is None or progress[0] > chunk_bytes:
        progress = (chunk_bytes, _all(found["bytes"], chunk_bytes))
    left = progress[1]
    for part in parts:
        left &= ~(1 << part)
    if left:
        _write(connection, row, chunk_bytes, left)
    else:
        connection.execute("DELETE FROM outbox WHERE row = ?", (row,))


def _find(connection: sqlite3.Connection, medium_id: str) -> tuple[int, Medium] | None:
    event_id, _, frame = medium_id.rpartition("-")
    if not (frame.isascii() and frame.isdigit() and len(frame) <= _LONGEST_FRAME):
        return None
    row = connection.execute(
        "SELECT event.row AS event_row, medium.* FROM event JOIN medium ON medium.event = event.row"
        " WHERE event.id = ? AND medium.frame = ?",
        (event_id, int(frame)),
    ).fetchone()
    if row is None or names.medium_id(event_id, int(frame)) != medium_id:
        return None
    return int(row["event_row"]), Medium(
        id=medium_id,
        type=row["type"],
        bytes=row["bytes"],
        sha256="",
        width=row["width"],
        height=row["height"],
        path=None if row["evicted"] else row["path"],
    )


def _want_all(connection: sqlite3.Connection, row: int, size_bytes: int) -> None:
    """Which of the others has gone before, nobody knows any more: all of them go."""
    found = connection.execute(
        "SELECT chunk_bytes FROM transfer WHERE row = ? AND whole = 0", (row,)
    ).fetchone()
    if found is not None:
        _write(connection, row, found["chunk_bytes"], _all(size_bytes, found["chunk_bytes"]))
        connection.execute("UPDATE transfer SET whole = 1 WHERE row = ?", (row,))


def _all(size_bytes: int, chunk_bytes: int) -> int:
    return (1 << (1 + chunks(size_bytes, chunk_bytes))) - 1


def _progress(connection: sqlite3.Connection, row: int) -> tuple[int, int] | None:
    found = connection.execute("SELECT chunk_bytes, remaining FROM transfer WHERE row = ?", (row,)).fetchone()
    if found is None:
        return None
    return int(found["chunk_bytes"]), int.from_bytes(found["remaining"], "little")


def _write(connection: sqlite3.Connection, row: int, chunk_bytes: int, left: int) -> None:
    connection.execute(
        "INSERT INTO transfer (row, chunk_bytes, remaining) VALUES (?, ?, ?)"
        " ON CONFLICT (row) DO UPDATE SET chunk_bytes = excluded.chunk_bytes, remaining = excluded.remaining",
        (row, chunk_bytes, left.to_bytes((left.bit_length() + 7) // 8 or 1, "little")),
    )
