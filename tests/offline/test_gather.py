"""Which photographs there are, and which make a burst."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trapd.offline.gather import bursts, gather


def tree(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_folders_are_taken_in_full_by_name_and_hidden_files_are_not(tmp_path: Path) -> None:
    tree(tmp_path, "b/2.JPG", "b/1.jpeg", "a/3.png", "a/notes.txt", "a/.hidden.jpg", ".trash/9.jpg", "c.mp4")
    found = gather([tmp_path])
    assert [path.relative_to(tmp_path).as_posix() for path in found.photographs] == [
        "a/3.png",
        "b/1.jpeg",
        "b/2.JPG",
    ]
    assert [path.name for path in found.videos] == ["c.mp4"]
    assert not found.troubles


def test_a_file_named_itself_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    tree(tmp_path, "photo.dat")
    assert gather([tmp_path / "photo.dat"]).photographs == (tmp_path / "photo.dat",)


def test_what_is_given_twice_is_taken_once(tmp_path: Path) -> None:
    tree(tmp_path, "1.jpg", "2.jpg", "3.mp4")
    again = tmp_path / ".." / tmp_path.name
    found = gather([tmp_path / "2.jpg", tmp_path, again, tmp_path / "3.mp4"])
    assert [path.name for path in found.photographs] == ["2.jpg", "1.jpg"]
    assert [path.name for path in found.videos] == ["3.mp4"]


def test_what_is_not_there_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    tree(tmp_path, "1.jpg")
    found = gather([tmp_path / "absent", tmp_path])
    assert len(found.photographs) == 1
    assert [trouble.path.name for trouble in found.troubles] == ["absent"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_an_unreadable_folder_is_named(tmp_path: Path) -> None:
    tree(tmp_path, "closed/1.jpg", "open/2.jpg")
    (tmp_path / "closed").chmod(0)
    try:
        found = gather([tmp_path])
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert [path.name for path in found.photographs] == ["2.jpg"]
    assert [trouble.path.name for trouble in found.troubles] == ["closed"]


def test_what_is_no_regular_file_is_named_and_not_read(tmp_path: Path) -> None:
    """A pipe without a writer would be waited for without an end."""
    tree(tmp_path, "1.jpg")
    os.mkfifo(tmp_path / "2.jpg")
    os.mkfifo(tmp_path / "3.mp4")
    (tmp_path / "4.jpg").symlink_to(tmp_path / "gone.jpg")
    found = gather([tmp_path, tmp_path / "2.jpg"])
    assert [path.name for path in found.photographs] == ["1.jpg"]
    assert not found.videos
    assert [trouble.path.name for trouble in found.troubles] == ["2.jpg", "3.mp4", "4.jpg", "2.jpg"]


def test_a_link_to_a_folder_is_named_and_not_followed(tmp_path: Path) -> None:
    tree(tmp_path, "in/1.jpg", "elsewhere/2.jpg")
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    found = gather([tmp_path / "in"])
    assert [path.name for path in found.photographs] == ["1.jpg"]
    assert [trouble.path.name for trouble in found.troubles] == ["round"]
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert [path.name for path in gather([tmp_path / "link"]).photographs] == ["2.jpg"]  # named itself


def test_pictures_of_a_format_that_is_not_read_are_named(tmp_path: Path) -> None:
    tree(tmp_path, "1.jpg", "2.HEIC", "3.CR2", "notes.txt", "Thumbs.db")
    assert [trouble.path.name for trouble in gather([tmp_path]).troubles] == ["2.HEIC", "3.CR2"]


def test_a_photograph_under_another_name_is_named(tmp_path: Path) -> None:
    """What it is says its content; a text beside it is no trouble."""
    (tmp_path / "IMG_0001").write_bytes(b"\xff\xd8\xff\xe0 and so on")
    (tmp_path / "b.jpg_original").write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    tree(tmp_path, "notes.txt", "1.jpg")
    os.mkfifo(tmp_path / "pipe")
    found = gather([tmp_path])
    assert [path.name for path in found.photographs] == ["1.jpg"]
    assert sorted(trouble.path.name for trouble in found.troubles) == ["IMG_0001", "b.jpg_original"]


def test_a_name_that_no_file_can_have_is_named(tmp_path: Path) -> None:
    found = gather([tmp_path / ("x" * 300)])
    assert [trouble.why for trouble in found.troubles] == ["File name too long"]


def test_photographs_in_a_row_make_bursts_within_their_folder(tmp_path: Path) -> None:
    tree(tmp_path, *(f"a/{n}.jpg" for n in range(5)), "b/0.jpg")
    made = bursts(gather([tmp_path]), size=2, by_folder=False)
    assert [len(burst.files) for burst in made] == [2, 2, 1, 1]
    assert made[1].name == str(tmp_path / "a" / "2")


def test_by_folder_each_folder_is_a_burst(tmp_path: Path) -> None:
    tree(tmp_path, *(f"a/{n}.jpg" for n in range(5)), "b/0.jpg")
    made = bursts(gather([tmp_path]), size=1, by_folder=True)
    assert [(Path(burst.name).name, len(burst.files)) for burst in made] == [("a", 5), ("b", 1)]


def test_a_video_is_a_burst_by_itself(tmp_path: Path) -> None:
    tree(tmp_path, "1.jpg", "clip.mp4")
    made = bursts(gather([tmp_path]), size=3, by_folder=False)
    assert [burst.video for burst in made] == [False, True]
