"""Photographs as rows of parts, receipts as marks: what the outbox keeps of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, capture, keep, running
from trapd.errors import BadPicture
from trapd.records import Event, Kind, Message, State
from trapd.store import Session, Store
from trapd.store.queue import transfer


def part_keys(messages: list[Message]) -> list[tuple[str, int]]:
    return [(transfer.medium_of(m.leaf), m.part) for m in messages if m.chunk_bytes]


def take(session: Session, limit: int = 1000, chunk_bytes: int = 500) -> list[Message]:
    found = session.outbox.next(limit, max_bytes=10**9, chunk_bytes=chunk_bytes)
    return [message for message in found if message.chunk_bytes]


def note(session: Session, messages: list[Message]) -> None:
    parts: dict[tuple[int, int], list[int]] = {}
    for message in messages:
        parts.setdefault((message.row, message.chunk_bytes), []).append(message.part)
    session.outbox.acknowledge([], parts=parts)


def delivered(store: Store, session: Session, clock: FakeClock) -> Event:
    event = keep(store, session, capture(store, session, clock))
    session.outbox.acknowledge([message.row for message in session.outbox.next(10, max_bytes=10**9)])
    return event


def test_the_parts_of_a_photograph_are_its_file(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        medium = delivered(store, session, clock).media[0]
        session.outbox.request_media({medium.id: None}, chunk_bytes=500)
        parts = take(session)
        assert [m.part for m in parts] == list(range(1 + transfer.chunks(medium.bytes, 500)))
        assert {m.kind for m in parts} == {Kind.MEDIA_REQUESTED}
        data = b"".join(transfer.read_chunk(store.root, medium, m.part - 1, 500) for m in parts[1:])
        assert data == store.read(medium)
        assert session.outbox.depth() == {"media_requested": 1}
        note(session, parts[:-1])
        assert part_keys(take(session)) == [(medium.id, parts[-1].part)]
        note(session, parts[-1:])
        assert session.outbox.depth() == {}
        assert session.database.all("SELECT * FROM transfer") == []
        assert session.outbox.bytes_waiting() == {}


def test_progress_outlasts_the_process(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        medium = delivered(store, session, clock).media[0]
        session.outbox.request_media({medium.id: None}, chunk_bytes=500)
        note(session, take(session)[1:3])
    with running(tmp_path, clock) as (_, session):
        assert [part for _, part in part_keys(take(session))][:3] == [0, 3, 4]


@given(data=st.data())
def test_whatever_is_asked_and_acknowledged_every_part_wanted_goes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Against a model: for each photograph the set of parts that are still to go."""
    clock = FakeClock()
    with running(tmp_path_factory.mktemp("store"), clock) as (store, session):
        media = delivered(store, session, clock).media
        count = transfer.chunks(media[0].bytes, 300)
        todo: dict[str, set[int]] = {}
        only_some: set[str] = set()
        for _ in range(data.draw(st.integers(1, 12))):
            if data.draw(st.booleans()):
                medium = data.draw(st.sampled_from(media))
                ranges = data.draw(
                    st.none() | st.lists(st.tuples(st.integers(0, count), st.integers(0, 3)), max_size=3)
                )
                wanted = None if ranges is None else [(first, first + more) for first, more in ranges]
                became = session.outbox.request_media({medium.id: wanted}, chunk_bytes=300)
                assert became.queued == (medium.id,)
                parts = {0} | {
                    n + 1 for first, last in wanted or () for n in range(first, last + 1) if n < count
                }
                if medium.id not in todo:
                    todo[medium.id] = set(range(count + 1)) if wanted is None else parts
                    (only_some.discard if wanted is None else only_some.add)(medium.id)
                elif wanted is None and medium.id in only_some:
                    todo[medium.id] = set(range(count + 1))
                    only_some.discard(medium.id)
                elif wanted is not None:
                    todo[medium.id] |= parts
            else:
                ready = take(session, data.draw(st.integers(1, 8)), chunk_bytes=300)
                chosen = data.draw(st.lists(st.sampled_from(ready), unique=True)) if ready else []
                note(session, chosen)
                for name, part in part_keys(chosen):
                    todo[name].discard(part)
            todo = {name: parts for name, parts in todo.items() if parts}
            left: dict[str, set[int]] = {}
            for name, part in part_keys(take(session, chunk_bytes=300)):
                left.setdefault(name, set()).add(part)
            assert left == todo


def test_parts_in_flight_are_left_out_and_the_next_photograph_follows(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        media = delivered(store, session, clock).media
        session.outbox.request_media(dict.fromkeys([m.id for m in media[:2]]), chunk_bytes=500)
        first = take(session, 3)
        out = {first[0].row: {m.part for m in first}}
        found = session.outbox.next(100, max_bytes=10**9, chunk_bytes=500, parts_out=out)
        assert (found[0].row, found[0].part) == (first[0].row, 3)
        assert {m.row for m in found} == {first[0].row, first[0].row + 1}


@pytest.mark.parametrize("damage", ["evicted", "missing", "short"])
def test_a_photograph_that_is_not_all_there_is_no_chunk(tmp_path: Path, damage: str) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        medium = delivered(store, session, clock).media[0]
        path = store.root / str(medium.path)
        if damage == "evicted":
            medium = replace(medium, path=None)
        elif damage == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:700])
        with pytest.raises(BadPicture, match=medium.id):
            transfer.read_chunk(store.root, medium, 1, 500)


def test_a_receipt_frees_only_what_is_marked(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        events = [session.events.settle(capture(store, session, clock).id, ANIMAL) for _ in range(4)]
        rows = [message.row for message in session.outbox.next(10, max_bytes=10**9)]
        session.outbox.acknowledge([], awaiting=rows[:2], mark=5)
        assert session.outbox.last_mark() == 5
        assert session.outbox.receipt_ids([event.id for event in events] + ["who"]) == ["who"]
        states = [event.state for event in session.events.page()]
        assert states == [State.DELIVERED, State.DELIVERED, State.KEPT, State.KEPT]
        assert (session.outbox.last_mark(), session.outbox.awaiting_count()) == (0, 0)


def test_all_of_a_photograph_goes_although_a_part_of_it_waits(tmp_path: Path) -> None:
    """Somebody looks at its first chunk, and then wants it all."""
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        medium = delivered(store, session, clock).media[0]
        session.outbox.request_media({medium.id: [(0, 0)]}, chunk_bytes=500)
        note(session, take(session)[:1])
        session.outbox.request_media({medium.id: None}, chunk_bytes=500)
        everything = list(range(1 + transfer.chunks(medium.bytes, 500)))
        assert [part for _, part in part_keys(take(session))] == everything
        note(session, take(session)[:2])
        session.outbox.request_media({medium.id: None}, chunk_bytes=500)  # it is under way already
        assert [part for _, part in part_keys(take(session))] == everything[2:]


def test_a_receipt_that_frees_nothing_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it frees is looked for before anything is locked: where many await, that takes a while."""
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        for _ in range(3):
            session.events.settle(capture(store, session, clock).id, ANIMAL)
        rows = [message.row for message in session.outbox.next(10, max_bytes=10**9)]
        session.outbox.acknowledge([], awaiting=rows, mark=1)
        assert session.outbox.receipt_upto(store.epoch, 2)
        assert session.outbox.depth() == {"event": 1}
        monkeypatch.setattr(session.database, "write", lambda: pytest.fail("it locked the database"))
        assert session.outbox.receipt_upto(store.epoch, 2)


def test_a_receipt_for_thousands_is_worked_off_in_slices(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        session.database.one("PRAGMA synchronous=OFF")
        event = capture(store, session, clock, frames=1)
        now, kind = clock.now(), event.trigger
        for seq in range(1000, 2200):
            made = session.events.record(seq=seq, moment=now, trigger=kind, media=(), config="", env={})
            session.events.settle(made.id, ANIMAL)
        rows = [message.row for message in session.outbox.next(5000, max_bytes=10**9)]
        session.outbox.acknowledge([], awaiting=rows, mark=1)
        assert session.outbox.receipt_upto(event.epoch, 1100)
        assert session.outbox.depth() == {"event": 100}
        assert session.outbox.awaiting_count() == 100
        assert not session.outbox.receipt_upto("ffff", 3)


def test_what_awaits_goes_again_behind_what_is_new(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        for _ in range(4):
            session.events.settle(capture(store, session, clock).id, ANIMAL)
        rows = [message.row for message in session.outbox.next(10, max_bytes=10**9)]
        session.outbox.acknowledge([], awaiting=rows[:1], mark=9)
        session.outbox.acknowledge([], awaiting=rows[1:2], mark=3)

        def order(again_below: int) -> list[int]:
            found = session.outbox.next(10, max_bytes=10**9, again_below=again_below)
            return [message.row for message in found]

        assert order(0) == rows[2:]
        assert order(4) == [*rows[2:], rows[1]]
        assert order(10) == [*rows[2:], rows[1], rows[0]]
