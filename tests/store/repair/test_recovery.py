import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import (
    ANIMAL,
    CONFIG,
    CONTEXT,
    EMPTY,
    capture,
    files_below,
    frame,
    jpeg,
    keep,
    open_store,
    running,
)
from trapd.records import Event, State, Trigger
from trapd.store import Session, Store
from trapd.store.photographs import exif


def crash(store: Store, session: Session) -> None:
    """The process ends without a word. What it had written stays."""
    session.close()
    store.close(clean=False)


def burst_without_row(store: Store, clock: FakeClock, frames: int = 2) -> int:
    clock.advance(1)
    moment = clock.now()
    seq = store.next_seq()
    files = store.burst_files(
        seq, moment, CONTEXT, trigger=Trigger("pir", "17", moment.boot_ns), config=CONFIG
    )
    for number in range(frames):
        files.add(frame(moment, number))
    files.commit()
    return seq


def ids(session: Session) -> list[str]:
    return [event.id for event in session.events.page()]


def test_temporary_files_are_removed(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    (tmp_path / "tmp" / "unit-1-0000-000001-0.jpg").write_bytes(jpeg()[:100])
    with running(tmp_path) as (store, _):
        assert store.recovered.temp_removed == 1
        assert files_below(tmp_path / "tmp") == []


def test_photographs_without_a_row_become_the_event_they_would_have_been(tmp_path: Path) -> None:
    clock = FakeClock()
    store = open_store(tmp_path, clock)
    session = store.session()
    recorded = capture(store, session, clock)
    seq = burst_without_row(store, clock)
    moment = clock.now()
    crash(store, session)

    with running(tmp_path, clock) as (store, session):
        assert (store.recovered.adopted, store.recovered.orphaned, store.recovered.waiting) == (1, 0, 2)
        first, adopted = session.events.page()
        assert first == replace(recorded, attempts=1)  # it might have been judged when the process ended
        assert adopted.id == f"unit-1-{store.epoch}-{seq:06d}"
        assert (adopted.state, adopted.moment, adopted.config) == (State.CAPTURED, moment, CONFIG)
        assert adopted.trigger == Trigger("pir", "17", moment.boot_ns)
        assert [medium.id for medium in adopted.media] == [f"{adopted.id}-0", f"{adopted.id}-1"]
        for medium in adopted.media:
            assert len(store.read(medium)) == medium.bytes
        assert session.events.settle(adopted.id, ANIMAL).n == 1
        assert capture(store, session, clock).seq == seq + 1


def test_of_a_photograph_hardly_more_than_its_exif_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand of them have half a minute, on a slow card."""
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        moment = clock.now()
        trigger = Trigger("pir", "17", moment.boot_ns)
        files = store.burst_files(store.next_seq(), moment, CONTEXT, trigger=trigger, config=CONFIG)
        icc = os.urandom(60_000)  # what a stranger's photograph carries before its picture
        for data in (jpeg(1200, 900, quality=100), jpeg(1200, 900, quality=100, icc_profile=icc)):
            files.add(frame(moment, 0, data))
        assert all(medium.bytes > 50_000 for medium in files.commit())
        session.meta.put("x", "y")
    read: list[int] = []
    real = exif.read

    def noted(data: bytes) -> exif.Origin:
        read.append(len(data))
        return real(data)

    monkeypatch.setattr(exif, "read", noted)
    with running(tmp_path, clock) as (store, _):
        assert store.recovered.adopted == 1
        assert read == [8192, 8192, 128_000]


def test_recovery_cut_short_is_done_again(tmp_path: Path) -> None:
    clock = FakeClock()
    store = open_store(tmp_path, clock)
    session = store.session()
    burst_without_row(store, clock)
    crash(store, session)
    open_store(tmp_path, clock).close(clean=False)

    with running(tmp_path, clock) as (store, session):
        assert store.recovered.adopted == 0
        assert len(ids(session)) == 1


def damage_exif(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data.replace(b"-000001-0\x00", b"-000009-0\x00"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(bytes(5000)),
        lambda file: file.write_bytes(file.read_bytes()[:200]),
        lambda file: file.write_bytes(jpeg()),
        damage_exif,
    ],
)
def test_an_unsound_photograph_is_set_aside_and_the_others_adopted(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    clock = FakeClock()
    store = open_store(tmp_path, clock)
    session = store.session()
    burst_without_row(store, clock)
    damage(next((tmp_path / "media").glob("*/*_0.jpg")))
    crash(store, session)

    with running(tmp_path, clock) as (store, session):
        assert (store.recovered.adopted, store.recovered.orphaned) == (1, 1)
        (event,) = session.events.page()
        assert [medium.id[-2:] for medium in event.media] == ["-1"]
        assert len(files_below(tmp_path / "orphans")) == 1
        assert store.next_seq() == 2


def test_what_is_no_photograph_is_set_aside_and_nothing_of_it_lost(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)
    day = tmp_path / "media" / "2023-11-15"
    (day / "IMG_0001.JPG").write_bytes(jpeg())
    (day / "folder").mkdir()
    (day / "folder" / "inside.txt").write_text("kept")
    (tmp_path / "media" / "notes.txt").write_text("kept")
    (tmp_path / "orphans" / "notes.txt").write_text("older")
    (tmp_path / "media" / "link").symlink_to("/nowhere")
    (tmp_path / "media" / "2020-01-01").mkdir()
    photograph = tmp_path / str(event.media[0].path)
    other_day = tmp_path / "media" / "2020-01-01" / photograph.name
    shutil.copy(photograph, other_day)

    with running(tmp_path, clock) as (store, session):
        assert store.recovered.orphaned == 5
        assert store.recovered.adopted == store.recovered.media_missing == 0
        assert session.events.get(event.id) == event
        assert (tmp_path / "orphans" / "notes.txt").read_text() == "older"
        assert (tmp_path / "orphans" / "notes.txt.2").read_text() == "kept"
        assert len(files_below(tmp_path / "media")) == 3


def test_one_photograph_under_two_names_is_adopted_once(tmp_path: Path) -> None:
    clock = FakeClock()
    store = open_store(tmp_path, clock)
    session = store.session()
    burst_without_row(store, clock, frames=1)
    photograph = next((tmp_path / "media").glob("*/*_0.jpg"))
    (tmp_path / "media" / "2020-01-01").mkdir()
    shutil.copy(photograph, tmp_path / "media" / "2020-01-01" / photograph.name)
    crash(store, session)

    with running(tmp_path, clock) as (store, session):
        assert (store.recovered.adopted, store.recovered.orphaned) == (1, 1)
        assert len(session.events.page()[0].media) == 1


def test_an_event_whose_photographs_are_gone_stays(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = keep(store, session, capture(store, session, clock))
        lost = capture(store, session, clock)
    for medium in (event.media[1], *lost.media):
        (tmp_path / str(medium.path)).unlink()

    with running(tmp_path, clock) as (store, session):
        assert store.recovered.media_missing == 4
        found = session.events.get(event.id)
        assert found is not None
        assert [medium.path is None for medium in found.media] == [False, True, False]
        waiting = session.events.oldest_captured()
        assert waiting is not None
        assert waiting.id == lost.id  # Screen settles it unjudged
        assert session.outbox.depth() == {"event": 1, "thumb": 1}
    with running(tmp_path, clock) as (store, _):
        assert store.recovered.media_missing == 0


def test_a_thumbnail_without_an_event_is_removed(tmp_path: Path) -> None:
    clock = FakeClock()
    store = open_store(tmp_path, clock)
    session = store.session()
    kept = keep(store, session, capture(store, session, clock))
    store.write_thumb(capture(store, session, clock), 0, 20_000)  # cut before it was settled
    (tmp_path / "thumbs" / "x.jpg").write_bytes(b"x")
    crash(store, session)

    with running(tmp_path, clock) as (store, _):
        assert store.recovered.thumbs_removed == 2
        assert files_below(tmp_path / "thumbs") == [f"{kept.id}.jpg"]


def test_a_burst_that_ended_two_processes_is_given_up(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        events = [capture(store, session, clock, frames=1) for _ in range(3)]
        session.events.settle(events[0].id, EMPTY)
    for expected in ((), (), (events[1].id,), (events[1].id,)):
        store = open_store(tmp_path, clock)
        assert store.recovered.give_up == expected
        store.close(clean=False)

    with running(tmp_path, clock) as (store, session):
        session.events.settle(events[1].id, ANIMAL)
        oldest = session.events.oldest_captured()
        assert oldest is not None
        assert (oldest.id, oldest.attempts) == (events[2].id, 0)
    with running(tmp_path, clock) as (store, _):
        assert store.recovered.give_up == ()


def test_a_good_end_costs_no_attempt(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        capture(store, session, clock)
    for _ in range(5):
        with running(tmp_path, clock) as (store, session):
            assert store.recovered.clean
            assert store.recovered.give_up == ()
            assert session.events.page()[0].attempts == 0


def test_numbers_go_on_beyond_every_file_also_a_set_aside_one(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, _):
        epoch = store.epoch
    (tmp_path / "orphans" / f"unit-1__2023-11-15__06-13-21__{epoch}-000041_0.jpg").write_bytes(b"x")
    with running(tmp_path, clock) as (store, session):
        assert capture(store, session, clock).seq == 42


def test_numbers_go_on_although_the_newest_row_is_gone(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        capture(store, session, clock)
        newest: Event = capture(store, session, clock)
        store.space.drop(session, newest)
        with session.database.write() as connection:
            connection.execute("DELETE FROM event WHERE id = ?", (newest.id,))
    with running(tmp_path, clock) as (store, session):
        assert capture(store, session, clock).seq == newest.seq + 1
