"""What the store does on a disk that fills up. `python -m tests.store.room.full_disk ROOT` on a tiny disk.

Asserts by itself and prints `sound` at the end; a child process, for the disk is mounted for it alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, EMPTY, capture, files_below, jpeg, running
from trapd.errors import StoreFull
from trapd.records import Kind
from trapd.store import Session, Store

PICTURE = jpeg(320, 240, quality=95)


def files_are_rows(root: Path, session: Session) -> None:
    expected = [m.path for event in session.events.page(limit=10_000) for m in event.media if m.path]
    assert files_below(root / "media") == sorted(path.removeprefix("media/") for path in expected)
    assert files_below(root / "tmp") == []


def fill_with_bursts(store: Store, session: Session, clock: FakeClock) -> int:
    recorded = 0
    while True:
        try:
            capture(store, session, clock, data=PICTURE)
        except StoreFull:
            return recorded
        recorded += 1


def fill_with_rows(session: Session) -> int:
    put = 0
    while True:
        try:
            session.outbox.put(Kind.TRAIL, "trail", bytes(300), retain=False)
        except StoreFull:
            return put
        put += 1


def main() -> None:
    root = Path(sys.argv[1])
    ballast = root / "ballast"
    ballast.write_bytes(bytes(200_000))
    clock = FakeClock()
    with running(root, clock) as (store, session):
        for _ in range(5):
            session.events.settle(capture(store, session, clock, data=PICTURE).id, EMPTY)
        recorded = 5 + fill_with_bursts(store, session, clock)
        assert recorded > 20
        files_are_rows(root, session)
        # No photograph fits, small writes still may: then nothing at all does.
        put = fill_with_rows(session)
        waiting = session.events.oldest_captured()
        assert waiting is not None
        try:
            session.events.settle(waiting.id, ANIMAL)
        except StoreFull:
            assert session.events.get(waiting.id) == waiting
        else:
            put += 1
        assert session.events.totals()["bursts"] == recorded
        assert sum(session.outbox.depth().values()) == put
    ballast.unlink()  # somebody makes a little room, else the store cannot even be opened
    with running(root, clock) as (store, session):
        assert store.recovered.set_aside is None
        assert store.recovered.media_missing == 0
        assert session.events.totals()["bursts"] == recorded
        assert sum(session.outbox.depth().values()) == put
        files_are_rows(root, session)
        store.space._min_free_bytes = store.space.disk().free_bytes
        assert not store.space.admit(len(PICTURE))
        assert store.space.tidy(session, 5).events == 5  # the discarded bursts make room
        files_are_rows(root, session)
        capture(store, session, clock, data=PICTURE)
        session.outbox.acknowledge([message.row for message in session.outbox.next(50, max_bytes=10**9)])
        files_are_rows(root, session)
    print("sound")


if __name__ == "__main__":
    main()
