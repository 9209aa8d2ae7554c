"""A file where a folder belongs, a folder where a file belongs: a start moves it aside, and loses nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import capture, files_below, keep, open_store, running
from trapd.store.files import strange
from trapd.store.repair import backup

FOLDERS = ("media", "thumbs", "tmp", "orphans")
FILES = (
    "lock",
    "reserve",
    "trapd.db-wal",
    "trapd.db-shm",
    "trapd.db-journal",
    "trapd.db.suspect",
    "trapd.db.backup",
)


def one_event(root: Path, clock: FakeClock) -> str:
    with running(root, clock) as (store, session):
        return keep(store, session, capture(store, session, clock)).id


def found(root: Path, clock: FakeClock) -> list[str]:
    """The events of the next start, which goes on as ever."""
    with running(root, clock) as (store, session):
        keep(store, session, capture(store, session, clock))
        return [event.id for event in session.events.page()]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_in_the_place_of_a_folder(tmp_path: Path, name: str) -> None:
    clock = FakeClock()
    event = one_event(tmp_path, clock)
    shutil.rmtree(tmp_path / name)
    (tmp_path / name).write_text("somebody's")
    assert event in found(tmp_path, clock)
    assert len(found(tmp_path, clock)) == 3
    aside = [file for file in (tmp_path / "orphans").iterdir() if file.read_text() == "somebody's"]
    assert len(aside) == 1


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_the_place_of_a_file(tmp_path: Path, name: str) -> None:
    clock = FakeClock()
    event = one_event(tmp_path, clock)
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).mkdir()
    (tmp_path / name / "note").write_text("somebody's")
    assert event in found(tmp_path, clock)
    assert (tmp_path / "orphans" / name / "note").read_text() == "somebody's"


def test_a_folder_in_the_place_of_the_database_lets_the_backup_take_it(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = keep(store, session, capture(store, session, clock)).id
        backup.make(tmp_path, session.database, lambda: None)
    for file in tmp_path.glob("trapd.db*"):
        if not file.name.endswith("backup"):
            file.unlink()
    (tmp_path / "trapd.db").mkdir()
    with running(tmp_path, clock) as (store, session):
        assert store.recovered.rebuilt is not None
        assert [each.id for each in session.events.page()] == [event]


def _folder(place: Path) -> None:
    (place / "folder").mkdir()
    (place / "folder" / "note").write_text("somebody's")


def _name_of_no_alphabet(place: Path) -> None:
    Path(os.fsdecode(os.fsencode(place) + b"/\xff\xfe.jpg")).write_text("somebody's")


@pytest.mark.parametrize("place", ["tmp", "thumbs", "media", "media/2026-11-25", "orphans"])
@pytest.mark.parametrize("litter", [_folder, _name_of_no_alphabet])
def test_whatever_lies_in_a_folder_of_ours_stops_no_start(
    tmp_path: Path, place: str, litter: Callable[[Path], None]
) -> None:
    clock = FakeClock()
    event = one_event(tmp_path, clock)
    (tmp_path / place).mkdir(exist_ok=True)
    litter(tmp_path / place)
    assert event in found(tmp_path, clock)
    if litter is _folder:
        assert any(file.endswith("note") for file in files_below(tmp_path / "orphans"))


def test_a_pipe_with_the_name_of_a_photograph_is_not_waited_for(tmp_path: Path) -> None:
    clock = FakeClock()
    event = one_event(tmp_path, clock)
    (tmp_path / "media" / "2026-11-25").mkdir()
    os.mkfifo(tmp_path / "media" / "2026-11-25" / "unit-1__2026-11-25__01-02-03__abcd-000007_0.jpg")
    assert event in found(tmp_path, clock)


def test_a_link_stays_wherever_it_leads(tmp_path: Path) -> None:
    """The disk behind it may come back."""
    (tmp_path / "media").symlink_to(tmp_path / "not-mounted")
    strange.make_folder_free(tmp_path, tmp_path / "media")
    assert (tmp_path / "media").is_symlink()


def test_what_cannot_be_moved_aside_stays_and_stops_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of another user's for instance."""
    clock = FakeClock()
    event = one_event(tmp_path, clock)
    (tmp_path / "media" / "folder").mkdir()
    (tmp_path / "media" / "folder" / "note").write_text("somebody's")
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name == "note":
            raise PermissionError(1, "Operation not permitted")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    store = open_store(tmp_path, clock)
    with store.session() as session:
        assert [each.id for each in session.events.page()] == [event]
    store.close(clean=True)
    assert (tmp_path / "media" / "folder" / "note").exists()


@pytest.mark.parametrize("place", ["", "media", "tmp", "thumbs", "orphans"])
def test_a_folder_that_is_shut_to_us_stops_no_start(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk of its own at storage.path has one: lost+found."""
    clock = FakeClock()
    event = one_event(tmp_path, clock)
    shut = tmp_path / place / "lost+found"
    shut.mkdir()

    def refuse(method: str, owner: object) -> None:
        real = getattr(owner, method)

        def refusing(path: object, *given: object) -> object:
            if Path(str(path)) == shut:
                raise PermissionError(13, "Permission denied")
            return real(path, *given)

        monkeypatch.setattr(owner, method, refusing)

    refuse("scandir", os)
    refuse("iterdir", Path)
    refuse("rename", Path)
    assert event in found(tmp_path, clock)
    assert len(found(tmp_path, clock)) == 3
    assert shut.exists()
