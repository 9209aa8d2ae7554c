"""What to send next: the order of the outbox, looked up in its index. Outbox's sessions, on their threads."""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from trapd.frozen import Frozen, field, replace
from trapd.records import Kind, Message, Priority
from trapd.rules import PRIORITY
from trapd.store.queue import transfer

if TYPE_CHECKING:
    from dataclasses import KW_ONLY

_COLUMNS = (
    "SELECT outbox.row, bytes, kind, priority, outbox.leaf, retain,"
    " CASE WHEN retain THEN (SELECT payload FROM leaf WHERE leaf.leaf = outbox.leaf) ELSE payload END,"
    " event.id, CASE WHEN kind = 'thumb' THEN event.thumb END, payload IS NULL AND NOT retain, correlation"
    " FROM outbox LEFT JOIN event ON event.row = outbox.event"
)
_OLDEST = f"{_COLUMNS} WHERE priority = ? AND kind = ? AND awaits = 0 ORDER BY outbox.row LIMIT ?"
_NEWEST = f"{_COLUMNS} WHERE priority = ? AND kind = ? AND awaits = 0 ORDER BY outbox.row DESC LIMIT ?"
_AGAIN = (
    # An urgent event's row has a priority of its own.
    f"{_COLUMNS} WHERE awaits > 0 AND awaits < ?"
    " AND priority NOT IN (SELECT value FROM json_each(?)) ORDER BY awaits, outbox.row LIMIT ?"
)
_EXEMPT = (
    f"{_COLUMNS} WHERE priority = ? AND kind = '{Kind.CONTROL.value}' AND awaits = 0"
    " AND outbox.leaf IN (SELECT value FROM json_each(?)) ORDER BY outbox.row LIMIT ?"
)
_ROW = f"{_COLUMNS} WHERE outbox.row = ?"
_LEAF = f"{_COLUMNS} WHERE outbox.leaf = ? AND retain = 1"
_KINDS = {kind.value: kind for kind in Kind}
_PRIORITIES = tuple(Priority)
_ELSEWHERE = {Kind.EVENT: Priority.ALERT, Kind.THUMB: Priority.ALERT}  # those of urgent events


class Choice(Frozen):
    """Which rows may go now.

    At most `max_bytes` of payload along with them, but always one row. Not the rows `exclude` (in flight,
    held), no parts of photographs that are in flight, by row, no kind that is `resting`, no priority that is
    `barred`. `below`: only what is of lower priority than this, the oldest first whatever its priority. Rows
    that await their receipt go again behind the others when their mark is less than `again_below`. `only`: no
    other than the row of this number, or of this retained leaf. `exempt`: leaves of Kind.CONTROL that go
    although their priority is barred.
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
    only: int | str | None = None
    exempt: Collection[str] = ()


class _Row(NamedTuple):
    """One row of the outbox, in the order of _COLUMNS. `made`: its bytes are made when it is sent."""

    row: int
    size_bytes: int
    kind: str
    priority: int
    leaf: str
    retain: int
    payload: bytes | None
    event_id: str | None
    file: str | None
    made: int
    correlation: bytes | None


_number = itemgetter(0)


def choose(connection: sqlite3.Connection, limit: int, choice: Choice) -> list[Message]:
    """At most `limit` publishes in the order in which they should go."""
    left_out = frozenset(choice.exclude)
    chosen: list[Message] = []
    total_bytes = 0
    for row in _rows(connection, limit + len(left_out) + len(choice.parts_out), choice):
        if row[0] in left_out:
            continue
        in_parts = row[9] and row[2] in transfer.KINDS
        for message in _parts(connection, row, limit - len(chosen), choice) if in_parts else (_whole(row),):
            if message.payload is not None:
                total_bytes += message.bytes
            if len(chosen) == limit or (chosen and total_bytes > choice.max_bytes):
                return chosen
            chosen.append(message)
        if len(chosen) == limit:
            break
    return chosen


def _rows(connection: sqlite3.Connection, limit: int, choice: Choice) -> Iterator[_Row]:
    """Read one by one: what nobody asks for any more is not looked up."""
    if choice.only is not None:
        return _look(connection, _ROW if isinstance(choice.only, int) else _LEAF, (choice.only,))
    kinds = [kind for kind in _present(connection) if kind not in choice.resting]
    allowed = [
        priority
        for priority in Priority
        if (priority not in choice.barred or _has_exempt(priority, choice))
        and (choice.below is None or priority > choice.below)
    ]
    found = (_candidates(connection, priority, kinds, limit, choice) for priority in allowed)
    if choice.below is None:
        return chain.from_iterable(found)
    # Those that await their receipt come last among the events, whatever their age.
    in_order = (
        sorted(rows, key=_number) if priority is Priority.EVENT else rows
        for priority, rows in zip(allowed, found, strict=True)
    )
    return heapq.merge(*in_order, key=_number)


def _has_exempt(priority: Priority, choice: Choice) -> bool:
    return priority is PRIORITY[Kind.CONTROL] and bool(choice.exempt)


def _present(connection: sqlite3.Connection) -> list[Kind]:
    rows = connection.execute("SELECT name FROM tally WHERE name LIKE 'outbox.%' AND value > 0")
    return [Kind(row["name"].removeprefix("outbox.")) for row in rows]


def _candidates(
    connection: sqlite3.Connection, priority: Priority, kinds: Sequence[Kind], limit: int, choice: Choice
) -> Iterator[_Row]:
    """The first `limit` rows of one priority, in order; one look into the index for each kind."""
    if priority in choice.barred:
        if Kind.CONTROL in kinds:
            exempt = json.dumps(sorted(choice.exempt))
            yield from _look(connection, _EXEMPT, (int(priority), exempt, limit))
        return
    newest_first = priority is Priority.ALERT
    found = [
        _look(connection, _NEWEST if newest_first else _OLDEST, (int(priority), kind.value, limit))
        for kind in kinds
        if priority in (PRIORITY[kind], _ELSEWHERE.get(kind))
    ]
    merged = found[0] if len(found) == 1 else heapq.merge(*found, key=_number, reverse=newest_first)
    count = 0
    for row in islice(merged, limit):
        yield row
        count += 1
    if priority is Priority.EVENT and Kind.EVENT in kinds and count < limit:
        barred = json.dumps([int(priority) for priority in choice.barred])
        yield from _look(connection, _AGAIN, (choice.again_below, barred, limit - count))


def _look(connection: sqlite3.Connection, query: str, values: Sequence[object]) -> Iterator[_Row]:
    cursor = connection.cursor()
    cursor.row_factory = None  # plain tuples: a name for each column would cost more than all else
    found: Iterator[_Row] = cursor.execute(query, values)
    return found


def _whole(row: _Row) -> Message:
    number, size_bytes, kind, priority, leaf, retain, payload, event_id, file, _, correlation = row
    whose = _PRIORITIES[priority]
    return Message(
        number, _KINDS[kind], leaf, retain == 1, payload, event_id, file, correlation, size_bytes, whose
    )


def _parts(connection: sqlite3.Connection, row: _Row, most: int, choice: Choice) -> list[Message]:
    whole = _whole(row)
    out = choice.parts_out.get(whole.row, ())
    parts, chunk_bytes = transfer.to_go(
        connection, whole.row, whole.bytes, choice.chunk_bytes, out=out, most=max(1, most)
    )
    part_bytes = min(whole.bytes, chunk_bytes)
    return [replace(whole, bytes=part_bytes, part=part, chunk_bytes=chunk_bytes) for part in parts]
