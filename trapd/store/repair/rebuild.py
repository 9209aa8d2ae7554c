"""A database that is not the one it was: damaged, gone, or with its newest part lost. Start-up only.

A new epoch begins, for nobody knows which numbers were given; and what came back is counted until the
operator has been told.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence

from trapd.frozen import Frozen, asdict
from trapd.store.bursts.event_rows import Burst
from trapd.store.files import names
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import (
    BACKED_UP_SEQ,
    EPOCH,
    LAST_N,
    LAST_SEQ,
    REBUILT,
    Meta,
    meta_number,
    put_meta,
)

_UNDER_WAY = 1  # events: settled one after another


class Rebuilt(Frozen):
    """What came back when the database was damaged or gone, and what did not."""

    set_aside: str | None = None  # the damaged one
    restored: int = 0  # events, from the backup
    adopted: int = 0  # bursts, from their photographs alone: they are judged again
    lost: int = 0  # bursts at most whose number was given and of which there is no photograph
    is_older: bool = False  # `restored` are not from the backup: the database itself is of an earlier moment


def begin_epoch(database: Database, taken: frozenset[str], drawn: Iterator[str], *, takes_place: bool) -> str:
    """The store's epoch; a new database gets the first of `drawn` that no photograph carries.

    `takes_place`: a new one takes the place of one that was damaged or is gone.
    """
    known = Meta(database).get(EPOCH)
    if known is not None:
        return known
    epoch = next(candidate for candidate in drawn if candidate not in taken)
    with database.write() as connection:
        put_meta(connection, EPOCH, epoch)
        if takes_place:
            # In one transaction: to a start after this one it is a database like any other.
            put_meta(connection, REBUILT, "{}")
    return epoch


def note_rebuilt(database: Database, seqs: frozenset[int], set_aside: str | None) -> Rebuilt | None:
    """What a rebuild brought back, this one or an earlier start's that nobody was told of; None without one.

    `seqs`: every burst's number that a photograph carries. It is remembered until Store.told_rebuilt. What
    the first start has counted stays: bursts come on top.
    """
    noted = Meta(database).get(REBUILT)
    if noted is None:
        return None
    said = json.loads(noted)
    with database.read() as connection:
        known = meta_number(connection, BACKED_UP_SEQ)
    newer = frozenset(seq for seq in seqs if seq > known)
    adopted = said.get("adopted", 0)
    rebuilt = Rebuilt(
        set_aside=set_aside or said.get("set_aside"),
        restored=said.get("restored", database.number("SELECT count(*) FROM event") - adopted),
        adopted=adopted,
        lost=said.get("lost", max(newer, default=known) - known - len(newer)),
        is_older=said.get("is_older", False),
    )
    Meta(database).put(REBUILT, json.dumps(asdict(rebuilt)))
    return rebuilt


def count_adopted(connection: sqlite3.Connection, bursts: int) -> None:
    """Add to what is told of a rebuild, in the transaction that adopts."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (REBUILT,)).fetchone()
    if row is not None:
        said = json.loads(row["value"])
        put_meta(connection, REBUILT, json.dumps(said | {"adopted": said.get("adopted", 0) + bursts}))


def highest_seq(database: Database) -> int:
    """Of every burst ever recorded in this database, whatever became of its row."""
    newest = database.number(
        "SELECT max(seq) FROM event WHERE epoch = (SELECT value FROM meta WHERE key = ?)", (EPOCH,)
    )
    with database.read() as connection:
        return max(newest, meta_number(connection, LAST_SEQ))


def is_older(database: Database, epoch: str, bursts: Sequence[Burst], thumbs: Collection[str]) -> bool:
    """Whether the database has forgotten what it knew, by thumbnails of events that are not kept for it.

    `bursts` have photographs and no row; `thumbs` are the ids of events of which a thumbnail is there. One is
    made for an event that is recorded, and right before its verdict is stored: a power cut leaves one at most
    without the verdict, and none without the row. More say that the end of the log is damaged, which SQLite
    takes for a cut, or that the disk has not kept what it said was durable.
    """
    known = highest_seq(database)
    rowless = [(burst.id, burst.unit, burst.seq) for burst in bursts if burst.seq > known]
    captured = database.all("SELECT id, unit, seq FROM event WHERE state = 'captured'")

    def forgotten(events: Iterable[tuple[str, str, int]]) -> int:
        """Those of this epoch, the others' verdicts were lost before, that have a thumbnail."""
        return sum(name in thumbs and name == names.event_id(unit, epoch, seq) for name, unit, seq in events)

    return forgotten(rowless) > 0 or forgotten(tuple(row) for row in captured) > _UNDER_WAY


def begin_anew(database: Database, epoch: str, *, is_older: bool = False) -> None:
    """A database that knows less than was once known begins another epoch. One transaction.

    `is_older`: it is the same, and its newest part is lost; else it was brought back from its daily copy.
    """
    with database.write() as connection:
        put_meta(connection, EPOCH, epoch)
        put_meta(connection, LAST_N, "0")
        put_meta(connection, REBUILT, json.dumps({"is_older": True} if is_older else {}))
        put_meta(connection, BACKED_UP_SEQ, str(meta_number(connection, LAST_SEQ)))
        # What has no `n` yet gets it in the new epoch.
        connection.execute("UPDATE event SET epoch = ? WHERE state = 'captured'", (epoch,))


def used_epochs(database: Database) -> frozenset[str]:
    """Every epoch that this database knows of."""
    used = {row["epoch"] for row in database.all("SELECT DISTINCT epoch FROM event")}
    known = Meta(database).get(EPOCH)
    return frozenset(used if known is None else used | {known})
