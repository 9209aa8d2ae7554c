"""What the unit was told, and what became of it: one row for each command and each attempt at control.

One object per session, on its thread; Control writes. An hour of the trail has a number of lines; what is
more is counted (trail_hour). A command is here before it is obeyed: one that
comes again, or that ended the process, is not obeyed twice. So is a message: one that the broker gives again,
for our acknowledgement was lost, is no second attempt.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from trapd.frozen import Frozen
from trapd.records import Kind, Moment
from trapd.rules import PRIORITY
from trapd.store.queue import trail_hour
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import meta_number, put_meta, queue_row

_COMMANDS_KEPT = 1000  # with a time, and as many without
_FORGETS_EVERY = 50
_TRAIL_KEPT = 1000
_FORGOTTEN_MS = "commands_forgotten_ms"
TOLD = "notes_told"
HEARD = "heard"
_HEARD_KEPT = 64  # more than a broker gives before it has our acknowledgement


class Outgoing(Frozen):
    """A payload for a leaf, queued in the same transaction as what it tells of."""

    kind: Kind
    leaf: str
    payload: bytes
    retain: bool = False
    correlation: bytes | None = None


class Begun(Frozen):
    """A command that is obeyed: its leaf, and whom to answer beside `res/`. `kid`: the key that signed it.

    `boot_id`: of the boot in which it was begun.
    """

    txn: str
    command: str
    issued_ms: int | None = None
    reply: str | None = None
    correlation: bytes | None = None
    kid: str | None = None
    boot_id: str | None = None


class Known(Frozen):
    """A command that was here before, as its leaf has it. `answer` None: it is under way."""

    command: str
    answer: bytes | None


class Obeyed:
    """`now` stamps rows."""

    def __init__(self, database: Database, *, now: Callable[[], Moment]) -> None:
        self._database = database
        self._now = now
        self._hearing: str | None = None

    @contextmanager
    def hearing(self, message: str | None) -> Iterator[None]:
        """What is noted within notes also, in the same transaction, that this message was heard."""
        self._hearing = message
        try:
            yield
        finally:
            self._hearing = None

    def heard(self, message: str) -> bool:
        """Whether anything was noted of this message; the latest 64 are known."""
        row = self._database.one("SELECT value FROM meta WHERE key = ?", (HEARD,))
        return row is not None and message in json.loads(row["value"])

    def known(self, txn: str) -> Known | None:
        """What is known of this command; None where it is new."""
        row = self._database.one("SELECT command, answer FROM command WHERE txn = ?", (txn,))
        return None if row is None else Known(row["command"], row["answer"])

    def unanswered(self) -> list[Begun]:
        """All that were begun and not answered, the oldest first."""
        rows = self._database.all(
            "SELECT txn, command, issued_ms, reply, correlation, kid, boot_id FROM command"
            " WHERE answer IS NULL ORDER BY row"
        )
        return [Begun(*row) for row in rows]

    def told(self) -> frozenset[str]:
        """The keys of the notes that the trail has."""
        row = self._database.one("SELECT value FROM meta WHERE key = ?", (TOLD,))
        return frozenset() if row is None else frozenset(json.loads(row["value"]))

    def forgotten_ms(self) -> int:
        """Commands issued up to this time may have been here, and be forgotten. 0: none was forgotten."""
        row = self._database.one("SELECT value FROM meta WHERE key = ?", (_FORGOTTEN_MS,))
        return 0 if row is None else int(row["value"])

    def begin(self, begun: Begun) -> bool:
        """Note a command before it is obeyed; False where its name was here already. One sync."""
        with self._database.write() as connection:
            self._note_heard(connection)
            return self._begin(connection, begun)

    def end(
        self,
        txn: str,
        answer: bytes,
        outgoing: Iterable[Outgoing],
        *lines: bytes,
        told: Iterable[str] | None = None,
    ) -> None:
        """Its answer, what goes out with it, and its line in the trail. One sync. `told`: as in `tell`."""
        with self._database.write() as connection:
            connection.execute("UPDATE command SET answer = ? WHERE txn = ?", (answer, txn))
            self._queue(connection, outgoing, lines, told)

    def tell(self, outgoing: Iterable[Outgoing], *lines: bytes, told: Iterable[str] | None = None) -> None:
        """What goes out, and lines of the trail, of something that is no command of its own. One sync.

        `told`: the keys of all notes that the trail has from now on.
        """
        with self._database.write() as connection:
            self._queue(connection, outgoing, lines, told)

    def pass_over(self, attempts: int, line: bytes) -> None:
        """So many attempts nobody could look at. `line` counts them, or the hour's last one does."""
        with self._database.write() as connection:
            if trail_hour.take_turn(connection, self._now()):
                self._add_line(connection, line)
            else:
                trail_hour.pass_over(connection, self._now(), attempts - 1)

    def trail(self, limit: int) -> list[bytes]:
        """The newest lines, the oldest of them first."""
        rows = self._database.all("SELECT payload FROM trail ORDER BY row DESC LIMIT ?", (limit,))
        return [row["payload"] for row in reversed(rows)]

    def trail_hour_ends_ns(self) -> int | None:
        """When the hour of the trail is over, on this boot's clock; None where none has begun."""
        row = self._database.one("SELECT value FROM meta WHERE key = ?", (trail_hour.KEY,))
        hour = trail_hour.noted(None if row is None else row["value"], self._now())
        return None if hour is None else hour.ends_ns

    def end_trail_hour(self, payload: Callable[[int], bytes]) -> None:
        """It is over: one line, which `payload` makes, counts the attempts that got none. One sync."""
        with self._database.write() as connection:
            now = self._now()
            trail_hour.end(connection, now, lambda more: self._add_line(connection, payload(more)))

    def _begin(self, connection: sqlite3.Connection, begun: Begun) -> bool:
        made = connection.execute(
            "INSERT INTO command (txn, command, issued_ms, reply, correlation, kid, boot_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (txn) DO NOTHING",
            (
                begun.txn,
                begun.command,
                begun.issued_ms,
                begun.reply,
                begun.correlation,
                begun.kid,
                begun.boot_id or self._now().boot_id,
            ),
        )
        if made.rowcount == 0:
            return False
        if (made.lastrowid or 0) % _FORGETS_EVERY == 0:
            self._forget(connection)
        return True

    def _forget(self, connection: sqlite3.Connection) -> None:
        """Room for new ones. Those with a time go in the order in which they were issued, whenever they came:
        so all that is not known any more is older than all that is, and is known by its time. One that is
        dated years ahead stays for years.
        """
        connection.execute(
            "DELETE FROM command WHERE issued_ms IS NULL AND row <="
            " (SELECT row FROM command WHERE issued_ms IS NULL ORDER BY row DESC LIMIT 1 OFFSET ?)",
            (_COMMANDS_KEPT,),
        )
        gone = connection.execute(
            "SELECT issued_ms FROM command WHERE issued_ms IS NOT NULL"
            " ORDER BY issued_ms DESC LIMIT 1 OFFSET ?",
            (_COMMANDS_KEPT,),
        ).fetchone()
        if gone is None:
            return
        connection.execute("DELETE FROM command WHERE issued_ms <= ?", (gone["issued_ms"],))
        reached = max(gone["issued_ms"], meta_number(connection, _FORGOTTEN_MS))
        put_meta(connection, _FORGOTTEN_MS, str(reached))

    def _queue(
        self,
        connection: sqlite3.Connection,
        outgoing: Iterable[Outgoing],
        lines: Iterable[bytes],
        told: Iterable[str] | None,
    ) -> None:
        self._note_heard(connection)
        for each in outgoing:
            queue_leaf(connection, self._now(), each)
        for line in lines:
            if trail_hour.take_turn(connection, self._now()):
                self._add_line(connection, line)
        if told is not None:
            put_meta(connection, TOLD, json.dumps(sorted(told)))

    def _note_heard(self, connection: sqlite3.Connection) -> None:
        if self._hearing is None:
            return
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (HEARD,)).fetchone()
        known: list[str] = [] if row is None else json.loads(row["value"])
        if self._hearing not in known:
            put_meta(connection, HEARD, json.dumps([*known, self._hearing][-_HEARD_KEPT:]))

    def _add_line(self, connection: sqlite3.Connection, line: bytes) -> None:
        connection.execute("INSERT INTO trail (payload) VALUES (?)", (line,))
        connection.execute("DELETE FROM trail WHERE row <= (SELECT max(row) FROM trail) - ?", (_TRAIL_KEPT,))
        queue_leaf(connection, self._now(), Outgoing(Kind.TRAIL, "trail", line))


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
        correlation=out.correlation,
    )
