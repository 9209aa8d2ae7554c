"""What must hold of a store that is opened after a crash, against what was promised before it.

`check` opens the store as the daemon does, compares, ends in good order, opens it again and lets it work. It
gives every breach as a sentence and never raises for one.
"""

from __future__ import annotations

import hashlib
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.promises import Promises, Row
from tests.crash.workload import RESERVE_BYTES
from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, CONTEXT, capture, files_below
from trapd.records import Event, State
from trapd.store import Session, Store
from trapd.store.room import reserve

_LATER_MS = 1_700_600_000_000
_ALL = 10_000
_AMPLE_BYTES = 10**9
_OUTBOX = (
    "SELECT outbox.row, outbox.kind, outbox.leaf, event.id, leaf.payload, outbox.payload AS own FROM outbox"
    " LEFT JOIN event ON event.row = outbox.event LEFT JOIN leaf ON leaf.leaf = outbox.leaf"
)


@dataclass(slots=True)
class Findings:
    """`breaches`: sentences, none if all is well. `undone`: acknowledged rows that will be sent again.

    `kind`: what the first start had to do, as the names of the counts that were not zero.
    """

    breaches: list[str] = field(default_factory=list)
    undone: int = 0
    kind: tuple[str, ...] = ()


def found_by(breaches: Callable[[], list[str]]) -> Findings:
    """What a look at a unit found. Whatever that raises is what the unit would have met."""
    try:
        return Findings(breaches())
    except Exception:
        return Findings([f"the unit does not start: {traceback.format_exc(limit=-4)}"])


def check(root: Path, promises: Promises, *, process_only: bool = False) -> Findings:
    """`process_only`: the process was killed and the disk lost nothing, so counts must hold too."""
    findings = Findings()
    try:
        _check(root, promises, findings, process_only)
    except Exception:
        # Whatever it is, it is what the unit would have met at its start.
        findings.breaches.append(f"the store cannot be used: {traceback.format_exc(limit=-4)}")
    return findings


def _check(root: Path, promises: Promises, findings: Findings, process_only: bool) -> None:
    clock = FakeClock(wall_ms=_LATER_MS)
    store = open_later(root, clock)
    try:
        with store.session() as session:
            found = _Found(root, store, session)
            findings.undone = len(promises.acknowledged & found.rows.keys())
            findings.kind = tuple(name for name, found in asdict(store.recovered).items() if found)
            findings.breaches += found.breaches(promises)
            findings.breaches += _counts(session, promises, process_only)
    finally:
        store.close(clean=True)
    before = _everything(root)
    store = open_later(root, clock)
    try:
        if _everything(root) != before:
            findings.breaches.append("a second start changes what the first one left")
        with store.session() as session:
            findings.breaches += _works(store, session, clock, promises)
    finally:
        store.close(clean=True)


def open_later(root: Path, clock: FakeClock | None = None) -> Store:
    """The start after the crash, days later, with room enough."""
    clock = clock or FakeClock(wall_ms=_LATER_MS)
    reserve._BYTES = RESERVE_BYTES
    return Store.open(root, CONTEXT.unit, clock=clock, max_bytes=_AMPLE_BYTES, min_free_bytes=0)


class _Found:
    """Everything in a store, read once."""

    def __init__(self, root: Path, store: Store, session: Session) -> None:
        self._root = root
        self._store = store
        self._session = session
        self.events = {event.id: event for event in session.events.page(limit=_ALL)}
        # All of it, also what is not to be sent now; and not through the code that is checked.
        self.rows = {row["row"]: row for row in session.database.all(_OUTBOX)}
        self._due = {row["id"] for row in self.rows.values() if row["kind"] == "event"}

    def breaches(self, promises: Promises) -> Iterator[str]:
        recovered = self._store.recovered
        if recovered.set_aside is not None:
            yield f"a power cut damaged the database: {recovered.set_aside}"
        # On a disk so full that a row cannot be marked, its files go before the mark does.
        if recovered.media_missing and not (promises.evicting and promises.failures):
            yield f"{recovered.media_missing} photographs of rows are gone"
        if recovered.rebuilt is not None:
            yield f"a power cut is taken for a damaged database: {recovered.rebuilt}"
        if promises.epoch not in (None, self._store.epoch):
            yield f"epoch {promises.epoch} became {self._store.epoch}"
        yield from self._database()
        yield from self._files()
        yield from self._numbers(promises)
        for event in self.events.values():
            yield from self._photographs(event, promises)
            yield from self._state(event, promises)
        yield from self._outbox(promises)

    def _database(self) -> Iterator[str]:
        for pragma in ("integrity_check", "foreign_key_check"):
            said = [tuple(row) for row in self._session.database.all(f"PRAGMA {pragma}")]
            if said not in ([], [("ok",)]):
                yield f"{pragma}: {said}"
        totals = self._session.events.totals()
        counted = {state.value: 0 for state in State} | {"bursts": len(self.events)}
        for event in self.events.values():
            counted[event.state.value] += 1
        if totals != counted:
            yield f"events are tallied as {totals} and are {counted}"
        if sum(self._session.outbox.depth().values()) != len(self.rows):
            yield f"the outbox is tallied as {self._session.outbox.depth()} and has {len(self.rows)} rows"

    def _files(self) -> Iterator[str]:
        media = sorted(str(m.path) for event in self.events.values() for m in event.media if m.path)
        there = [f"media/{name}" for name in files_below(self._root / "media")]
        if there != media:
            yield f"photographs without a row or rows without: {sorted(set(there) ^ set(media))}"
        for folder in ("tmp", "orphans"):
            if left := files_below(self._root / folder):
                yield f"left in {folder}: {left}"
        thumbs = {event.thumb[0] for event in self.events.values() if event.thumb}
        if lost := {f"thumbs/{name}" for name in files_below(self._root / "thumbs")} - thumbs:
            yield f"thumbnails without a row: {sorted(lost)}"

    def _numbers(self, promises: Promises) -> Iterator[str]:
        for event_id, seq in promises.recorded.items():
            if event_id not in self.events:
                yield f"{event_id} was recorded and is gone"
            elif self.events[event_id].seq != seq:
                yield f"{event_id} had seq {seq} and has {self.events[event_id].seq}"
        published = sorted(event.n for event in self.events.values() if event.n is not None)
        if published != list(range(1, len(published) + 1)):
            yield f"n is not gap-free: {published}"
        seqs = [event.seq for event in self.events.values()]
        if len(set(seqs)) < len(seqs):
            yield f"a seq was given twice: {seqs}"
        if unknown := self.events.keys() - promises.photographs.keys():
            yield f"bursts that nobody took: {sorted(unknown)}"

    def _photographs(self, event: Event, promises: Promises) -> Iterator[str]:
        taken = promises.photographs.get(event.id, {})
        if event.id in promises.recorded and len(event.media) < len(taken):
            yield f"{event.id} has lost photographs: {len(event.media)} of {len(taken)}"
        for medium in event.media:
            if medium.path is None:
                if event.state not in promises.evictable():
                    yield f"{medium.id} is given up, and its event is {event.state}"
                continue
            file = self._root / medium.path
            if not file.exists():
                yield f"{medium.path} is not there and not marked evicted"
                continue
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            if sha256 not in taken.get(medium.id, ()):
                yield f"{medium.path} is not the photograph that was taken"
            # An adopted one gets its sum later; one that was promised has it.
            if medium.sha256 != sha256 and (medium.sha256 or event.id in promises.recorded):
                yield f"{medium.path} has sum {sha256}, and its row says {medium.sha256 or 'nothing'}"

    def _state(self, event: Event, promises: Promises) -> Iterator[str]:
        settled = event.state is not State.CAPTURED
        kept = event.state in (State.KEPT, State.DELIVERED)
        if event.id in promises.settled:
            if not settled:
                yield f"{event.id} has lost its verdict"
            elif event.n != promises.settled[event.id]:
                yield f"{event.id} had n {promises.settled[event.id]} and has {event.n}"
        if settled and kept not in promises.settling.get(event.id, ()):
            yield f"{event.id} is {event.state}, which nobody said"
        if kept is (event.n is None):
            yield f"{event.id} is {event.state} and has n {event.n}"
        if (event.state is State.KEPT) is not (event.id in self._due):
            yield f"{event.id} is {event.state} and {'' if event.id in self._due else 'not '}in the outbox"
        waits = any(row["leaf"] == f"thumb/{event.id}" and row["own"] is None for row in self.rows.values())
        if waits and self._store.thumb(event) is None:
            yield f"{event.id} waits with a thumbnail that is gone and cannot be made"

    def _outbox(self, promises: Promises) -> Iterator[str]:
        for row, promised in promises.rows.items():
            if row in promises.may_be_gone() or self._holds(row, promised):
                continue
            if not (promises.evicting_undelivered and self._thumb_given_up(promised)):
                yield f"outbox row {row} ({promised.leaf}) is gone and was never sent"
        for number, held in self.rows.items():
            if held["leaf"] in promises.retained:
                if str(held["payload"], "utf-8") not in promises.retained[held["leaf"]]:
                    yield f"{held['leaf']} holds {held['payload']!r}, not its newest value"
            elif held["id"] not in promises.settling and held["leaf"] not in promises.requesting:
                yield f"outbox row {number} ({held['leaf']}) is nobody's"

    def _thumb_given_up(self, promised: Row) -> bool:
        """Its thumbnail had to go for space: counted, told, and after every photograph settled before it."""
        event = self.events.get(str(promised.event))
        if event is None or event.n is None or promised.leaf != f"thumb/{event.id}":
            return False
        before = [each for each in self.events.values() if each.n is not None and each.n <= event.n]
        photographs = [medium.path for each in before for medium in each.media if medium.path]
        counted = self._session.counters.all().get("evicted.thumbs", 0)
        told = any(row["leaf"] == promised.leaf and row["own"] is not None for row in self.rows.values())
        return event.thumb is None and counted > 0 and told and not photographs

    def _holds(self, row: int, promised: Row) -> bool:
        if promised.retained:
            return any(held["leaf"] == promised.leaf for held in self.rows.values())
        held = self.rows.get(row)
        return held is not None and (held["leaf"], held["id"]) == (promised.leaf, promised.event)


def _counts(session: Session, promises: Promises, process_only: bool) -> Iterator[str]:
    least = promises.counted if process_only else 0
    count = session.counters.all().get("refused.rate", 0)
    if not least <= count <= promises.counting:
        yield f"{count} refusals are counted; there were {least} to {promises.counting}"


def _everything(root: Path) -> tuple[list[str], dict[str, list[tuple[Any, ...]]]]:
    """All names of files, and all rows of the database but the note about its last end."""
    connection = sqlite3.connect(root / "trapd.db")
    try:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    finally:
        connection.close()
    rows["meta"] = [row for row in rows["meta"] if row[0] != "clean"]
    return [name for name in files_below(root) if not name.startswith(("trapd.db", "lock"))], rows


def _works(store: Store, session: Session, clock: FakeClock, promises: Promises) -> Iterator[str]:
    """It takes a burst, judges and delivers it."""
    highest_n = max((event.n or 0 for event in session.events.page(limit=_ALL)), default=0)
    event = capture(store, session, clock)
    if event.seq <= max(promises.recorded.values(), default=0):
        yield f"seq {event.seq} is given again"
    settled = session.events.settle(event.id, ANIMAL, thumb=store.write_thumb(event, 0, 6000))
    if settled.n != highest_n + 1:
        yield f"n {settled.n} follows {highest_n}"
    rows = [row["row"] for row in session.database.all(_OUTBOX) if row["id"] == event.id]
    session.outbox.acknowledge(rows)
    delivered = session.events.get(event.id)
    if delivered is None or delivered.state is not State.DELIVERED:
        yield f"the next burst is not delivered: {delivered}"
