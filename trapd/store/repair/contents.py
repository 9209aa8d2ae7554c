"""Every row of a database, read as those do who use it. Start-up only, where damage is suspected.

SQLite knows whether its pages and indexes hang together. It does not know what should stand in them: a bit
that flips within a text, in JSON or in a number passes every check of its own, and ends whoever reads it.
"""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

from trapd.errors import StoreCorrupt
from trapd.records import Kind, Priority, State
from trapd.store.bursts.event_rows import SELECT, to_event
from trapd.store.files import names
from trapd.store.queue import trail_hour
from trapd.store.queue.obeyed import HEARD, TOLD
from trapd.store.sqlite import schema
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import EPOCH, LAST_N, LAST_SEQ, REBUILT, meta_number

_EPOCH = "[0-9a-f]{4}"
_NUMBERS = frozenset(
    {LAST_N, LAST_SEQ, "backed_up_seq", "last_delivery_ms", "told_losses", "commands_forgotten_ms"}
)
_JSON = frozenset({REBUILT, trail_hour.KEY, HEARD, TOLD})
_COUNTED = (
    "SELECT 'event.' || state, count(*) FROM event GROUP BY 1"
    " UNION ALL SELECT 'outbox.' || kind, count(*) FROM outbox GROUP BY 1"
    " UNION ALL SELECT 'bytes.' || kind, sum(bytes) FROM outbox GROUP BY 1"
    " UNION ALL SELECT 'awaiting', count(*) FROM outbox WHERE awaits > 0"
)


def check(database: Database) -> None:
    """Raises StoreCorrupt where something stands that nobody wrote."""
    with database.read() as connection:
        try:
            for look in (_schema, _texts, _events, _outbox, _meta, _tally):
                look(connection)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise StoreCorrupt(f"the database holds what nobody wrote: {error}", "it is set aside") from error


def _schema(connection: sqlite3.Connection) -> None:
    """Tables and triggers are as they were made: a trigger that counts wrongly hides rows."""
    found, made = schema.words(connection), schema.newest_words()
    if differing := {name for name in found.keys() | made.keys() if found.get(name) != made.get(name)}:
        raise ValueError(f"{', '.join(sorted(differing))} is not as it was made")


def _texts(connection: sqlite3.Connection) -> None:
    """Each column of each row can be read at all."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for table in tables:
        for _ in connection.execute(f'SELECT * FROM "{table["name"]}"'):
            pass


def _events(connection: sqlite3.Connection) -> None:
    for row in connection.execute(SELECT):
        for medium in to_event(connection, row).media:
            name = None if medium.path is None else names.parse_photograph(Path(medium.path).name)
            if medium.path is not None and (name is None or name.medium_id != medium.id):
                raise ValueError(f"{medium.id} lies in {medium.path}")


def _outbox(connection: sqlite3.Connection) -> None:
    for row in connection.execute("SELECT row, priority, kind, event, payload, correlation FROM outbox"):
        kind, _ = Kind(row["kind"]), Priority(row["priority"])
        if kind is Kind.EVENT and row["event"] is None:
            json.loads(row["payload"])  # a tombstone
        if not isinstance(row["correlation"], bytes | None):
            raise TypeError(f"what row {row['row']} is to be known by is no bytes")
    for row in connection.execute("SELECT kind FROM leaf"):
        Kind(row["kind"])


def _meta(connection: sqlite3.Connection) -> None:
    found = {row["key"]: row["value"] for row in connection.execute("SELECT key, value FROM meta")}
    for key in found.keys() & _NUMBERS:
        int(found[key])
    for key in found.keys() & _JSON:
        json.loads(found[key])
    if EPOCH in found and not re.fullmatch(_EPOCH, found[EPOCH]):
        raise ValueError(f"{found[EPOCH]!r} is no epoch")
    for key, column in ((LAST_SEQ, "seq"), (LAST_N, "n")):
        query = f"SELECT max({column}) FROM event WHERE epoch = ?"
        given = connection.execute(query, (found.get(EPOCH),)).fetchone()[0]
        if given is not None and given > meta_number(connection, key):
            raise ValueError(f"{key} is {found.get(key)}, and {given} was given")


def _tally(connection: sqlite3.Connection) -> None:
    """The counts that triggers keep are those of the rows: what is counted as nothing is not looked for."""
    noted = {row["name"]: row["value"] for row in connection.execute("SELECT name, value FROM tally")}
    counted = {row[0]: row[1] for row in connection.execute(_COUNTED)}
    for name in noted.keys() | counted.keys():
        if noted.get(name, 0) != counted.get(name, 0):
            raise ValueError(f"{name} is noted as {noted.get(name, 0)} and is {counted.get(name, 0)}")
    known = {f"event.{state}" for state in State} | {
        f"{of}.{kind}" for of in ("outbox", "bytes") for kind in Kind
    }
    if strange := noted.keys() - known - {"awaiting"}:
        raise ValueError(f"nobody counts {sorted(strange)}")
    for row in connection.execute("SELECT name, value FROM counter"):
        if not isinstance(row["value"], int):
            raise TypeError(f"the count of {row['name']} is no number")
