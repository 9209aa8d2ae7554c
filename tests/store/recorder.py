"""A process that records, settles, delivers and evicts until it is killed, and says each thing once done.

`python -m tests.store.recorder ROOT SEED`. Each line is written after the call has returned: what it says
must be found again whenever the process ends.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from tests.store.common import ANIMAL, CONFIG, CONTEXT, EMPTY, frame, jpeg
from trapd.host.clock import SystemClock
from trapd.records import Kind, Trigger
from trapd.store import Session, Store

_QUOTA_BYTES = 2_000_000


def say(*words: object) -> None:
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


def record(store: Store, session: Session, clock: SystemClock, picture: bytes) -> None:
    moment = clock.now()
    trigger = Trigger("pir", "17", moment.boot_ns)
    seq = store.next_seq()
    files = store.burst_files(seq, moment, CONTEXT, trigger=trigger, config=CONFIG)
    for number in range(3):
        files.add(frame(moment, number, picture))
    event = session.events.record(
        seq=seq, moment=moment, trigger=trigger, media=files.commit(), config=CONFIG, env={}
    )
    say("recorded", event.id)


def settle(store: Store, session: Session, keep: bool) -> None:
    event = session.events.oldest_captured()
    if event is None:
        return
    if keep:
        settled = session.events.settle(event.id, ANIMAL, thumb=store.write_thumb(event, 0, 4000))
        say("kept", event.id, settled.n)
    else:
        session.events.settle(event.id, EMPTY)
        say("discarded", event.id)


def deliver(session: Session, count: int) -> None:
    messages = session.outbox.next(count, max_bytes=10**9)
    session.outbox.acknowledge([message.row for message in messages])
    for message in messages:
        say("acknowledged", message.row)
        if message.kind is Kind.EVENT:
            say("delivered", message.event_id)


def main() -> None:
    root, seed = Path(sys.argv[1]), int(sys.argv[2])
    drawn = random.Random(seed)
    clock = SystemClock()
    picture = jpeg(160, 120, shade=seed % 256)
    store = Store.open(root, CONTEXT.unit, clock=clock, max_bytes=_QUOTA_BYTES, min_free_bytes=0)
    with store.session() as session:
        say("open", store.epoch)
        while True:
            what = drawn.random()
            if what < 0.4:
                record(store, session, clock, picture)
            elif what < 0.75:
                settle(store, session, keep=drawn.random() < 0.7)
            elif what < 0.85:
                deliver(session, drawn.randint(1, 5))
            elif what < 0.9:
                session.outbox.put(Kind.STATE, "state", b"{}", retain=True)
            elif what < 0.95:
                session.counters.add("refused.rate")
                say("counted")
            else:
                say("evicted", store.space.tidy(session, 2).events)


if __name__ == "__main__":
    main()
