"""What the unit was told, and what became of it: one row for each command and each attempt at control.

One object per session, on its thread; Control writes. A command is here before it is obeyed: one that
comes again, or that ended the process, is not obeyed twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trapd.records import Kind, Moment, TsQuality
from trapd.rules import PRIORITY
from trapd.store.database import Database
from trapd.store.rows import meta_number, put_meta, queue_row

_COMMANDS_KEPT = 2000
_TRAIL_KEPT = 1000
_FORGOTTEN_MS = "commands_forgotten_ms"
_AHEAD_MS = 86_400_000
_NEVER_MS = 2**53


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A payload for a leaf, queued in the same transaction as what it tells of."""

    kind: Kind
    leaf: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """A command that was here before. `answer` None: it was begun, and no answer was given."""

    answer: bytes | None


class Obeyed:
    """`now` stamps rows."""

    def __init__(self, database: Database, *, now: Callable[[], Moment]) -> None:
        self._database = database
        self._now = now

    def known(self, txn: str) -> Known | None:
        """What is known of this command; None where it is new."""
        row = self._database.one("SELECT answer FROM command WHERE txn = ?", (txn,))
        return None if row is None else Known(row["answer"])

    def forgotten_ms(self) -> int:
        """Commands issued up to this time may have been here, and be forgotten. 0: none was forgotten."""
        row = self._database.one("SELECT value FROM meta WHERE key = ?", (_FORGOTTEN_MS,))
        return 0 if row is None else int(row["value"])

    def begin(self, txn: str, command: str, issued_ms: int | None) -> bool:
        """Note a command before it is obeyed; False where its name was here already. One sync."""
        with self._database.write() as connection:
            return self._begin(connection, txn, command, issued_ms)

    def end(self, txn: str, answer: bytes, outgoing: Iterable[Outgoing], trail: bytes | None) -> None:
        """Its answer, what goes out with it, and its line in the trail. One sync."""
        with self._database.write() as connection:
            connection.execute("UPDATE command SET answer = ? WHERE txn = ?", (answer, txn))
            self._queue(connection, outgoing, trail)

    def tell(self, outgoing: Iterable[Outgoing], trail: bytes | None = None) -> None:
        """What goes out, and a line in the trail, of something that is no command of its own. One sync."""
        with self._database.write() as connection:
            self._queue(connection, outgoing, trail)

    def trail(self, limit: int) -> list[bytes]:
        """The newest lines, the oldest of them first."""
        rows = self._database.all("SELECT payload FROM trail ORDER BY row DESC LIMIT ?", (limit,))
        return [row["payload"] for row in reversed(rows)]

    def _begin(self, connection: sqlite3.Connection, txn: str, command: str, issued_ms: int | None) -> bool:
        made = connection.execute(
            "INSERT INTO command (txn, command, issued_ms) VALUES (?, ?, ?) ON CONFLICT (txn) DO NOTHING",
            (txn, command, issued_ms),
        )
        if made.rowcount == 0:
            return False
        # Counted, not reckoned from the last: a name that comes again uses a number up.
        oldest = "row <= (SELECT row FROM command ORDER BY row DESC LIMIT 1 OFFSET ?)"
        gone = connection.execute(
            f"SELECT max(issued_ms) AS issued_ms FROM command WHERE {oldest}", (_COMMANDS_KEPT,)
        ).fetchone()
        if gone["issued_ms"] is not None:
            reached = min(gone["issued_ms"], self._latest_ms())
            if reached > meta_number(connection, _FORGOTTEN_MS):
                put_meta(connection, _FORGOTTEN_MS, str(reached))
        connection.execute(f"DELETE FROM command WHERE {oldest}", (_COMMANDS_KEPT,))
        return True

    def _latest_ms(self) -> int:
        """What was issued later than this has a clock that is wrong, or is a trap for all that come after."""
        now = self._now()
        return _NEVER_MS if now.quality is TsQuality.UNSET else now.wall_ms + _AHEAD_MS

    def _queue(
        self, connection: sqlite3.Connection, outgoing: Iterable[Outgoing], trail: bytes | None
    ) -> None:
        for each in outgoing:
            queue_leaf(connection, self._now(), each)
        if trail is not None:
            connection.execute("INSERT INTO trail (payload) VALUES (?)", (trail,))
            connection.execute(
                "DELETE FROM trail WHERE row <= (SELECT max(row) FROM trail) - ?", (_TRAIL_KEPT,)
            )
            queue_leaf(connection, self._now(), Outgoing(Kind.TRAIL, "trail", trail))


def queue_leaf(connection: sqlite3.Connection, now: Moment, out: Outgoing) -> int:
    """Queue a payload within the caller's transaction; gives its row.

    A retained one takes the place of what waits for its leaf, and is remembered.
    """
    if out.retain:
        connection.execute("DELETE FROM outbox WHERE leaf = ? AND retain = 1", (out.leaf,))
        connection.execute(
            "INSERT INTO leaf (leaf, kind, payload) VALUES (?, ?, ?)"
            " ON CONFLICT (leaf) DO UPDATE SET kind = excluded.kind, payload = excluded.payload",
            (out.leaf, out.kind.value, out.payload),
        )
    return queue_row(
        connection,
        now,
        kind=out.kind,
        priority=PRIORITY[out.kind],
        leaf=out.leaf,
        size_bytes=len(out.payload),
        retain=out.retain,
        # A retained payload lies in `leaf`, once.
        payload=None if out.retain else out.payload,
    )
