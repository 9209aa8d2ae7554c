"""What to send next: the order of the outbox, looked up in its index. Outbox's sessions, on their threads."""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import NamedTuple

from trapd.records import Kind, Message, Priority
from trapd.rules import PRIORITY
from trapd.store import transfer

_COLUMNS = "SELECT row, bytes, kind, payload IS NULL AS made FROM outbox"
_OLDEST = f"{_COLUMNS} WHERE priority = ? AND kind = ? AND awaits = 0 ORDER BY row LIMIT ?"
_NEWEST = f"{_COLUMNS} WHERE priority = ? AND kind = ? AND awaits = 0 ORDER BY row DESC LIMIT ?"
_AGAIN = (
    # An urgent event's row has a priority of its own.
    f"{_COLUMNS} WHERE awaits > 0 AND awaits < ?"
    " AND priority NOT IN (SELECT value FROM json_each(?)) ORDER BY awaits, row LIMIT ?"
)
_WHOLE = (
    "SELECT outbox.*, event.id AS event_id, event.thumb, leaf.payload AS retained FROM outbox"
    " LEFT JOIN event ON event.row = outbox.event"
    " LEFT JOIN leaf ON leaf.leaf = outbox.leaf AND outbox.retain = 1"
    " WHERE outbox.row IN (SELECT value FROM json_each(?))"
)
_KINDS = {kind.value: kind for kind in Kind}
_PRIORITIES = tuple(Priority)
_ELSEWHERE = {Kind.EVENT: Priority.ALERT, Kind.THUMB: Priority.ALERT}  # those of urgent events


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows may go now.

    At most `max_bytes` of them, but always one. Not the rows `exclude` (in flight, held), no parts of
    photographs that are in flight, by row, no kind that is `resting`, no priority that is `barred`. `below`:
    only what is of lower priority than this, the oldest first whatever its priority. Rows that await their
    receipt go again behind the others when their mark is less than `again_below`.
    """

    _: KW_ONLY
    max_bytes: int
    exclude: Collection[int] = ()
    parts_out: Mapping[int, Collection[int]] = field(default_factory=dict)
    resting: Collection[Kind] = ()
    barred: Collection[Priority] = ()
    below: Priority | None = None
    again_below: int = 2**62
    chunk_bytes: int = 65_536


class _Publish(NamedTuple):
    row: int
    size_bytes: int
    part: int = 0
    chunk_bytes: int = 0


def choose(connection: sqlite3.Connection, limit: int, choice: Choice) -> list[Message]:
    """At most `limit` publishes in the order in which they should go."""
    left_out = frozenset(choice.exclude)
    chosen: list[_Publish] = []
    total_bytes = 0
    for row in _rows(connection, limit + len(left_out) + len(choice.parts_out), choice):
        if row["row"] in left_out:
            continue
        for publish in _publishes(connection, row, limit - len(chosen), choice):
            total_bytes += publish.size_bytes
            if len(chosen) == limit or (chosen and total_bytes > choice.max_bytes):
                return _messages(connection, chosen)
            chosen.append(publish)
        if len(chosen) == limit:
            break
    return _messages(connection, chosen)


def _rows(connection: sqlite3.Connection, limit: int, choice: Choice) -> Iterator[sqlite3.Row]:
    kinds = [kind for kind in _present(connection) if kind not in choice.resting]
    allowed = [
        priority
        for priority in Priority
        if priority not in choice.barred and (choice.below is None or priority > choice.below)
    ]
    found = (_candidates(connection, priority, kinds, limit, choice) for priority in allowed)
    if choice.below is None:
        for rows in found:
            yield from rows
    else:
        yield from sorted((row for rows in found for row in rows), key=lambda row: int(row["row"]))


def _present(connection: sqlite3.Connection) -> list[Kind]:
    rows = connection.execute("SELECT name FROM tally WHERE name LIKE 'outbox.%' AND value > 0")
    return [Kind(row["name"].removeprefix("outbox.")) for row in rows]


def _candidates(
    connection: sqlite3.Connection, priority: Priority, kinds: Sequence[Kind], limit: int, choice: Choice
) -> list[sqlite3.Row]:
    """The first `limit` rows of one priority, in order; one look into the index for each kind."""
    newest_first = priority is Priority.ALERT
    found = [
        connection.execute(
            _NEWEST if newest_first else _OLDEST, (int(priority), kind.value, limit)
        ).fetchall()
        for kind in kinds
        if priority in (PRIORITY[kind], _ELSEWHERE.get(kind))
    ]
    merged = list(heapq.merge(*found, key=lambda row: row["row"], reverse=newest_first))[:limit]
    if priority is Priority.EVENT and Kind.EVENT in kinds and len(merged) < limit:
        barred = json.dumps([int(priority) for priority in choice.barred])
        merged += connection.execute(_AGAIN, (choice.again_below, barred, limit - len(merged))).fetchall()
    return merged


def _publishes(connection: sqlite3.Connection, row: sqlite3.Row, most: int, choice: Choice) -> list[_Publish]:
    number, size_bytes = row["row"], row["bytes"]
    if not row["made"] or row["kind"] not in transfer.KINDS:
        return [_Publish(number, size_bytes)]
    out = choice.parts_out.get(number, ())
    parts, chunk_bytes = transfer.to_go(
        connection, number, size_bytes, choice.chunk_bytes, out=out, most=max(1, most)
    )
    return [_Publish(number, min(size_bytes, chunk_bytes), part, chunk_bytes) for part in parts]


def _messages(connection: sqlite3.Connection, chosen: Sequence[_Publish]) -> list[Message]:
    if not chosen:
        return []
    rows = connection.execute(_WHOLE, (json.dumps([publish.row for publish in chosen]),)).fetchall()
    found = {row["row"]: row for row in rows}
    return [_message(found[publish.row], publish) for publish in chosen]


def _message(row: sqlite3.Row, publish: _Publish) -> Message:
    return Message(
        row=publish.row,
        kind=_KINDS[row["kind"]],
        leaf=row["leaf"],
        retain=bool(row["retain"]),
        payload=row["retained"] if row["retain"] else row["payload"],
        event_id=row["event_id"],
        file=row["thumb"] if row["kind"] == Kind.THUMB else None,
        bytes=publish.size_bytes,
        priority=_PRIORITIES[row["priority"]],
        part=publish.part,
        chunk_bytes=publish.chunk_bytes,
    )
