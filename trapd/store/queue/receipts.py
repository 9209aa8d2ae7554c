"""What a receipt speaks of: rows by their event's id, or by epoch and number. On the session's thread.

An event that had to be given up has no row of its own any more. Its tombstone in the outbox still says which
it was, and is receipted like any other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from trapd.store.sqlite.rows import EPOCH, LAST_N, free, meta_number

_ID, _THEIR_EPOCH, _N = (f"json_extract(CAST(payload AS TEXT), '$.{key}')" for key in ("id", "epoch", "n"))
_TOMBSTONES = "FROM outbox WHERE kind = 'event' AND event IS NULL"
_OF_EVENT = (
    "SELECT outbox.row, awaits FROM event LEFT JOIN outbox"
    " ON outbox.event = event.row AND outbox.kind = 'event' WHERE event.id = ?"
)
_LOST = f"SELECT row, awaits, {_ID} AS id {_TOMBSTONES} AND {_ID} IN (SELECT value FROM json_each(?))"
_UPTO = (
    # CROSS JOIN keeps the order: over what awaits, not over every event there ever was.
    "SELECT outbox.row FROM outbox CROSS JOIN event ON event.row = outbox.event"
    " WHERE outbox.awaits > 0 AND outbox.kind = 'event' AND event.epoch = ?1 AND event.n <= ?2"
    f" UNION ALL SELECT row {_TOMBSTONES} AND awaits > 0 AND {_THEIR_EPOCH} = ?1 AND {_N} <= ?2 LIMIT ?3"
)
_LAST_OF = (
    "SELECT max(n) FROM (SELECT max(n) AS n FROM event WHERE epoch = ?1"
    f" UNION ALL SELECT max({_N}) {_TOMBSTONES} AND {_THEIR_EPOCH} = ?1)"
)


def of_ids(connection: sqlite3.Connection, ids: Sequence[str]) -> list[str]:
    """Free the rows of these events that the broker has; the ids that nobody knows."""
    freed: list[int] = []
    unknown: list[str] = []
    for event_id in ids:
        found = connection.execute(_OF_EVENT, (event_id,)).fetchone()
        if found is None:
            unknown.append(event_id)
        elif found["awaits"]:
            freed.append(found["row"])
    if unknown:
        lost = connection.execute(_LOST, (json.dumps(unknown),)).fetchall()
        freed += [row["row"] for row in lost if row["awaits"]]
        known = {row["id"] for row in lost}
        unknown = [event_id for event_id in unknown if event_id not in known]
    free(connection, freed)
    return unknown


def upto(connection: sqlite3.Connection, epoch: str, n: int, limit: int) -> list[int]:
    """At most `limit` rows that await the receipt of an event of `epoch` with a number up to `n`."""
    return [row["row"] for row in connection.execute(_UPTO, (epoch, n, limit))]


def knows(connection: sqlite3.Connection, epoch: str, n: int) -> bool:
    """Whether number `n` was ever given in `epoch`, as far as what is left of it tells."""
    here = connection.execute("SELECT 1 FROM meta WHERE key = ? AND value = ?", (EPOCH, epoch)).fetchone()
    if here is not None:
        return n <= meta_number(connection, LAST_N)
    last = connection.execute(_LAST_OF, (epoch,)).fetchone()[0]
    return last is not None and n <= last
