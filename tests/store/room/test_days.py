"""Folders of days go once they are over and empty, and no burst is lost for it."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.clock import FakeClock
from tests.store.common import CONFIG, CONTEXT, EMPTY, UNIT, capture, files_below, frame, running
from trapd.records import Trigger
from trapd.store import BurstFiles
from trapd.store.files.durable import Folders
from trapd.store.files.names import PhotographName

DAY_MS = 86_400_000


def days(root: Path) -> list[str]:
    return sorted(folder.name for folder in (root / "media").iterdir())


def test_a_start_removes_empty_days_that_are_over_and_nothing_else(tmp_path: Path) -> None:
    clock = FakeClock()  # 2023-11-14T22:13:20Z
    with running(tmp_path, clock) as (store, session):
        capture(store, session, clock)
    for name in ("2023-11-01", "2023-11-13", "2023-11-14", "2023-11-16", "2031-01-01", "notes"):
        (tmp_path / "media" / name).mkdir()
    with running(tmp_path, clock):
        assert days(tmp_path) == ["2023-11-13", "2023-11-14", "2023-11-15", "notes"]
    clock.set_wall(clock.now().wall_ms + 5 * DAY_MS)
    with running(tmp_path, clock):
        assert days(tmp_path) == ["2023-11-15", "notes"]  # there are photographs


def test_an_eviction_removes_the_days_that_it_empties(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        for _ in range(2):
            session.events.settle(capture(store, session, clock).id, EMPTY)
        clock.set_wall(clock.now().wall_ms + 3 * DAY_MS)
        event = session.events.settle(capture(store, session, clock).id, EMPTY)
        store.space._max_bytes = 1
        assert store.space.tidy(session, 1).files == 3
        assert days(tmp_path) == ["2023-11-15", "2023-11-18"]
        assert store.space.tidy(session, 1).files == 3
        assert days(tmp_path) == ["2023-11-18"]
        store.space.drop(session, event)
        assert days(tmp_path) == ["2023-11-18"]  # the next burst pays for no folder


class Hasty(Folders):
    """Somebody removes each folder as soon as it is made, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def make(self, folder: Path) -> None:
        super().make(folder)
        if self.times > 0:
            self.times -= 1
            folder.rmdir()


def test_a_folder_that_goes_between_making_and_using_it_is_made_again(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, _):
        moment = clock.now()
        folders = Hasty(1)
        files = BurstFiles(
            tmp_path,
            PhotographName(UNIT, store.epoch, store.next_seq(), 0),
            moment,
            CONTEXT,
            trigger=Trigger("pir", "17", moment.boot_ns),
            config=CONFIG,
            changed=store.space.changed,
            folders=folders,
        )
        for number in range(3):
            files.add(frame(moment, number))
        media = files.commit()
        assert folders.times == 0
        assert [f"media/{name}" for name in files_below(tmp_path / "media")] == [m.path for m in media]
