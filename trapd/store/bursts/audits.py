"""The audit sample: strata, how many bursts each holds, and which were drawn. One object per session.

Screen reads where the next burst would stand (`place`) and settles it with that (Events.settle): one thread
does both, and a crash between them changes nothing. Rows of drawn bursts stay when the bursts' own rows go.
What people say of them lies in a file of its own, which `trapd audit` writes while the daemon runs; the
daemon only reads it. A line that cannot be read is passed over: it was cut short, or nobody's.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from trapd.sampling import TRUTHS, Sample
from trapd.store.files.durable import disk_errors
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import put_meta

JUDGED = "judged.jsonl"
_SEED = "audit_seed"
_MOST_BYTES = 50_000_000
_NOTHING: dict[str, str] = {}


class Audits:
    """`root` is storage.path."""

    def __init__(self, root: Path, database: Database) -> None:
        self._file = root / JUDGED
        self._database = database
        self._read: tuple[tuple[int, int], dict[str, str]] | None = None

    def seed(self) -> str:
        """What all drawing in this store begins from; made when it is first asked for. One sync then."""
        found = self.known_seed()
        if found is not None:
            return found
        made = os.urandom(16).hex()
        with self._database.write() as connection:
            put_meta(connection, _SEED, made)
        return made

    def known_seed(self) -> str | None:
        """None before the first burst was settled."""
        row = self._database.one("SELECT value FROM meta WHERE key = ?", (_SEED,))
        return None if row is None else str(row["value"])

    def place(self, heap: str) -> int:
        """The number that the next burst of this stratum gets, from 0."""
        row = self._database.one("SELECT total FROM heap WHERE name = ?", (heap,))
        return 0 if row is None else int(row["total"])

    def totals(self) -> dict[str, int]:
        """How many bursts each stratum holds; the one that was added to last comes last."""
        rows = self._database.all("SELECT name, total FROM heap ORDER BY last")
        return {row["name"]: row["total"] for row in rows}

    def samples(self) -> list[Sample]:
        """All that were drawn, in the order of settling."""
        heaps: dict[str, str] = {}  # there are few: each name is held once
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT sample.event AS id, sample.heap AS heap, coalesce(event.has_files, 0) AS there"
                " FROM sample LEFT JOIN event ON event.id = sample.event ORDER BY sample.row"
            )
            return [
                Sample(row["id"], heaps.setdefault(row["heap"], row["heap"]), lost=not row["there"])
                for row in rows
            ]

    def truths(self) -> Mapping[str, str]:
        """What was said, by event id; the last word counts. The same object until more is said.

        Raises StoreError for a disk that refuses.
        """
        with disk_errors(f"read {JUDGED}"):
            try:
                found = self._file.stat()
            except FileNotFoundError:
                return _NOTHING
            stamp = (found.st_mtime_ns, found.st_size)
            if self._read is None or self._read[0] != stamp:
                with self._file.open("rb") as stream:
                    self._read = (stamp, _told(stream.read(_MOST_BYTES)))
        return self._read[1]

    def tell(self, truths: Mapping[str, str]) -> None:
        """Write down what was said. One sync. Raises StoreFull, StoreError."""
        lines = [json.dumps({"id": event_id, "truth": truth}) for event_id, truth in truths.items()]
        if not lines:
            return
        with disk_errors(f"write {JUDGED}"):
            # Begins with an end of line: the last one may have been cut short.
            data = ("\n" + "\n".join(lines) + "\n").encode()
            file = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            try:
                os.write(file, data)
                os.fsync(file)
            finally:
                os.close(file)


def add(connection: sqlite3.Connection, event_id: str, heap: str, *, is_drawn: bool) -> None:
    """Count a burst into its stratum, within the caller's transaction; and note it if it was drawn."""
    connection.execute(
        "INSERT INTO heap (name, total, last) VALUES (?, 1, (SELECT coalesce(max(last), 0) + 1 FROM heap))"
        " ON CONFLICT (name) DO UPDATE SET total = total + 1, last = excluded.last",
        (heap,),
    )
    if is_drawn:
        connection.execute("INSERT OR IGNORE INTO sample (event, heap) VALUES (?, ?)", (event_id, heap))


def _told(data: bytes) -> dict[str, str]:
    told: dict[str, str] = {}
    for line in data.splitlines():
        try:
            found = json.loads(line)
            event_id, truth = found["id"], found["truth"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if isinstance(event_id, str) and truth in TRUTHS:
            told[event_id] = truth
    return told
