"""What must hold when the database was damaged and the power goes while it is rebuilt.

What only the database knew may be lost: verdicts, numbers, what waits. No photograph is, no burst is twice,
the damaged database stays to be looked at, and somebody will be told, whichever start gets that far.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.crash.checker import Findings, open_later
from tests.crash.promises import Promises
from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, capture, files_below
from trapd.store import Session, Store

_LATER_MS = 1_700_300_000_000
_ALL = 10_000


def photographs(root: Path) -> dict[str, str]:
    """File -> sha256 of all that lie there."""
    media = root / "media"
    return {name: hashlib.sha256((media / name).read_bytes()).hexdigest() for name in files_below(media)}


def check_rebuilt(
    root: Path, promises: Promises, *, before: dict[str, str], damaged: str, process_only: bool = False
) -> Findings:
    """`before`: the photographs that were there. `damaged`: the sha256 of the database that was damaged.

    `promises`: of the process that began to rebuild it.
    """
    findings = Findings()
    try:
        findings.breaches += _breaches(root, promises, before, damaged)
    except Exception:
        # Whatever it is, it is what the unit would have met at its start.
        findings.breaches.append(f"the store cannot be used: {traceback.format_exc(limit=-4)}")
    return findings


def _breaches(root: Path, promises: Promises, before: dict[str, str], damaged: str) -> Iterator[str]:
    clock = FakeClock(wall_ms=_LATER_MS)
    store = open_later(root, clock)
    try:
        with store.session() as session:
            yield from _rebuilt(root, store, session, promises, before)
            event = capture(store, session, clock)
            if event.seq <= max(promises.recorded.values(), default=0):
                yield f"seq {event.seq} is given again"
            session.events.settle(event.id, ANIMAL)
    finally:
        store.close(clean=True)
    if damaged not in {
        hashlib.sha256(file.read_bytes()).hexdigest() for file in root.glob("trapd.db.damaged-*")
    }:
        yield "the damaged database is gone"
    again = open_later(root, clock)
    if again.recovered.adopted or again.recovered.set_aside or again.recovered.orphaned:
        yield f"a second start finds more to do: {again.recovered}"
    again.close(clean=True)


def _rebuilt(
    root: Path, store: Store, session: Session, promises: Promises, before: dict[str, str]
) -> Iterator[str]:
    if store.recovered.rebuilt is None:
        yield "nobody will be told of the rebuild"
    if promises.epoch not in (None, store.epoch):
        yield f"epoch {promises.epoch} became {store.epoch}"
    now = photographs(root)
    if lost := {name for name, sha256 in before.items() if now.get(name) != sha256}:
        yield f"photographs are gone or changed: {sorted(lost)}"
    events = session.events.page(limit=_ALL)
    media = [medium.path for event in events for medium in event.media if medium.path]
    there = [f"media/{name}" for name in now]
    if sorted(media) != sorted(there):
        yield f"photographs without a row or rows without: {sorted(set(media) ^ set(there))}"
    for folder in ("tmp", "orphans"):
        if left := files_below(root / folder):
            yield f"left in {folder}: {left}"
    if missing := promises.recorded.keys() - {event.id for event in events}:
        yield f"recorded and gone: {sorted(missing)}"
    numbers = [(event.epoch, event.n) for event in events if event.n is not None]
    if len(set(numbers)) < len(numbers):
        yield f"an n was given twice: {sorted(numbers)}"
    ids = [(event.epoch, event.seq) for event in events]
    if len(set(ids)) < len(ids):
        yield f"a seq was given twice: {sorted(ids)}"
    said = [tuple(row) for row in session.database.all("PRAGMA integrity_check")]
    if said != [("ok",)]:
        yield f"integrity_check: {said}"
