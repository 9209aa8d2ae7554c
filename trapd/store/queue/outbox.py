"""What waits to be sent. One object per session, on the session's thread; any stage puts, Deliver takes.

A row leaves only by `acknowledge`, or by the receipt for one that the broker has. A retained leaf has one
row, its newest value, under a new row id: the acknowledgement of the older one deletes nothing. An event's
payload is not here: its row refers to the event and the payload is made when it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from trapd.records import Kind, Message, Moment
from trapd.rules import PRIORITY
from trapd.store.queue import receipts, transfer
from trapd.store.queue.choice import Choice, choose
from trapd.store.queue.obeyed import Outgoing, queue_leaf
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import LAST_DELIVERY_MS, free, put_meta, queue_row

_SLICE = 500


class Outbox:
    """`now` stamps rows."""

    def __init__(self, database: Database, *, now: Callable[[], Moment]) -> None:
        self._database = database
        self._now = now

    def put(self, kind: Kind, leaf: str, payload: bytes, *, retain: bool) -> int:
        """Queue a payload for topic `leaf`; gives its row id. One transaction, one sync.

        With `retain` it takes the place of what waits for that leaf, and is remembered for replay_retained.
        """
        with self._database.write() as connection:
            return queue_leaf(connection, self._now(), Outgoing(kind, leaf, payload, retain))

    def next(self, limit: int, **choice: Any) -> list[Message]:
        """What to send now: at most `limit` publishes, by priority; the fields of Choice narrow it down.

        Newest alert first, everything else oldest first. Costs the same for ten rows and for a million, plus
        what is left out.
        """
        with self._database.read() as connection:
            return choose(connection, limit, Choice(**choice))

    def acknowledge(
        self,
        rows: Sequence[int],
        *,
        parts: Mapping[tuple[int, int], Sequence[int]] | None = None,
        awaiting: Sequence[int] = (),
        mark: int = 0,
        sync: bool = True,
    ) -> None:
        """What the broker has taken, in one transaction with one sync; without `sync` that is yet to come.

        `rows` have arrived: they go, and an event's row makes its event `delivered`. `parts`, by row and
        chunk size, are done; with its last part a row goes. `awaiting` rows stay for the receiver's receipt,
        marked with `mark`, which is above 0. Rows that are not there any more are passed over.
        """
        if not (rows or parts or awaiting):
            return
        with self._database.write(sync=sync) as connection:
            free(connection, rows)
            for (row, chunk_bytes), numbers in (parts or {}).items():
                transfer.done(connection, row, chunk_bytes, numbers)
            if awaiting:
                connection.executemany(
                    "UPDATE outbox SET awaits = ? WHERE row = ?", [(mark, r) for r in awaiting]
                )
            put_meta(connection, LAST_DELIVERY_MS, str(self._now().wall_ms))

    def version(self) -> int:
        """Another number whenever another session has written anything. Cheap."""
        return self._database.number("PRAGMA data_version")

    def last_mark(self) -> int:
        """The highest mark of any row that awaits its receipt; 0 without one."""
        return self._database.number("SELECT max(awaits) FROM outbox WHERE awaits > 0")

    def awaiting_count(self) -> int:
        """How many rows the broker has and no receipt has freed yet."""
        return self._database.number("SELECT value FROM tally WHERE name = 'awaiting'")

    def receipt_ids(self, ids: Sequence[str]) -> list[str]:
        """The receiver has these events: the rows that the broker has go. Gives the ids that nobody knows."""
        unknown = []
        for begin in range(0, len(ids), _SLICE):
            with self._database.write() as connection:
                unknown += receipts.of_ids(connection, ids[begin : begin + _SLICE])
        return unknown

    def receipt_upto(self, epoch: str, n: int) -> bool:
        """The receiver has every event of `epoch` up to number `n`; False where nobody knows such a number.

        In slices: each is short, and what a break leaves goes again. Nobody waits while the rows are looked
        for: that takes a while where many await their receipt.
        """
        freed = _SLICE
        while freed == _SLICE:
            with self._database.read() as connection:
                rows = receipts.upto(connection, epoch, n, _SLICE)
                known = receipts.knows(connection, epoch, n)
            freed = len(rows)
            if rows:
                with self._database.write() as connection:
                    free(connection, rows)
        return known

    def request_media(
        self, wanted: Mapping[str, transfer.Ranges | None], *, chunk_bytes: int
    ) -> transfer.Requested:
        """Queue the photographs that somebody asks for, by id, with None or the chunks wanted. One sync."""
        became: dict[bool | None, list[str]] = {True: [], False: [], None: []}
        with self._database.write() as connection:
            for medium_id, ranges in wanted.items():
                found = transfer.request(connection, self._now(), medium_id, ranges, chunk_bytes)
                became[found].append(medium_id)
        return transfer.Requested(tuple(became[True]), tuple(became[None]), tuple(became[False]))

    def forget_older(self, rows: Collection[int], age_s: float) -> list[int]:
        """Those of `rows` that were queued so long ago go. Gives them.

        By the boot's own clock where a row is of this boot, else by the wall clock, which may have jumped.
        """
        now = self._now()
        with self._database.write() as connection:
            gone = connection.execute(
                "DELETE FROM outbox WHERE row IN (SELECT value FROM json_each(?1)) AND CASE"
                " WHEN boot = (SELECT row FROM boot WHERE boot_id = ?2) THEN queued_boot_ms < ?3"
                " ELSE queued_ms < ?4 END RETURNING row",
                (
                    json.dumps(sorted(rows)),
                    now.boot_id,
                    now.boot_ns // 1_000_000 - int(age_s * 1000),
                    now.wall_ms - int(age_s * 1000),
                ),
            ).fetchall()
        return [row["row"] for row in gone]

    def waits(self, leaf: str) -> bool:
        """Whether the newest value of a retained leaf still waits to be sent."""
        return self._database.one("SELECT 1 FROM outbox WHERE leaf = ? AND retain = 1", (leaf,)) is not None

    def replay_retained(self) -> None:
        """Queue the last value of every retained leaf again: the broker may have lost what it kept."""
        with self._database.write() as connection:
            lost = connection.execute(
                "SELECT leaf, kind, length(payload) AS bytes FROM leaf WHERE NOT EXISTS"
                " (SELECT 1 FROM outbox WHERE outbox.leaf = leaf.leaf AND outbox.retain = 1) ORDER BY leaf"
            ).fetchall()
            for row in lost:
                kind = Kind(row["kind"])
                queue_row(
                    connection,
                    self._now(),
                    kind=kind,
                    priority=PRIORITY[kind],
                    leaf=row["leaf"],
                    size_bytes=row["bytes"],
                    retain=True,
                )

    def retained(self, prefix: str = "") -> dict[str, bytes]:
        """The last values, by leaf, of the retained leaves below `prefix` that are not empty."""
        rows = self._database.all(
            "SELECT leaf, payload FROM leaf WHERE substr(leaf, 1, ?) = ? AND length(payload) > 0"
            " ORDER BY leaf",
            (len(prefix), prefix),
        )
        return {row["leaf"]: row["payload"] for row in rows}

    def depth(self) -> dict[str, int]:
        """Rows by kind, kinds without rows left out. Costs the same for ten rows and for a million."""
        rows = self._database.all("SELECT name, value FROM tally WHERE name LIKE 'outbox.%' AND value <> 0")
        return {row["name"].removeprefix("outbox."): row["value"] for row in rows}

    def bytes_waiting(self) -> dict[str, int]:
        """Bytes of all rows by kind, about. Costs the same for ten rows and for a million."""
        rows = self._database.all("SELECT name, value FROM tally WHERE name LIKE 'bytes.%' AND value > 0")
        return {row["name"].removeprefix("bytes."): row["value"] for row in rows}

    def oldest_unsent_s(self, now: Moment) -> float | None:
        """Seconds that the oldest row has waited; None when nothing waits.

        By the boot's own clock where the row is of this boot, else by the wall clock, which may have jumped.
        """
        row = self._database.one(
            "SELECT queued_ms, queued_boot_ms, boot.boot_id FROM outbox JOIN boot ON boot.row = outbox.boot"
            " ORDER BY outbox.row LIMIT 1"
        )
        if row is None:
            return None
        if row["boot_id"] == now.boot_id:
            waited_ms = now.boot_ns // 1_000_000 - int(row["queued_boot_ms"])
        else:
            waited_ms = now.wall_ms - int(row["queued_ms"])
        return max(0, waited_ms) / 1000

    def last_delivery_ms(self) -> int | None:
        """Unix time of the last acknowledgement; None before the first."""
        row = self._database.one("SELECT value FROM meta WHERE key = ?", (LAST_DELIVERY_MS,))
        return None if row is None else int(row["value"])
