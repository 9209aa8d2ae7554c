"""Which photographs make a burst."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from trapd.offline.grouping import bursts


def photograph(path: Path, taken: str | None = None, model: str = "A") -> tuple[str, Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if taken is not None:
        exif[0x0110] = model
        exif[0x0132] = taken
    Image.new("RGB", (16, 16)).save(path, "JPEG", exif=exif)
    return "animal", path


def names(found: list[list[tuple[str, Path]]]) -> list[list[str]]:
    return [[path.name for _, path in burst] for burst in found]


def test_photographs_of_one_camera_within_ten_seconds_are_one_burst(tmp_path: Path) -> None:
    found = [
        photograph(tmp_path / "1.jpg", "2026:11:22 05:00:00"),
        photograph(tmp_path / "2.jpg", "2026:11:22 05:00:01"),
        photograph(tmp_path / "3.jpg", "2026:11:22 05:00:30"),
        photograph(tmp_path / "4.jpg", "2026:11:22 05:00:00", model="B"),
    ]
    assert names(bursts(found, by_folder=False)) == [["1.jpg", "2.jpg"], ["3.jpg"], ["4.jpg"]]


@pytest.mark.parametrize("taken", [None, "no time at all"])
def test_what_has_no_time_counts_by_itself(tmp_path: Path, taken: str | None) -> None:
    found = [photograph(tmp_path / name, taken) for name in ("1.jpg", "2.jpg")]
    found.append(("animal", tmp_path / "absent.jpg"))
    assert names(bursts(found, by_folder=False)) == [["1.jpg"], ["2.jpg"], ["absent.jpg"]]


def test_trapd_s_own_names_say_it(tmp_path: Path) -> None:
    stem = "u-1__2026-11-22__05-00-00__3f9a-000012"
    found = [photograph(tmp_path / f"{stem}_{frame}.jpg") for frame in range(2)]
    found.append(photograph(tmp_path / "u-1__2026-11-22__05-00-09__3f9a-000013_0.jpg"))
    assert [len(burst) for burst in bursts(found, by_folder=False)] == [2, 1]


def test_folders_are_bursts_where_that_is_asked_for(tmp_path: Path) -> None:
    found = [photograph(tmp_path / folder / name) for folder in ("a", "b") for name in ("1.jpg", "2.jpg")]
    assert [len(burst) for burst in bursts(found, by_folder=True)] == [2, 2]
