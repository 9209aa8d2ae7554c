"""A clock that is wrong, jumps or becomes right: times are put right, and nothing else cares."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.clock import FakeClock
from tests.store.common import (
    ANIMAL,
    CONFIG,
    CONTEXT,
    EMPTY,
    capture,
    files_below,
    frame,
    keep,
    rows,
    running,
)
from trapd.records import Event, Kind, Moment, State, Trigger, TsQuality
from trapd.store import Session, Store
from trapd.store.photographs import exif
from trapd.wire import codec

TRUE_MS = 1_790_000_000_000
TEN_YEARS_MS = 10 * 365 * 86_400_000


def true_ms(clock: FakeClock) -> int:
    """What a watch would say: the tests' time began at TRUE_MS, 1,000 s after boot."""
    return TRUE_MS + (clock.boot_ns() - 1000 * 10**9) // 1_000_000


def told(session: Session) -> list[dict[str, object]]:
    found = session.outbox.next(1000, max_bytes=10**9)
    return [json.loads(message.payload or b"") for message in found if message.kind is Kind.CLOCK]


def send(session: Session, event: Event) -> None:
    found = session.outbox.next(1000, max_bytes=10**9)
    session.outbox.acknowledge([message.row for message in found if message.event_id == event.id])


def get(session: Session, event: Event) -> Event:
    found = session.events.get(event.id)
    assert found is not None
    return found


def test_true_time_dates_what_waits_and_is_told_for_what_was_sent(tmp_path: Path) -> None:
    clock = FakeClock(0, TsQuality.UNSET)
    with running(tmp_path, clock) as (store, session):
        sent, kept = (keep(store, session, capture(store, session, clock)) for _ in range(2))
        send(session, sent)
        discarded = session.events.settle(capture(store, session, clock).id, EMPTY)
        captured = capture(store, session, clock)
        clock.advance(100)
        clock.set_wall(true_ms(clock))
        clock.set_quality(TsQuality.SYNCED)

        done = session.timeline.correct(clock.now(), codec.clock)
        assert (done.redated, done.told) == (3, True)
        for number, event in enumerate((kept, discarded, captured), 2):
            now = get(session, event)
            assert now.moment == Moment(
                TRUE_MS + number * 1000, event.moment.boot_ns, "fake-boot", TsQuality.SYNCED
            )
            assert (now.id, now.media, now.n, now.state) == (event.id, event.media, event.n, event.state)
        assert get(session, sent) == replace(sent, state=State.DELIVERED)  # it stands as it was sent
        (message,) = told(session)
        assert message == {
            "boot_id": "fake-boot",
            "offset_ms": TRUE_MS - 1_000_000,
            "ts_quality": "synced",
        }
        mono_ms = sent.moment.boot_ns // 1_000_000
        assert mono_ms + int(str(message["offset_ms"])) == TRUE_MS + 1000
        # photographs are not touched
        for medium in captured.media:
            assert exif.read(store.read(medium)).moment == captured.moment

        again = session.timeline.correct(clock.now(), codec.clock)
        assert (again.redated, again.told) == (0, False)


def test_what_awaits_its_receipt_stays_as_it_was_sent(tmp_path: Path) -> None:
    clock = FakeClock(0, TsQuality.UNSET)
    with running(tmp_path, clock) as (store, session):
        event = session.events.settle(capture(store, session, clock).id, ANIMAL)
        session.outbox.acknowledge([], awaiting=rows(session), mark=1)
        clock.set_wall(TRUE_MS)
        clock.set_quality(TsQuality.SYNCED)
        done = session.timeline.correct(clock.now(), codec.clock)
        assert (done.redated, done.told) == (0, True)
        assert get(session, event) == event


@pytest.mark.parametrize(
    ("first", "later", "jump_ms", "redated"),
    [
        (TsQuality.UNSET, TsQuality.UNSET, 10**9, 0),
        (TsQuality.UNSET, TsQuality.ESTIMATED, 10**9, 1),
        (TsQuality.ESTIMATED, TsQuality.SYNCED, 0, 1),  # its quality rises, its time was right
        (TsQuality.RTC, TsQuality.SYNCED, 500, 1),
        (TsQuality.SYNCED, TsQuality.SYNCED, 1500, 0),  # no correction: read a moment later
        (TsQuality.SYNCED, TsQuality.SYNCED, -5000, 1),
        (TsQuality.SYNCED, TsQuality.ESTIMATED, TEN_YEARS_MS, 0),  # worse does not replace better
        (TsQuality.SYNCED, TsQuality.UNSET, -TEN_YEARS_MS, 0),
    ],
)
def test_only_what_is_no_worse_dates_anew(
    tmp_path: Path, first: TsQuality, later: TsQuality, jump_ms: int, redated: int
) -> None:
    clock = FakeClock(TRUE_MS, first)
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)
        clock.set_wall(clock.now().wall_ms + jump_ms)
        clock.set_quality(later)
        assert session.timeline.correct(clock.now(), codec.clock).redated == redated
        expected = event.moment.wall_ms + jump_ms * redated
        assert get(session, event).moment.wall_ms == expected


def test_another_boots_events_are_left_alone(tmp_path: Path) -> None:
    clock = FakeClock(0, TsQuality.UNSET)
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)
        other = Moment(TRUE_MS, 5 * 10**9, "another-boot", TsQuality.SYNCED)
        assert session.timeline.correct(other, codec.clock).redated == 0
        assert get(session, event) == event


def test_a_clock_that_jumps_within_a_burst_overwrites_nothing(tmp_path: Path) -> None:
    clock = FakeClock(TRUE_MS)
    with running(tmp_path, clock) as (store, session):
        for jump_ms in (-TEN_YEARS_MS, TEN_YEARS_MS, -1000, 0):
            moment = clock.now()
            trigger = Trigger("pir", "17", moment.boot_ns)
            seq = store.next_seq()
            files = store.burst_files(seq, moment, CONTEXT, trigger=trigger, config=CONFIG)
            files.add(frame(moment))
            clock.set_wall(clock.now().wall_ms + jump_ms)
            files.add(frame(moment, 1))
            media = files.commit()
            assert len({str(Path(str(medium.path)).parent) for medium in media}) == 1
            event = session.events.record(
                seq=seq, moment=moment, trigger=trigger, media=media, config=CONFIG, env={}
            )
            assert get(session, event) == event
        assert len(files_below(tmp_path / "media")) == 8


class Unit:
    """Bursts, deliveries and jumps in any order, against what must hold whatever the clock says."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock(0, TsQuality.UNSET)
        self.ids: list[str] = []
        self.sent: list[Event] = []

    def act(self, store: Store, session: Session, step: tuple[str, int]) -> None:
        name, value = step
        if name == "burst":
            self.ids.append(capture(store, session, self.clock, frames=1).id)
        elif name == "keep":
            event = session.events.oldest_captured()
            if event is not None:
                session.events.settle(event.id, ANIMAL)
        elif name == "send":
            for message in session.outbox.next(1, max_bytes=10**9):
                if message.event_id is not None:
                    self.sent.append(get(session, session.events.get(message.event_id)))  # type: ignore[arg-type]  # is there
                session.outbox.acknowledge([message.row])
        elif name == "jump":
            self.clock.set_wall(max(0, self.clock.now().wall_ms + value))
            self.clock.set_quality(TsQuality.ESTIMATED)
        else:
            self.clock.set_wall(true_ms(self.clock))
            self.clock.set_quality(TsQuality.SYNCED)
        session.timeline.correct(self.clock.now(), codec.clock)

    def check(self, store: Store, session: Session) -> None:
        events = session.events.page(limit=1000)
        assert [event.id for event in events] == self.ids
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        numbered = [event.n for event in events if event.n is not None]
        assert numbered == list(range(1, len(numbered) + 1))
        assert len(files_below(self.root / "media")) == len(events)
        for event in events:
            assert store.read(event.media[0])
            assert exif.read(store.read(event.media[0])).medium_id == event.media[0].id
            codec.event_line(event)


STEPS = st.one_of(
    st.tuples(st.sampled_from(["burst", "burst", "keep", "send"]), st.just(0)),
    st.tuples(st.just("jump"), st.sampled_from([-TEN_YEARS_MS, TEN_YEARS_MS, -3600_000, 3600_000, 1500])),
    st.tuples(st.just("true"), st.just(0)),
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEPS, min_size=1, max_size=25))
def test_whatever_the_clock_does_nothing_is_lost_or_out_of_order(
    steps: list[tuple[str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        unit = Unit(Path(folder))
        with running(unit.root, unit.clock) as (store, session):
            for step in steps:
                unit.act(store, session, step)
            unit.check(store, session)
            # In the end true time arrives: all that waits is dated by it, and what was sent can be.
            unit.act(store, session, ("true", 0))
            offset_ms = TRUE_MS - 1_000_000
            for event in session.events.page(limit=1000):
                true = event.moment.boot_ns // 1_000_000 + offset_ms
                if event.state is not State.DELIVERED:
                    assert abs(event.moment.wall_ms - true) <= 2000
                    assert event.moment.quality is TsQuality.SYNCED
            boot = session.database.one("SELECT * FROM boot")
            for event in unit.sent:
                true = event.moment.boot_ns // 1_000_000 + offset_ms
                if abs(event.moment.wall_ms - true) > 2000:
                    assert boot is not None
                    assert abs(boot["told_offset_ms"] - offset_ms) <= 2000
        with running(unit.root, unit.clock) as (store, session):
            assert store.recovered.adopted == store.recovered.orphaned == store.recovered.media_missing == 0
            unit.check(store, session)
