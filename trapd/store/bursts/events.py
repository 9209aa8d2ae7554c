"""Bursts: recorded once, settled once, delivered once. One object per session, on the session's thread.

Capture records, Screen settles, Outbox.acknowledge delivers. Each is one transaction: a power cut leaves the
event before it or after it, never between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from trapd.errors import StoreError
from trapd.frozen import replace
from trapd.records import Event, Kind, Medium, Moment, Priority, State, Trigger, Verdict
from trapd.rules import PRIORITY
from trapd.store.bursts import audits
from trapd.store.bursts.event_rows import SELECT, Burst, insert_burst, store_verdict, to_event
from trapd.store.files import names
from trapd.store.photographs.sums import Sums
from trapd.store.queue import transfer
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import LAST_N, meta_number, put_meta, queue_row

_SLICE = 1000  # rows that a page looks at in one go: a long reader would let the log grow
# What an event's JSON comes to, near enough for a window in bytes: the payload is made when it is sent.
_EVENT_BYTES, _MEDIUM_BYTES, _DETECTION_BYTES = 700, 250, 110


class Events:
    """`unit` and `epoch` name new events; `now` stamps outbox rows; `sums` adds what an adopted one lacks."""

    def __init__(
        self, database: Database, *, unit: str, epoch: str, now: Callable[[], Moment], sums: Sums
    ) -> None:
        self._database = database
        self._sums = sums
        self._unit = unit
        self._epoch = epoch
        self._now = now

    def record(
        self,
        *,
        seq: int,
        moment: Moment,
        trigger: Trigger,
        media: Sequence[Medium],
        config: str,
        env: dict[str, float],
    ) -> Event:
        """A burst whose photographs are durable becomes an event, `captured`. One sync.

        Raises StoreFull, StoreError: then there is no row, and the caller abandons the files (or leaves them
        to the next start, which adopts them).
        """
        identity = names.event_id(self._unit, self._epoch, seq)
        burst = Burst(identity, self._unit, seq, moment, trigger, tuple(media), config, env)
        with self._database.write() as connection:
            return insert_burst(connection, burst, self._epoch)

    def settle(
        self,
        event_id: str,
        verdict: Verdict,
        *,
        thumb: tuple[str, int] | None = None,
        urgent: bool = False,
        media: bool = False,
        heap: str | None = None,
        is_drawn: bool = False,
    ) -> Event:
        """Store the verdict: due for delivery, or discarded. One transaction, one sync.

        Kept: gets the next `n` and its outbox rows in that transaction (event, and thumbnail where `thumb`
        gives its path and bytes). `urgent` sends both among the alerts; `media` sends the photographs too,
        last of all. `heap` is the stratum that it counts into, and `is_drawn` makes it a sample.

        An event that is settled already comes back as it is, nothing changed. Photographs that still lack
        their sum get it first. Raises StoreFull, StoreError (also for an unknown id).
        """
        self._sums.of_event(event_id)
        with self._database.write() as connection:
            row = connection.execute(f"{SELECT} WHERE event.id = ?", (event_id,)).fetchone()
            if row is None:
                raise StoreError(f"no event {event_id} in the store")
            event = to_event(connection, row)
            if event.state is not State.CAPTURED:
                return event
            n = meta_number(connection, LAST_N) + 1 if verdict.keep else None
            state = State.KEPT if verdict.keep else State.DISCARDED
            settled = replace(event, state=state, n=n, verdict=verdict, thumb=thumb if verdict.keep else None)
            store_verdict(connection, row["row"], settled, verdict)
            if heap is not None:
                audits.add(connection, event.id, heap, is_drawn=is_drawn)
            if n is not None:
                put_meta(connection, LAST_N, str(n))
                self._queue(connection, row["row"], settled, urgent)
                for medium in settled.media if media else ():
                    transfer.queue(connection, self._now(), row["row"], medium, Kind.MEDIA_BULK)
            return settled

    def oldest_captured(self) -> Event | None:
        """The next event to judge: strictly in the order of recording, whatever the clock did."""
        row = self._database.one(f"{SELECT} WHERE event.state = 'captured' ORDER BY event.row LIMIT 1")
        return None if row is None else self._whole([row])[0]

    def captured_count(self) -> int:
        """How many wait for judgement."""
        return self.totals()["captured"]

    def get(self, event_id: str) -> Event | None:
        """None for an id that is not in the store."""
        row = self._database.one(f"{SELECT} WHERE event.id = ?", (event_id,))
        return None if row is None else self._whole([row])[0]

    def newest(self) -> Event | None:
        """The event recorded last."""
        row = self._database.one(f"{SELECT} ORDER BY event.row DESC LIMIT 1")
        return None if row is None else self._whole([row])[0]

    def page(
        self,
        *,
        since_wall_ms: int | None = None,
        verdict: str | None = None,
        limit: int = 100,
        after: str | None = None,
        newest_first: bool = False,
    ) -> list[Event]:
        """At most `limit` events in the order of recording, beginning behind the event with id `after`.

        Reads in short slices, so the daemon goes on writing meanwhile. Raises StoreError if `after` is
        unknown.
        """
        found: list[sqlite3.Row] = []
        cursor = self._row_of(after) if after is not None else None
        while len(found) < limit:
            rows = self._slice(cursor, newest_first)
            if not rows:
                break
            cursor = int(rows[-1]["row"])
            found += [
                row
                for row in rows
                if (since_wall_ms is None or row["wall_ms"] >= since_wall_ms)
                and (verdict is None or row["verdict"] == verdict)
            ]
        return self._whole(found[:limit])

    def totals(self) -> dict[str, int]:
        """Events by state, and all of them as `bursts`. Costs the same for ten and for a million."""
        rows = self._database.all("SELECT name, value FROM tally WHERE name LIKE 'event.%'")
        counts = {state.value: 0 for state in State}
        counts |= {row["name"].removeprefix("event."): row["value"] for row in rows}
        return counts | {"bursts": sum(counts.values())}

    def _slice(self, cursor: int | None, newest_first: bool) -> list[sqlite3.Row]:
        order = "DESC" if newest_first else "ASC"
        if cursor is None:
            return self._database.all(f"{SELECT} ORDER BY event.row {order} LIMIT ?", (_SLICE,))
        beyond = "<" if newest_first else ">"
        return self._database.all(
            f"{SELECT} WHERE event.row {beyond} ? ORDER BY event.row {order} LIMIT ?", (cursor, _SLICE)
        )

    def _row_of(self, event_id: str) -> int:
        row = self._database.one("SELECT row FROM event WHERE id = ?", (event_id,))
        if row is None:
            raise StoreError(f"no event {event_id} in the store")
        return int(row["row"])

    def _whole(self, rows: Sequence[sqlite3.Row]) -> list[Event]:
        with self._database.read() as connection:
            return [to_event(connection, row) for row in rows]

    def _queue(self, connection: sqlite3.Connection, row: int, event: Event, urgent: bool) -> None:
        detections = event.verdict.detections if event.verdict else ()
        about_bytes = _EVENT_BYTES + _MEDIUM_BYTES * len(event.media) + _DETECTION_BYTES * len(detections)
        due = [(Kind.EVENT, "event", about_bytes)]
        if event.thumb is not None:
            due.append((Kind.THUMB, f"thumb/{event.id}", event.thumb[1]))
        # Of what is urgent the newest row goes first: the event before its thumbnail here, too.
        for kind, leaf, size_bytes in reversed(due) if urgent else due:
            queue_row(
                connection,
                self._now(),
                kind=kind,
                priority=Priority.ALERT if urgent else PRIORITY[kind],
                leaf=leaf,
                event=row,
                size_bytes=size_bytes,
            )
