"""Whatever is done to the store in whatever order, crashes included, it holds what a simple model holds."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fakes.clock import FakeClock
from tests.machines import walk
from tests.store.common import ANIMAL, CONFIG, CONTEXT, EMPTY, capture, files_below, frame, open_store
from trapd.records import Event, Kind, Message, State, Trigger

LEAVES = st.sampled_from(["state", "alert/disk", "alert/camera"])


@dataclass
class Known:
    """What the model knows of one event."""

    state: State
    frames: int
    attempts: int = 0
    n: int | None = None
    evicted: bool = False
    waiting: set[str] = field(default_factory=set)  # leaves that are not acknowledged


class StoreMachine(RuleBasedStateMachine):
    """Put, judge, acknowledge, evict, crash, reopen."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="trapd-machine-"))
        self.root = self.folder / "0"
        self.lives = 0
        self.clock = FakeClock()
        self.events: dict[str, Known] = {}  # in the order of recording
        self.plain: dict[int, bytes] = {}
        self.retained: dict[str, bytes] = {}  # the last value of each leaf
        self.retained_rows: dict[str, int] = {}
        self.gone: list[int] = []
        self.counted = 0
        self.seqs: list[int] = []

    @initialize()
    def begin(self) -> None:
        self.store = open_store(self.root, self.clock)
        self.session = self.store.session()

    def teardown(self) -> None:
        self.session.close()
        self.store.close(clean=True)
        shutil.rmtree(self.folder)

    def captured(self) -> list[str]:
        return [name for name, known in self.events.items() if known.state is State.CAPTURED]

    @rule(frames=st.integers(1, 3), jump_ms=st.sampled_from([0, 0, -300_000_000_000, 300_000_000_000]))
    def record(self, frames: int, jump_ms: int) -> None:
        self.clock.set_wall(1_700_000_000_000 + jump_ms)
        event = capture(self.store, self.session, self.clock, frames=frames)
        self.seqs.append(event.seq)
        self.events[event.id] = Known(State.CAPTURED, frames)

    @precondition(lambda self: self.captured())
    @rule(keep=st.booleans(), with_thumb=st.booleans())
    def judge(self, keep: bool, with_thumb: bool) -> None:
        event = self.session.events.oldest_captured()
        assert event is not None
        assert event.id == self.captured()[0]
        thumb = self.store.write_thumb(event, 0, 20_000) if keep and with_thumb else None
        settled = self.session.events.settle(event.id, ANIMAL if keep else EMPTY, thumb=thumb)
        known = self.events[event.id]
        known.state = State.KEPT if keep else State.DISCARDED
        if keep:
            known.n = 1 + max((other.n or 0 for other in self.events.values()), default=0)
            known.waiting = {"event"} | ({f"thumb/{event.id}"} if with_thumb else set())
        assert settled.n == known.n

    @rule(payload=st.binary(max_size=20))
    def put(self, payload: bytes) -> None:
        row = self.session.outbox.put(Kind.TRAIL, "trail", payload, retain=False)
        assert row not in self.gone
        self.plain[row] = payload

    @rule(leaf=LEAVES, payload=st.binary(max_size=20))
    def put_retained(self, leaf: str, payload: bytes) -> None:
        kind = Kind.STATE if leaf == "state" else Kind.ALERT
        row = self.session.outbox.put(kind, leaf, payload, retain=True)
        assert row not in self.gone
        if leaf in self.retained_rows:
            self.gone.append(self.retained_rows[leaf])
        self.retained[leaf] = payload
        self.retained_rows[leaf] = row

    @rule()
    def replay(self) -> None:
        self.session.outbox.replay_retained()
        for message in self.waiting():
            if message.retain:
                self.retained_rows[message.leaf] = message.row
        assert self.retained_rows.keys() == self.retained.keys()

    @rule(data=st.data(), late=st.booleans())
    def acknowledge(self, data: st.DataObject, late: bool) -> None:
        messages = self.session.outbox.next(4, max_bytes=10**9)
        chosen = data.draw(st.lists(st.sampled_from(messages), unique=True)) if messages else []
        rows = [message.row for message in chosen] + (self.gone if late else [])
        self.session.outbox.acknowledge(rows)
        for message in chosen:
            self.forget(message)

    def forget(self, message: Message) -> None:
        self.gone.append(message.row)
        self.plain.pop(message.row, None)
        if message.retain:
            del self.retained_rows[message.leaf]
        if message.event_id is not None:
            known = self.events[message.event_id]
            known.waiting.discard(message.leaf)
            if message.kind is Kind.EVENT:
                known.state = State.DELIVERED

    @rule(limit=st.integers(1, 3))
    def evict(self, limit: int) -> None:
        self.store.space._max_bytes = 1
        evicted = self.store.space.tidy(self.session, limit)
        left = limit
        for state in (State.DISCARDED, State.DELIVERED):
            for known in self.events.values():
                if left and known.state is state and not known.evicted and not known.waiting:
                    known.evicted = True
                    left -= 1
        assert evicted.events == limit - left

    @rule(by=st.integers(1, 5))
    def count(self, by: int) -> None:
        self.session.counters.add("refused.rate", by)
        self.counted += by

    @rule(files_of_a_burst=st.integers(0, 2))
    def crash(self, files_of_a_burst: int) -> None:
        """The process ends as it stands, perhaps between a burst's files and its row."""
        adopted = self.files_without_row(files_of_a_burst) if files_of_a_burst else None
        if self.captured():
            self.events[self.captured()[0]].attempts += 1
        if adopted:
            self.events[adopted] = Known(State.CAPTURED, files_of_a_burst)
        self.lives += 1
        left = self.folder / str(self.lives)
        shutil.copytree(self.root, left)  # what the next process finds, log and all
        self.session.close()
        self.store.close(clean=False)
        shutil.rmtree(self.root)
        self.root = left
        self.reopen(adopted=1 if adopted else 0)

    @rule()
    def restart(self) -> None:
        self.session.close()
        self.store.close(clean=True)
        self.reopen(adopted=0)

    def files_without_row(self, frames: int) -> str:
        moment = self.clock.now()
        seq = self.store.next_seq()
        trigger = Trigger("pir", "17", moment.boot_ns)
        files = self.store.burst_files(seq, moment, CONTEXT, trigger=trigger, config=CONFIG)
        for number in range(frames):
            files.add(frame(moment, number))
        files.commit()
        self.seqs.append(seq)
        return f"unit-1-{self.store.epoch}-{seq:06d}"

    def reopen(self, adopted: int) -> None:
        epoch = self.store.epoch
        self.store = open_store(self.root, self.clock)
        self.session = self.store.session()
        found = self.store.recovered
        assert self.store.epoch == epoch
        assert (found.adopted, found.orphaned, found.media_missing, found.temp_removed) == (adopted, 0, 0, 0)
        given_up = [name for name in self.captured() if self.events[name].attempts >= 2]
        assert list(found.give_up) == given_up

    def waiting(self) -> list[Message]:
        return self.session.outbox.next(1000, max_bytes=10**9)

    @invariant()
    def events_are_the_models(self) -> None:
        found = self.session.events.page(limit=1000)
        assert [event.id for event in found] == list(self.events)
        for event in found:
            known = self.events[event.id]
            assert (event.state, event.n, event.attempts) == (known.state, known.n, known.attempts)
            assert len(event.media) == known.frames
            assert all((medium.path is None) == known.evicted for medium in event.media)
        numbers = sorted(event.n for event in found if event.n is not None)
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(set(self.seqs)) == len(self.seqs)

    @invariant()
    def rows_are_the_models(self) -> None:
        messages = self.waiting()
        assert {m.row: m.payload for m in messages if m.kind is Kind.TRAIL} == self.plain
        assert {m.leaf: m.row for m in messages if m.retain} == self.retained_rows
        for message in messages:
            if message.retain:
                assert message.payload == self.retained[message.leaf]
        expected = {(name, leaf) for name, known in self.events.items() for leaf in known.waiting}
        assert {(m.event_id, m.leaf) for m in messages if m.event_id} == expected
        assert sum(self.session.outbox.depth().values()) == len(messages)

    @invariant()
    def files_are_the_models(self) -> None:
        found: list[Event] = self.session.events.page(limit=1000)
        expected = sorted(str(m.path).removeprefix("media/") for e in found for m in e.media if m.path)
        assert files_below(self.root / "media") == expected
        assert files_below(self.root / "tmp") == []
        thumbs = [e.thumb[0].removeprefix("thumbs/") for e in found if e.thumb]
        assert files_below(self.root / "thumbs") == sorted(thumbs)

    @invariant()
    def counts_are_the_models(self) -> None:
        states = [known.state for known in self.events.values()]
        totals = {state.value: states.count(state) for state in State} | {"bursts": len(states)}
        assert self.session.events.totals() == totals
        assert self.session.counters.all().get("refused.rate", 0) == self.counted


@pytest.mark.slow
def test_whatever_is_done_in_whatever_order() -> None:
    walk(StoreMachine, "store", steps=25)
