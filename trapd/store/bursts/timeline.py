"""Times of events, put right when the true time is known. One object per session, on its thread.

An event's own clock, nanoseconds since boot, is never wrong; its wall-clock time may be, and says how far it
is to be trusted. Ids, names of files, EXIF and the order of events do not depend on it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from trapd.frozen import Frozen
from trapd.records import Kind, Moment, TsQuality
from trapd.rules import PRIORITY
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import queue_row

TOLERANCE_MS = 2000
"""A clock that is off by less was not corrected but read a moment later."""

RANK = {TsQuality.UNSET: 0, TsQuality.ESTIMATED: 1, TsQuality.RTC: 2, TsQuality.SYNCED: 3}
"""Which quality is better than which."""

_TRUE = RANK[TsQuality.RTC]

# What awaits a receipt was sent and would go again as it was.
_WAITING = (
    "(state IN ('captured', 'discarded') OR state = 'kept' AND NOT EXISTS"
    " (SELECT 1 FROM outbox WHERE outbox.event = event.row AND outbox.awaits > 0))"
)

EncodeClock = Callable[[str, int, TsQuality], bytes]
"""Makes the payload of `clock`: boot id, offset in ms (wall clock minus mono_ms), quality."""


class Correction(Frozen):
    """How many waiting events were re-dated, and whether the receiver is told of those that may be sent."""

    redated: int = 0
    told: bool = False


class Timeline:
    """The events of one boot against its clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def correct(self, now: Moment, encode: EncodeClock) -> Correction:
        """Date the events of this boot by the clock of `now`, where it is no worse than what dated them.

        Those that wait get their new time and its quality; for those that may have been sent one `clock` is
        queued, once for each correction. One transaction; writes nothing where nothing is wrong.
        """
        offset_ms = offset(now)
        wrong, values = _wrong(now.quality, offset_ms)
        boot = self._database.one("SELECT * FROM boot WHERE boot_id = ?", (now.boot_id,))
        if boot is None or wrong == "" or not self._any(wrong, values, boot["row"]):
            return Correction()
        with self._database.write() as connection:
            sent = connection.execute(
                f"SELECT 1 FROM event WHERE boot = ? AND n IS NOT NULL AND {wrong} LIMIT 1",
                (boot["row"], *values),
            ).fetchone()
            redated = connection.execute(
                "UPDATE event SET wall_ms = boot_ns / 1000000 + ?, ts_quality = ?"
                f" WHERE boot = ? AND {wrong} AND {_WAITING}",
                (offset_ms, now.quality.value, boot["row"], *values),
            ).rowcount
            tell = sent is not None and _is_news(boot, now.quality, offset_ms)
            if tell:
                _tell(connection, now, offset_ms, encode(now.boot_id, offset_ms, now.quality))
        return Correction(redated, tell)

    def _any(self, wrong: str, values: tuple[object, ...], boot: int) -> bool:
        query = f"SELECT 1 FROM event WHERE boot = ? AND {wrong} LIMIT 1"
        return self._database.one(query, (boot, *values)) is not None


def offset(now: Moment) -> int:
    """Wall clock minus time since boot, in ms: the same until the clock is set."""
    return now.wall_ms - now.boot_ns // 1_000_000


def _wrong(quality: TsQuality, offset_ms: int) -> tuple[str, tuple[object, ...]]:
    """The condition on an event that this clock corrects, and its values; empty when it corrects none.

    Of equal quality, what is off; of lower quality, whatever true time has now replaced.
    """
    rank = RANK[quality]
    if quality is TsQuality.UNSET:
        return "", ()
    same = "ts_quality IN ({})".format(", ".join(f"'{q}'" for q in RANK if RANK[q] <= rank))
    worse = "ts_quality IN ({})".format(", ".join(f"'{q}'" for q in RANK if RANK[q] < rank))
    off = f"{same} AND abs(wall_ms - boot_ns / 1000000 - ?) > {TOLERANCE_MS}"
    return (f"({off} OR {worse})" if rank >= _TRUE else f"({off})"), (offset_ms,)


def _is_news(boot: sqlite3.Row, quality: TsQuality, offset_ms: int) -> bool:
    if boot["told_offset_ms"] is None:
        return True
    better = RANK[quality] > RANK[TsQuality(boot["told_quality"])]
    return better or abs(boot["told_offset_ms"] - offset_ms) > TOLERANCE_MS


def _tell(connection: sqlite3.Connection, now: Moment, offset_ms: int, payload: bytes) -> None:
    queue_row(
        connection,
        now,
        kind=Kind.CLOCK,
        priority=PRIORITY[Kind.CLOCK],
        leaf="clock",
        size_bytes=len(payload),
        payload=payload,
    )
    connection.execute(
        "UPDATE boot SET told_offset_ms = ?, told_quality = ? WHERE boot_id = ?",
        (offset_ms, now.quality.value, now.boot_id),
    )
