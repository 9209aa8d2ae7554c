"""The replay camera: which photographs make which burst, and what damaged files do."""

from __future__ import annotations

import errno
import logging
import os
import re
from pathlib import Path

import pytest

from tests.fakes.camera import jpeg
from tests.fakes.clock import FakeClock
from trapd.backends.camera_replay import ReplayCamera
from trapd.errors import CameraUnavailable
from trapd.records import Trigger


def burst(camera: ReplayCamera, frames: int = 3) -> list[bytes]:
    return [frame.jpeg for frame in camera.shoot(Trigger("timer", "timer", 0), frames, 0.1)]


def camera_over(path: Path) -> ReplayCamera:
    camera = ReplayCamera(path, filter_size=(64, 36), clock=FakeClock())
    camera.open()
    return camera


def photographs(folder: Path, count: int, first: int = 0) -> list[bytes]:
    folder.mkdir(exist_ok=True, parents=True)
    made = [jpeg(shade=first + 10 * index) for index in range(count)]
    for index, data in enumerate(made):
        (folder / f"{index:03d}.jpg").write_bytes(data)
    return made


def test_a_folder_is_taken_by_name_and_from_the_start_again(tmp_path: Path) -> None:
    made = photographs(tmp_path, 4)
    camera = camera_over(tmp_path)
    assert burst(camera) == made[0:3]
    assert burst(camera) == [made[3], made[0], made[1]]


def test_fewer_photographs_than_a_burst_has_go_round(tmp_path: Path) -> None:
    made = photographs(tmp_path, 2)
    assert burst(camera_over(tmp_path)) == [made[0], made[1], made[0]]


def test_a_sub_folder_is_a_burst_its_first_frames_its_last_repeated(tmp_path: Path) -> None:
    long = photographs(tmp_path / "a", 5)
    short = photographs(tmp_path / "b", 2, first=100)
    camera = camera_over(tmp_path)
    assert burst(camera) == long[:3]
    assert burst(camera) == [short[0], short[1], short[1]]
    assert burst(camera) == long[:3]


def test_a_sub_folder_without_photographs_hides_none_beside_it(tmp_path: Path) -> None:
    made = photographs(tmp_path, 2)
    (tmp_path / "empty").mkdir()
    assert burst(camera_over(tmp_path), 2) == made


def test_photographs_keep_their_bytes(tmp_path: Path) -> None:
    made = photographs(tmp_path, 1)
    assert burst(camera_over(tmp_path), 1) == made


def test_what_is_no_jpeg_is_named_once_counted_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = photographs(tmp_path, 2)
    (tmp_path / "000a-empty.jpg").write_bytes(b"")
    (tmp_path / "000b-text.jpg").write_text("no photograph")
    (tmp_path / "notes.txt").write_text("notes")
    with caplog.at_level(logging.WARNING):
        camera = camera_over(tmp_path)
        for _ in range(3):
            assert burst(camera, 2) == made
    assert camera.passed_over == 3
    named = re.findall(r"passed over \S*/(\S+):", caplog.text)
    assert sorted(named) == ["000a-empty.jpg", "000b-text.jpg", "notes.txt"]


def test_what_lies_where_nobody_looks_is_named_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A photograph beside sub-folders, a folder within one, a link that leads nowhere, a pipe."""
    made = photographs(tmp_path / "a", 1)
    (tmp_path / "stray.jpg").write_bytes(jpeg())
    (tmp_path / "a" / "deeper").mkdir()
    (tmp_path / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / ".hidden").write_text("as if it were not there")
    with caplog.at_level(logging.WARNING):
        camera = camera_over(tmp_path)
        camera.open()
        assert burst(camera, 1) == made
    assert camera.passed_over == 5
    named = re.findall(r"passed over \S*/(\S+):", caplog.text)
    assert sorted(named) == ["b", "deeper", "gone.jpg", "pipe.jpg", "stray.jpg"]


def test_a_card_that_cannot_be_read_is_told_in_the_systems_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs(tmp_path, 1)

    def read_bytes(_: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with caplog.at_level(logging.WARNING), pytest.raises(CameraUnavailable):
        burst(camera_over(tmp_path), 1)
    assert caplog.text.rstrip().endswith(".jpg: Input/output error")


def test_a_link_to_a_folder_is_a_burst_as_any_other(tmp_path: Path) -> None:
    made = photographs(tmp_path / "elsewhere", 1)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    camera = camera_over(tmp_path / "in")
    assert burst(camera, 1) == made
    assert camera.passed_over == 0


def test_what_became_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    made = photographs(tmp_path, 2)
    camera = camera_over(tmp_path)
    (tmp_path / "000.jpg").unlink()
    os.mkfifo(tmp_path / "000.jpg")
    assert burst(camera, 1) == made[1:]
    assert camera.passed_over == 1


def test_a_damaged_jpeg_is_captured_without_a_small_frame(tmp_path: Path) -> None:
    data = jpeg(640, 480)
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    camera = camera_over(tmp_path)
    (frame,) = camera.shoot(Trigger("timer", "timer", 0), 1, 0)
    assert (frame.width, frame.height, frame.small) == (640, 480, None)


def test_a_folder_with_nothing_readable_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    camera = camera_over(tmp_path)
    with pytest.raises(CameraUnavailable, match="can be read"):
        burst(camera)


def test_a_folder_that_goes_away_is_noticed(tmp_path: Path) -> None:
    photographs(tmp_path / "in", 1)
    camera = camera_over(tmp_path / "in")
    camera.probe()
    (tmp_path / "in" / "000.jpg").unlink()
    (tmp_path / "in").rmdir()
    with pytest.raises(CameraUnavailable):
        camera.probe()
