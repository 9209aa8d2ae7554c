"""Bursts, verdicts, deliveries, a tight disk and crashes in any order: every number stays accounted for."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, EMPTY, capture, files_below, open_store
from trapd.parts import TOMBSTONES
from trapd.records import Kind, State
from trapd.store import Session, Store
from trapd.wire import codec

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["burst", "burst", "keep", "keep", "audit", "discard", "crash"]), st.just(0)
        ),
        st.tuples(st.sampled_from(["send", "squeeze", "squeeze"]), st.integers(1, 4)),
    ),
    min_size=5,
    max_size=40,
)


class Unit:
    """What was promised to the receiver, and what it has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock()
        self.heard: dict[int, str] = {}  # n -> event or tombstone
        self.store: Store
        self.session: Session
        self.open()

    def open(self) -> None:
        self.store = open_store(self.root, self.clock)
        self.session = self.store.session()
        found = self.store.recovered
        assert (found.adopted, found.orphaned, found.media_missing, found.set_aside) == (0, 0, 0, None)

    def close(self, *, clean: bool) -> None:
        self.session.close()
        self.store.close(clean=clean)

    def act(self, name: str, value: int) -> None:
        if name == "burst":
            capture(self.store, self.session, self.clock, frames=2)
        elif name in ("keep", "audit", "discard"):
            self.settle(name)
        elif name == "send":
            for message in self.session.outbox.next(value, max_bytes=10**9):
                if message.kind is Kind.EVENT:
                    self.hear(message.event_id, message.payload)
                self.session.outbox.acknowledge([message.row])
        elif name == "squeeze":
            self.store.space._max_bytes = 1
            self.store.space.tidy(self.session, value, TOMBSTONES)
            self.store.space._max_bytes = 10**9
        else:
            self.close(clean=False)
            self.open()

    def settle(self, name: str) -> None:
        event = self.session.events.oldest_captured()
        if event is None:
            return
        if name == "discard":
            self.session.events.settle(event.id, EMPTY)
            return
        verdict = ANIMAL if name == "keep" else replace(EMPTY, keep=True, audit=True)
        self.session.events.settle(event.id, verdict, thumb=self.store.write_thumb(event, 0, 20_000))

    def said(self, event_id: str | None, payload: bytes | None) -> dict[str, Any]:
        """What goes out for a row: the event as it is now, or a tombstone."""
        event = None if event_id is None else self.session.events.get(event_id)
        found: dict[str, Any] = json.loads((payload or b"") if event is None else codec.event(event))
        return found

    def hear(self, event_id: str | None, payload: bytes | None) -> None:
        said = self.said(event_id, payload)
        assert said["n"] not in self.heard
        self.heard[said["n"]] = said["id"]

    def check(self) -> None:
        events = self.session.events.page(limit=1000)
        on_disk = [str(m.path) for event in events for m in event.media if m.path is not None]
        assert files_below(self.root / "media") == sorted(path.removeprefix("media/") for path in on_disk)
        thumbs = sorted(f"{event.id}.jpg" for event in events if event.thumb is not None)
        assert files_below(self.root / "thumbs") == thumbs
        for event in events:
            if event.state is State.CAPTURED:
                assert all(medium.path is not None for medium in event.media)
        accounted = dict(self.heard)
        for message in self.session.outbox.next(1000, max_bytes=10**9):
            if message.kind is Kind.EVENT:
                said = self.said(message.event_id, message.payload)
                assert said["n"] not in accounted
                accounted[said["n"]] = said["id"]
        assert sorted(accounted) == list(range(1, len(accounted) + 1))
        assert len(set(accounted.values())) == len(accounted)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_every_number_is_an_event_or_a_tombstone_once(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("trapd.store.room.space._SMALL_DATABASE_BYTES", 0)
        unit = Unit(Path(folder))
        try:
            for step in steps:
                unit.act(*step)
                unit.check()
        finally:
            unit.close(clean=True)
