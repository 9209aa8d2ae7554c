"""The first start of a later trapd, whose schema has one step more, to be recorded.

`python -m tests.crash.migrate ROOT [--bug NAME]`. Ends with 1 where the store refuses.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.crash.workload import AMPLE_BYTES, begin, life
from tests.fakes.clock import FakeClock
from trapd.store.sqlite import schema

STEP = (
    "CREATE TABLE later (event INTEGER PRIMARY KEY REFERENCES event (row), n INTEGER)",
    "INSERT INTO later SELECT row, n FROM event",
    "ALTER TABLE event ADD COLUMN later INTEGER NOT NULL DEFAULT 0",
    "UPDATE event SET later = row",
    "CREATE INDEX event_later ON event (later, state)",
    "DROP INDEX event_of_boot",
    "CREATE INDEX event_of_boot ON event (boot, row)",
)
VERSION = schema.VERSION + 1


@contextmanager
def later_trapd() -> Iterator[None]:
    """Within, this process is the later trapd."""
    migrations, newest = schema.migrate.__defaults__, schema.refuse_strange.__kwdefaults__
    schema.migrate.__defaults__ = ((*schema.MIGRATIONS, STEP),)
    schema.refuse_strange.__kwdefaults__ = {"newest": VERSION}
    try:
        yield
    finally:
        schema.migrate.__defaults__, schema.refuse_strange.__kwdefaults__ = migrations, newest


def main() -> None:
    """Open the store, and no more."""
    root = begin().root
    with later_trapd(), life(root, FakeClock(), clean=True, max_bytes=AMPLE_BYTES) as it:
        if it is None:
            sys.exit("the store could not start")


if __name__ == "__main__":
    main()
