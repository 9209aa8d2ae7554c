"""The sample in the store, and what people said of it in its file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, EMPTY, capture, running
from trapd.sampling import DISCARDED, Heap
from trapd.store import Store
from trapd.store.bursts import audits
from trapd.store.bursts.audits import JUDGED

HEAP = Heap(DISCARDED, "f@own", "0.35", "0.02", "day", "0").name
OTHER = Heap(DISCARDED, "g@own", "0.35", "0.02", "day", "0").name


def test_a_burst_counts_once_into_its_stratum_and_is_noted_if_drawn(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        first, second = (capture(store, session, clock) for _ in range(2))
        for _ in range(2):  # as after a crash
            session.events.settle(first.id, EMPTY, heap=HEAP, is_drawn=True)
        session.events.settle(second.id, ANIMAL, heap=HEAP)
        assert session.audits.place(HEAP) == 2
        assert [(one.id, one.heap, one.lost) for one in session.audits.samples()] == [(first.id, HEAP, False)]


def test_the_stratum_that_was_added_to_last_comes_last(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        for heap in (OTHER, HEAP, OTHER):
            session.events.settle(capture(store, session, clock).id, EMPTY, heap=heap)
        assert list(session.audits.totals().items()) == [(HEAP, 1), (OTHER, 2)]


def test_a_sample_whose_files_went_is_lost_and_stays_counted(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)
        settled = session.events.settle(event.id, EMPTY, heap=HEAP, is_drawn=True)
        store.space.drop(session, settled)
        assert [one.lost for one in session.audits.samples()] == [True]


def test_what_was_drawn_in_a_year_is_read_into_little(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        with session.database.write() as connection:
            for number in range(2000):
                heap = Heap(DISCARDED, "0123456789ab@own", "0.35", "0.02", "day", str(number % 4)).name
                audits.add(connection, f"wangqing-07-3f9a-{number:06}", heap, is_drawn=True)
        tracemalloc.start()
        try:
            samples = session.audits.samples()
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len({one.heap for one in samples}) == 4
        assert peak_bytes / len(samples) < 200


def test_the_seed_is_made_once(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        assert session.audits.known_seed() is None
        seed = session.audits.seed()
    with running(tmp_path) as (_, session):
        assert session.audits.seed() == seed == session.audits.known_seed()


def test_what_is_told_while_the_daemon_runs_is_read_by_it(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        assert session.audits.truths() == {}
        with Store.peek(tmp_path) as looking:
            looking.audits.tell({"a": "empty", "b": "animal"})
            looking.audits.tell({"a": "person"})
        assert session.audits.truths() == {"a": "person", "b": "animal"}


def test_a_line_that_was_cut_or_is_nobodys_is_passed_over(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        (tmp_path / JUDGED).write_bytes(
            b'{"id":"x","truth":"dragon"}\n[1]\n\xff\n{"id":3,"truth":"empty"}\n{"id":"y"'
        )
        session.audits.tell({"z": "empty"})
        assert session.audits.truths() == {"z": "empty"}
