"""The life of a store that the crash suites cut short: three starts, and everything that a unit writes.

`python -m tests.crash.workload ROOT [--bug NAME] [--life counts]`. Every error of the store is said and the
work goes on, as the daemon does; any other error ends the process with 3. Nothing here is random, so that the
n-th system call of one run is the n-th of the next.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.crash import bugs
from tests.crash.promises import say
from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, CONFIG, CONTEXT, EMPTY, frame, jpeg
from trapd.errors import BadPicture, StoreError, StoreFull, TrapdError
from trapd.records import Event, Kind, Message, Trigger
from trapd.store import Session, Store, Tombstones
from trapd.store.room import reserve

AMPLE_BYTES = 10**9
_TIGHT_BYTES = 60_000  # less than what lies there: everything that may go is evicted
RESERVE_BYTES = 10_000  # the real one only makes each of thousands of states larger
_CHUNK_BYTES = 2000
_DAYS_LATER_MS = 1_700_300_000_000
_BEFORE_MIDNIGHT_MS = 1_700_063_997_000  # 23:59:57 in the time zone of CONTEXT
_PICTURE = jpeg(200, 150, quality=95)
UNEXPECTED = 3


class Life:
    """One start of the store, up to its end."""

    def __init__(self, store: Store, session: Session, clock: FakeClock) -> None:
        self.store = store
        self.session = session
        self.clock = clock

    def record(self, *, camera_fails: bool = False) -> None:
        """A burst of three, as Capture takes it. `camera_fails`: after one photograph."""
        self.clock.advance(1.0)
        moment = self.clock.now()
        trigger = Trigger("pir", "17", moment.boot_ns)
        seq = self.store.next_seq()
        files = self.store.burst_files(seq, moment, CONTEXT, trigger=trigger, config=CONFIG)
        try:
            media = [files.add(frame(moment, number, _PICTURE)) for number in range(1 if camera_fails else 3)]
            if camera_fails:
                files.abandon()
                return
            event_id = media[0].id.rpartition("-")[0]
            taken = {medium.id: medium.sha256 for medium in media}
            say("will", "record", event=event_id, photographs=taken)
            committed = files.commit()
            event = self.session.events.record(
                seq=seq, moment=moment, trigger=trigger, media=committed, config=CONFIG, env={}
            )
        except StoreFull:
            files.abandon()
            raise
        say("did", "record", event=event.id, seq=event.seq, photographs=taken)

    def settle(self, *, keep: bool, urgent: bool = False) -> None:
        """Judge the oldest burst."""
        event = self.session.events.oldest_captured()
        if event is None:
            return
        say("will", "settle", event=event.id, keep=keep)
        thumb = self._thumb(event) if keep else None
        settled = self.session.events.settle(event.id, ANIMAL if keep else EMPTY, thumb=thumb, urgent=urgent)
        rows = [_told(message) for message in self.waiting() if message.event_id == event.id]
        say("did", "settle", event=event.id, n=settled.n, thumb=settled.thumb is not None, rows=rows)

    def _thumb(self, event: Event) -> tuple[str, int] | None:
        try:
            return self.store.write_thumb(event, 0, 6000)
        except (BadPicture, StoreError) as error:
            _failed("thumb", error)
            return None  # an event goes without its thumbnail rather than not at all

    def put(self, payload: str) -> None:
        """A retained value takes the place of the last one."""
        say("will", "put", leaf="state", payload=payload)
        row = self.session.outbox.put(Kind.STATE, "state", payload.encode(), retain=True)
        say("did", "put", leaf="state", payload=payload, rows=[(row, "state", None, True)])

    def acknowledge(self, count: int) -> None:
        """The receiver has the next `count` rows."""
        self._acknowledge([message.row for message in self.session.outbox.next(count, max_bytes=AMPLE_BYTES)])

    def _acknowledge(self, rows: list[int]) -> None:
        """As Deliver does, but that there the sync comes on another thread."""
        say("will", "acknowledge", rows=rows)
        self.session.outbox.acknowledge(rows, sync=False)
        log = self.session.database.log
        handle = log.open()
        try:
            log.sync(handle)
        finally:
            os.close(handle)
        say("did", "acknowledge", rows=rows)

    def await_receipts(self, count: int) -> list[str]:
        """The broker has the next `count` events, the receiver not yet; gives their ids."""
        sent = [message for message in self.waiting() if message.kind is Kind.EVENT][:count]
        self.session.outbox.acknowledge([], awaiting=[message.row for message in sent], mark=1)
        return [str(message.event_id) for message in sent]

    def receipts(self, events: list[str]) -> None:
        """The receiver has them."""
        rows = [m.row for m in self.waiting() if m.kind is Kind.EVENT and m.event_id in events]
        say("will", "acknowledge", rows=rows)
        self.session.outbox.receipt_ids(events)
        say("did", "acknowledge", rows=rows)

    def request(self, event: Event) -> None:
        """The receiver asks for the last photograph of a burst, and gets all of it but its last part."""
        wanted = event.media[-1].id
        say("will", "request", medium=wanted)
        self.session.outbox.request_media({wanted: None}, chunk_bytes=_CHUNK_BYTES)
        parts = [message for message in self.waiting() if message.leaf == f"media/{wanted}"]
        say("did", "request", rows=[(parts[0].row, parts[0].leaf, event.id, False)])
        sent = {(parts[0].row, _CHUNK_BYTES): [message.part for message in parts[:-1]]}
        self.session.outbox.acknowledge([], parts=sent)

    def count(self) -> None:
        """A trigger was refused."""
        say("will", "count")
        self.session.counters.add("refused.rate")
        say("did", "count")

    def evict(self, limit: int, *, undelivered: bool = False) -> None:
        """Space is short; with `undelivered` so short that photographs go before anybody has them."""
        say("will", "evict", undelivered=undelivered)
        if undelivered:
            self.store.space.admit(_TIGHT_BYTES // 4)
        self.store.space.tidy(self.session, limit, _TOMBSTONES if undelivered else None)
        say("did", "evict")

    def back_up(self) -> None:
        """The daily copy of the database."""
        self.store.back_up(self.session, lambda: None)

    def waiting(self) -> list[Message]:
        """The whole outbox."""
        return self.session.outbox.next(1000, max_bytes=AMPLE_BYTES, chunk_bytes=_CHUNK_BYTES)


_TOMBSTONES = Tombstones(
    event=lambda event_id, epoch, n, reason: json.dumps([event_id, epoch, n, reason]).encode(),
    file=lambda file_id, reason: json.dumps([file_id, reason]).encode(),
)


def _told(message: Message) -> tuple[int, str, str | None, bool]:
    return message.row, message.leaf, message.event_id, message.retain


def _failed(deed: str, error: TrapdError) -> None:
    say("did", "fail", what=deed, error=f"{type(error).__name__}: {error}")


def attempt(deed: Callable[[], None], name: str) -> None:
    """Do it, or say that the store refused."""
    try:
        deed()
    except StoreError as error:
        _failed(name, error)


@contextmanager
def life(root: Path, clock: FakeClock, *, clean: bool, max_bytes: int = AMPLE_BYTES) -> Iterator[Life | None]:
    """A store from its start to its end; None where it could not start."""
    try:
        store = Store.open(root, CONTEXT.unit, clock=clock, max_bytes=max_bytes, min_free_bytes=0)
    except StoreError as error:
        _failed("open", error)
        yield None
        return
    session = None
    try:
        session = store.session()
        say("did", "open", epoch=store.epoch)
        yield Life(store, session, clock)
    except StoreError as error:
        _failed("session", error)
        if session is None:
            yield None
    finally:
        if session is not None:
            session.close()
        store.close(clean=clean)
    say("did", "close", clean=clean)


def first(it: Life) -> None:
    """A new card: bursts, one kept and delivered in part, a backup; then the process ends without a word."""
    attempt(it.record, "record")
    attempt(it.record, "record")
    attempt(lambda: it.settle(keep=True), "settle")
    attempt(it.count, "count")
    attempt(lambda: it.put('{"n":1}'), "put")
    attempt(lambda: it.acknowledge(2), "acknowledge")
    attempt(lambda: it.settle(keep=False), "settle")
    attempt(it.back_up, "backup")
    attempt(it.record, "record")
    attempt(it.count, "count")


def second(it: Life) -> None:
    """Midnight, an urgent event, a checkpoint, everything delivered, space short."""
    it.clock.set_wall(_BEFORE_MIDNIGHT_MS)
    for _ in range(4):
        attempt(it.record, "record")
    attempt(lambda: it.settle(keep=True), "settle")
    attempt(lambda: it.settle(keep=True, urgent=True), "settle")
    attempt(lambda: it.settle(keep=False), "settle")
    attempt(it.session.database.checkpoint, "checkpoint")
    attempt(lambda: it.put('{"n":2}'), "put")
    attempt(lambda: it.acknowledge(3), "acknowledge")
    attempt(lambda: it.evict(1), "evict")
    attempt(it.count, "count")
    attempt(it.record, "record")
    attempt(lambda: it.acknowledge(100), "acknowledge")
    attempt(lambda: it.evict(100), "evict")


def third(it: Life) -> None:
    """Days later: what still waits is judged, a burst fails half-way, the card is nearly full."""
    attempt(lambda: it.record(camera_fails=True), "record")
    attempt(lambda: it.settle(keep=True), "settle")
    attempt(it.session.outbox.replay_retained, "replay")
    attempt(it.record, "record")
    attempt(lambda: it.acknowledge(1), "acknowledge")
    attempt(lambda: it.settle(keep=True), "settle")
    attempt(lambda: _demand(it), "request")
    attempt(lambda: it.evict(3, undelivered=True), "evict")


def _demand(it: Life) -> None:
    """Receipts are asked for, and a photograph."""
    sent = it.await_receipts(2)
    newest = it.session.events.get(sent[-1]) if sent else None
    if newest is not None:
        it.request(newest)
        it.receipts(sent[-1:])


def run(root: Path) -> None:
    """All three lives."""
    clock = FakeClock()
    for deeds, wall_ms, clean, max_bytes in (
        (first, None, False, AMPLE_BYTES),
        (second, None, True, _TIGHT_BYTES),
        (third, _DAYS_LATER_MS, True, _TIGHT_BYTES),
    ):
        if wall_ms is not None:
            clock.set_wall(wall_ms)
        with life(root, clock, clean=clean, max_bytes=max_bytes) as it:
            if it is not None:
                deeds(it)


def run_counts(root: Path) -> None:
    """Transactions without a sync between others that have one, and more than one start."""
    clock = FakeClock()
    for start in range(2):
        with life(root, clock, clean=False) as it:
            if it is None:
                continue
            for number in range(3):
                attempt(it.count, "count")
                attempt(partial(it.put, f'{{"n":{3 * start + number}}}'), "put")
                attempt(it.record, "record")
                attempt(partial(it.settle, keep=True), "settle")
            if it is not None:
                attempt(it.session.database.checkpoint, "checkpoint")
                attempt(it.record, "record")


def begin() -> argparse.Namespace:
    """Read the command line and put in the bug that it asks for; gives `root` and `life`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--bug", choices=sorted(bugs.BUGS))
    parser.add_argument("--life", choices=("all", "counts"), default="all")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)  # it writes, where faults are put into writes
    reserve._BYTES = RESERVE_BYTES
    if asked.bug:
        bugs.BUGS[asked.bug]()
    return asked


def main() -> int:
    asked = begin()
    try:
        (run if asked.life == "all" else run_counts)(asked.root)
    except BaseException:
        os.writev(2, [traceback.format_exc().encode()])
        return UNEXPECTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
