"""The tables, and how an older database becomes a newer one.

Migrations are numbered by user_version, each one transaction: a failed one leaves the database as it was.
Called at start-up only. Counts that anybody asks for often are kept by triggers in `tally`, in the
transaction that changes them: count(*) over a million rows takes a quarter of a second.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import chain

from trapd.errors import StoreCorrupt, StoreError
from trapd.store.sqlite.database import Database

APPLICATION_ID = 0x74726170  # "trap"
_MOST_PLAUSIBLE_VERSION = 10_000  # beyond it, the header is damaged and not from the future

_TALLY = (
    "INSERT INTO tally (name, value) VALUES ({name}, {by})"
    " ON CONFLICT (name) DO UPDATE SET value = value + {by}"
)


def _tally(trigger: str, *changes: tuple[str, int | str]) -> str:
    body = "; ".join(_TALLY.format(name=name, by=by) for name, by in changes)
    return f"CREATE TRIGGER {trigger} BEGIN {body}; END"


_VERSION_1 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE tally (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    # A boot id has 36 characters and stands in every row of that boot: once is enough.
    # `told_*`: what `clock` last told of this boot; NULL until then.
    """CREATE TABLE boot (
        row INTEGER PRIMARY KEY,
        boot_id TEXT NOT NULL UNIQUE,
        told_offset_ms INTEGER,
        told_quality TEXT
    )""",
    # `epoch` is the one that seq and n count in; a burst adopted from an earlier epoch keeps its id.
    # `has_files`: a photograph or a thumbnail of it may still lie on the disk.
    """CREATE TABLE event (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        unit TEXT NOT NULL,
        epoch TEXT NOT NULL,
        seq INTEGER NOT NULL,
        n INTEGER,
        state TEXT NOT NULL CHECK (state IN ('captured', 'kept', 'discarded', 'delivered')),
        attempts INTEGER NOT NULL DEFAULT 0,
        has_files INTEGER NOT NULL DEFAULT 1,
        wall_ms INTEGER NOT NULL,
        boot_ns INTEGER NOT NULL,
        boot INTEGER NOT NULL REFERENCES boot (row),
        ts_quality TEXT NOT NULL CHECK (ts_quality IN ('synced', 'rtc', 'estimated', 'unset')),
        trigger_source TEXT NOT NULL,
        trigger_sensor TEXT NOT NULL,
        trigger_ns INTEGER NOT NULL,
        verdict TEXT,
        score REAL,
        audit INTEGER NOT NULL DEFAULT 0,
        detections TEXT,
        filter TEXT,
        reason TEXT,
        config TEXT NOT NULL,
        env TEXT NOT NULL,
        thumb TEXT,
        thumb_bytes INTEGER,
        UNIQUE (epoch, seq)
    )""",
    "CREATE UNIQUE INDEX event_n ON event (epoch, n) WHERE n IS NOT NULL",
    "CREATE INDEX event_captured ON event (row) WHERE state = 'captured'",
    "CREATE INDEX event_of_boot ON event (boot)",
    "CREATE INDEX event_with_files ON event (state, row) WHERE has_files = 1",
    # sha256: 32 bytes; NULL for photographs that were adopted and are not summed yet.
    """CREATE TABLE medium (
        event INTEGER NOT NULL REFERENCES event (row) ON DELETE CASCADE,
        frame INTEGER NOT NULL,
        path TEXT NOT NULL,
        type TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        sha256 BLOB,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        evicted INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (event, frame)
    ) WITHOUT ROWID""",
    "CREATE INDEX medium_unsummed ON medium (event, frame) WHERE sha256 IS NULL AND evicted = 0",
    "CREATE UNIQUE INDEX medium_on_disk ON medium (path) WHERE evicted = 0",
    # AUTOINCREMENT: a row id never comes again, so a late acknowledgement cannot delete another's row.
    # `payload` last: a query that does not need it does not read it.
    """CREATE TABLE outbox (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        priority INTEGER NOT NULL,
        kind TEXT NOT NULL,
        leaf TEXT NOT NULL,
        retain INTEGER NOT NULL,
        event INTEGER REFERENCES event (row),
        bytes INTEGER NOT NULL,
        queued_ms INTEGER NOT NULL,
        queued_boot_ms INTEGER NOT NULL,
        boot INTEGER NOT NULL REFERENCES boot (row),
        awaits INTEGER NOT NULL DEFAULT 0,
        payload BLOB
    )""",
    # `awaits`: 0 until the broker has the row and the receiver's receipt is awaited; then since when, on a
    # count of seconds that goes on from connection to connection.
    "CREATE INDEX outbox_next ON outbox (priority, kind, awaits, row)",
    "CREATE INDEX outbox_awaiting ON outbox (awaits, row) WHERE awaits > 0",
    # A photograph waits once, whoever asks for it.
    "CREATE UNIQUE INDEX outbox_medium ON outbox (leaf)"
    " WHERE payload IS NULL AND kind IN ('media_requested', 'media_bulk')",
    # What is left of a photograph under way: a bit for each part, little-endian. No row: all of it is left.
    """CREATE TABLE transfer (
        row INTEGER PRIMARY KEY REFERENCES outbox (row) ON DELETE CASCADE,
        chunk_bytes INTEGER NOT NULL,
        remaining BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX outbox_retained ON outbox (leaf) WHERE retain = 1",
    "CREATE INDEX outbox_of_event ON outbox (event) WHERE event IS NOT NULL",
    # Tombstones: events that had to be given up, and of which nothing but this row is left.
    "CREATE INDEX outbox_tombstone ON outbox (row) WHERE kind = 'event' AND event IS NULL",
    # The last value of every retained leaf, also after its delivery: a broker may lose what it retained.
    "CREATE TABLE leaf (leaf TEXT PRIMARY KEY, kind TEXT NOT NULL, payload BLOB NOT NULL)",
    # Commands that were obeyed or refused, by the operator's name for them; `answer` NULL while under way.
    """CREATE TABLE command (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        txn TEXT NOT NULL UNIQUE,
        command TEXT NOT NULL,
        issued_ms INTEGER,
        answer BLOB
    )""",
    "CREATE TABLE trail (row INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL)",
    _tally("event_in AFTER INSERT ON event", ("'event.' || NEW.state", 1)),
    _tally("event_out AFTER DELETE ON event", ("'event.' || OLD.state", -1)),
    _tally(
        "event_moved AFTER UPDATE OF state ON event WHEN OLD.state <> NEW.state",
        ("'event.' || OLD.state", -1),
        ("'event.' || NEW.state", 1),
    ),
    _tally(
        "outbox_in AFTER INSERT ON outbox",
        ("'outbox.' || NEW.kind", 1),
        ("'bytes.' || NEW.kind", "NEW.bytes"),
    ),
    _tally(
        "outbox_out AFTER DELETE ON outbox",
        ("'outbox.' || OLD.kind", -1),
        ("'bytes.' || OLD.kind", "-OLD.bytes"),
    ),
    _tally("outbox_awaits AFTER UPDATE OF awaits ON outbox WHEN OLD.awaits = 0", ("'awaiting'", 1)),
    _tally("outbox_heard AFTER DELETE ON outbox WHEN OLD.awaits > 0", ("'awaiting'", -1)),
)

_VERSION_2 = (
    # A stratum of settled bursts. `last`: a count that goes up; the highest was added to last.
    "CREATE TABLE heap (name TEXT PRIMARY KEY, total INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID",
    # `event` is its id and no reference: the row stays when the event's own goes.
    """CREATE TABLE sample (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        event TEXT NOT NULL UNIQUE,
        heap TEXT NOT NULL
    )""",
)

_VERSION_3 = (
    # `whole`: all of the photograph was asked for; 0 where only some chunks were.
    "ALTER TABLE transfer ADD COLUMN whole INTEGER NOT NULL DEFAULT 1",
)

_VERSION_4 = (
    # Whom to answer, through restarts: the leaf beside `res/` and what it is to be known by; who signed; and
    # the boot in which it was begun.
    "ALTER TABLE command ADD COLUMN reply TEXT",
    "ALTER TABLE command ADD COLUMN correlation BLOB",
    "ALTER TABLE command ADD COLUMN kid TEXT",
    "ALTER TABLE command ADD COLUMN boot_id TEXT",
    "ALTER TABLE outbox ADD COLUMN correlation BLOB",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)
VERSION = len(MIGRATIONS)


def migrate(database: Database, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Bring the database to the newest version, one transaction for each step."""
    version = database.number("PRAGMA user_version")
    for number, statements in enumerate(migrations[version:], version + 1):
        with database.write() as connection:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")


def words(connection: sqlite3.Connection) -> dict[str, str]:
    """What a database says of its own tables, indexes and triggers, by name; runs of blanks count as one."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(sql.split()) for name, sql in rows}


def newest_words() -> dict[str, str]:
    """The same of a database that has just been made. So no migration changes once units have it."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in chain.from_iterable(MIGRATIONS):
            connection.execute(statement)
        return words(connection)


def refuse_strange(database: Database, *, newest: int = VERSION) -> int:
    """The database's version; 0 for an empty one.

    Raises StoreCorrupt if the header is not one of ours, StoreError if a newer trapd has made it.
    """
    with database.read() as connection:  # one state: somebody may be making it just now
        version, application, tables = (
            int(connection.execute(query).fetchone()[0])
            for query in (
                "PRAGMA user_version",
                "PRAGMA application_id",
                "SELECT count(*) FROM sqlite_master",
            )
        )
    if version == 0 and tables == 0:
        return 0
    if version <= 0 or version > _MOST_PLAUSIBLE_VERSION or application != APPLICATION_ID:
        raise StoreCorrupt("the database's header is not one of trapd's", "it is set aside at start")
    if version > newest:
        raise StoreError(
            f"the database was made by a newer trapd (version {version}; this one knows {newest})",
            "install that trapd again; nothing was changed",
        )
    return version
