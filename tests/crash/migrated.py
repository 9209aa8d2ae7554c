"""What must hold when a migration failed or was cut: the database is the old one or the new one, whole.

The old one is of use to the trapd that made it, with all that was promised, and to the later one, which
migrates it then. The new one is refused by the old trapd, unchanged, and holds all that the step brings.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.crash.checker import Findings, check, open_later
from tests.crash.migrate import VERSION, later_trapd
from tests.crash.promises import Promises
from trapd.errors import StoreError

OLD, NEW = "old", "new"
_ALL = 10_000


def check_migrated(root: Path, promises: Promises, *, process_only: bool = False) -> Findings:
    """`promises`: of the old trapd. The kind that is found is `old` or `new`."""
    findings = Findings()
    try:
        try:
            open_later(root).close(clean=True)
        except StoreError as error:
            findings.kind = (NEW,)
            if "newer trapd" not in error.message:
                raise
        else:
            findings.kind = (OLD,)
            findings.breaches += check(root, promises).breaches
        with later_trapd():
            findings.breaches += _migrated(root, promises, was_new=findings.kind == (NEW,))
    except Exception:
        # Whatever it is, it is what the unit would have met at its start.
        findings.breaches.append(f"the store cannot be used: {traceback.format_exc(limit=-4)}")
    return findings


def _migrated(root: Path, promises: Promises, *, was_new: bool) -> Iterator[str]:
    store = open_later(root)
    try:
        with store.session() as session:
            database = session.database
            version = database.number("PRAGMA user_version")
            if version != VERSION:
                yield f"it is of version {version}"
            said = [tuple(row) for row in database.all("PRAGMA integrity_check")]
            if said != [("ok",)]:
                yield f"integrity_check: {said}"
            events = session.events.page(limit=_ALL)
            if missing := promises.recorded.keys() - {event.id for event in events}:
                yield f"recorded and gone: {sorted(missing)}"
            if was_new and store.recovered.set_aside is not None:
                yield f"the new database is set aside: {store.recovered.set_aside}"
            rows = [tuple(row) for row in database.all("SELECT row, n FROM event ORDER BY row")]
            if [tuple(row) for row in database.all("SELECT event, n FROM later ORDER BY event")] != rows:
                yield "the step's table lacks events"
            if database.number("SELECT count(*) FROM event WHERE later <> row"):
                yield "the step's column lacks values"
    finally:
        store.close(clean=True)
