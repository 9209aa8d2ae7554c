from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, capture, keep, rows, running
from trapd.records import Kind, Priority, State
from trapd.rules import PRIORITY
from trapd.store.sqlite.rows import queue_row

PLAIN = (Kind.TRAIL, Kind.CLOCK, Kind.MEDIA_REQUESTED, Kind.MEDIA_BULK, Kind.CONTROL)


def test_what_is_put_comes_out_once_acknowledged_it_is_gone(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        row = session.outbox.put(Kind.TRAIL, "trail", b'{"a":1}', retain=False)

        (message,) = session.outbox.next(10, max_bytes=10**9)
        assert (message.row, message.kind, message.leaf) == (row, Kind.TRAIL, "trail")
        assert (message.payload, message.retain, message.bytes) == (b'{"a":1}', False, 7)
        session.outbox.acknowledge([row])
        assert session.outbox.next(10, max_bytes=10**9) == []
        assert session.outbox.depth() == {}


def test_order_is_by_priority_newest_alert_first_the_rest_oldest_first(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        events = [keep(store, session, capture(store, session, clock)) for _ in range(2)]
        session.outbox.put(Kind.MEDIA_BULK, "media/b", b"b", retain=False)
        session.outbox.put(Kind.MEDIA_REQUESTED, "media/r", b"r", retain=False)
        session.outbox.put(Kind.STATE, "state", b"s", retain=True)
        session.outbox.put(Kind.TRAIL, "trail", b"t", retain=False)
        session.outbox.put(Kind.ALERT, "alert/old", b"1", retain=True)
        session.outbox.put(Kind.ALERT, "alert/new", b"2", retain=True)
        urgent = session.events.settle(capture(store, session, clock).id, ANIMAL, urgent=True)

        sent = session.outbox.next(100, max_bytes=10**9)
        assert [message.event_id or message.leaf for message in sent] == [
            urgent.id,
            "alert/new",
            "alert/old",
            "state",
            "trail",
            events[0].id,
            events[1].id,
            events[0].id,
            events[1].id,
            "media/r",
            "media/b",
        ]
        assert [message.kind for message in sent][5:9] == [Kind.EVENT, Kind.EVENT, Kind.THUMB, Kind.THUMB]


@given(
    st.lists(st.tuples(st.sampled_from(PLAIN), st.integers(0, 50)), max_size=30),
    st.integers(0, 12),
    st.sets(st.integers(1, 30)),
    st.integers(0, 300),
    st.sets(st.sampled_from(PLAIN)),
)
def test_next_is_what_sorting_everything_would_give(
    tmp_path_factory: pytest.TempPathFactory,
    put: list[tuple[Kind, int]],
    limit: int,
    exclude: set[int],
    max_bytes: int,
    resting: set[Kind],
) -> None:
    with running(tmp_path_factory.mktemp("store")) as (_, session):
        with session.database.write() as connection:
            for kind, size in put:
                queue_row(
                    connection,
                    FakeClock().now(),
                    kind=kind,
                    priority=PRIORITY[kind],
                    leaf="x",
                    size_bytes=size,
                    payload=bytes(size),
                )
        expected: list[int] = []
        total = 0
        order = sorted(enumerate(put, 1), key=lambda item: (PRIORITY[item[1][0]], item[0]))
        for row, (kind, size) in order:
            if row in exclude or kind in resting:
                continue
            total += size
            if len(expected) == limit or (expected and total > max_bytes):
                break
            expected.append(row)

        messages = session.outbox.next(limit, exclude=exclude, max_bytes=max_bytes, resting=resting)

        assert [message.row for message in messages] == expected


def test_one_row_goes_however_large_it_is(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        session.outbox.put(Kind.TRAIL, "trail", bytes(5000), retain=False)
        session.outbox.put(Kind.TRAIL, "trail", bytes(10), retain=False)

        assert [message.bytes for message in session.outbox.next(10, max_bytes=100)] == [5000]


def test_a_retained_leaf_has_one_row_the_newest(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        old = session.outbox.put(Kind.STATE, "state", b"old", retain=True)
        new = session.outbox.put(Kind.STATE, "state", b"new", retain=True)

        assert session.outbox.depth() == {"state": 1}
        session.outbox.acknowledge([old])  # the older publish's PUBACK comes late
        (message,) = session.outbox.next(10, max_bytes=10**9)
        assert (message.row, message.payload, message.retain) == (new, b"new", True)


def test_a_row_id_never_comes_again(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        last = session.outbox.put(Kind.TRAIL, "trail", b"1", retain=False)
        session.outbox.acknowledge([last])
    with running(tmp_path) as (_, session):
        assert session.outbox.put(Kind.TRAIL, "trail", b"2", retain=False) > last


def test_an_event_is_delivered_when_its_own_row_is_acknowledged(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        kept = keep(store, session, capture(store, session, clock))
        event_row, thumb_row = rows(session)

        session.outbox.acknowledge([thumb_row])
        assert session.events.get(kept.id) == kept
        session.outbox.acknowledge([event_row])
        assert session.events.get(kept.id) == replace(kept, state=State.DELIVERED)
        assert session.outbox.last_delivery_ms() == clock.now().wall_ms


def test_rows_that_are_gone_are_passed_over(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        row = session.outbox.put(Kind.TRAIL, "trail", b"", retain=False)
        session.outbox.acknowledge([row, row, 999_999])
        session.outbox.acknowledge([])

        assert session.outbox.depth() == {}


def test_retained_leaves_can_be_queued_again_after_their_delivery(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        session.outbox.put(Kind.STATE, "state", b"s", retain=True)
        session.outbox.put(Kind.ALERT, "alert/disk", b"a", retain=True)
        session.outbox.put(Kind.ALERT, "alert/camera", b"", retain=True)
        session.outbox.put(Kind.TRAIL, "trail", b"t", retain=False)
        session.outbox.acknowledge(rows(session))
        waiting = session.outbox.put(Kind.STATE, "state", b"newer", retain=True)

        session.outbox.replay_retained()

        again = session.outbox.next(10, max_bytes=10**9)
        assert {message.leaf: message.payload for message in again} == {
            "state": b"newer",
            "alert/disk": b"a",
            "alert/camera": b"",
        }
        assert waiting in {message.row for message in again}
        assert all(message.retain for message in again)
        assert session.outbox.depth() == {"alert": 2, "state": 1}


def test_leaves_that_stand_are_listed_by_prefix(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        session.outbox.put(Kind.ALERT, "alert/disk", b"a", retain=True)
        session.outbox.put(Kind.ALERT, "alert/camera", b"", retain=True)
        session.outbox.put(Kind.STATE, "state", b"s", retain=True)

        assert list(session.outbox.retained("alert/")) == ["alert/disk"]
        assert list(session.outbox.retained()) == ["alert/disk", "state"]


def test_age_of_the_oldest_goes_by_the_boot_clock(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (_, session):
        assert session.outbox.oldest_unsent_s(clock.now()) is None
        session.outbox.put(Kind.TRAIL, "trail", b"t", retain=False)
        clock.advance(90)
        clock.set_wall(0)
        session.outbox.put(Kind.TRAIL, "trail", b"t", retain=False)

        assert session.outbox.oldest_unsent_s(clock.now()) == 90
        later = replace(clock.now(), boot_id="another", wall_ms=1_700_000_060_000)
        assert session.outbox.oldest_unsent_s(later) == 60
        assert session.outbox.oldest_unsent_s(replace(later, wall_ms=0)) == 0


def test_every_kind_has_its_place() -> None:
    assert set(PRIORITY) == set(Kind)
    assert set(PRIORITY.values()) == set(Priority)


def test_a_second_session_sees_what_the_first_has_put(tmp_path: Path) -> None:
    with running(tmp_path) as (store, session):
        session.outbox.put(Kind.TRAIL, "trail", b"t", retain=False)
        with store.session() as other:
            assert other.outbox.depth() == {"trail": 1}
