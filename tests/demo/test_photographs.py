"""Bursts come from the wheel's photographs; a folder of one's own is looked through before it is used."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from trapd.demo.photographs import SCRIPT, SIZE, look_through, make_bursts
from trapd.errors import Unavailable, UsageError
from trapd.parts import build_classifier


@pytest.fixture(scope="module")
def bursts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bursts")
    make_bursts(folder)
    return folder


def test_one_folder_per_burst_in_the_order_of_the_script(bursts: Path) -> None:
    names = [folder.name for folder in sorted(bursts.iterdir())]
    assert [name.partition("-")[2] for name in names] == [scene.name for scene in SCRIPT]


def test_each_burst_has_three_landscape_frames_that_differ(bursts: Path) -> None:
    for burst in bursts.iterdir():
        frames = [Image.open(file) for file in sorted(burst.iterdir())]
        assert [frame.size for frame in frames] == [SIZE] * 3
        assert ImageStat.Stat(ImageChops.difference(frames[0], frames[1])).mean[0] > 1
        assert ImageStat.Stat(ImageChops.difference(frames[0], frames[2])).mean[0] > 1


def test_the_default_model_tells_the_full_scenes_from_the_empty_ones(bursts: Path) -> None:
    classifier = build_classifier("default", models=None)
    threshold = classifier.open().threshold
    try:
        best = {
            burst.name.partition("-")[2]: max(
                classifier.judge(file.read_bytes()).score for file in burst.iterdir()
            )
            for burst in bursts.iterdir()
        }
    finally:
        classifier.close()
    assert all(best[name] > threshold + 0.3 for name in ("cat", "astronaut", "motorcycle"))
    assert all(best[name] < threshold - 0.2 for name in ("grass", "gravel", "brick"))


def test_without_the_extra_one_sentence_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r'pip install "trapd\[demo\]"'):
        make_bursts(tmp_path)


def test_a_package_without_the_photographs_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = ModuleSpec("skimage", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(Unavailable, match=r"does not carry chelsea\.png"):
        make_bursts(tmp_path / "bursts")


def photograph(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), "green").save(file, "JPEG")


def test_bad_files_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_text("not a photograph")
    photograph(tmp_path / "named.png")
    (tmp_path / ".hidden").touch()
    assert look_through(tmp_path) == [
        f"{tmp_path / 'empty.jpg'}: empty file",
        f"{tmp_path / 'named.png'}: not named as a JPEG",
        f"{tmp_path / 'words.jpg'}: not a JPEG",
    ]


def test_sub_folders_are_looked_into(tmp_path: Path) -> None:
    photograph(tmp_path / "1" / "a.jpg")
    photograph(tmp_path / "2" / "a.JPEG")
    assert look_through(tmp_path) == []
    photograph(tmp_path / "stray.jpg")  # the replay camera will not look there
    (tmp_path / ".hidden").mkdir()
    assert look_through(tmp_path) == [
        f"{tmp_path / 'stray.jpg'}: it lies beside the folders of bursts, and in none"
    ]


@pytest.mark.parametrize("content", [None, "text"])
def test_a_folder_without_a_photograph_is_wrong_usage(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "a.jpg").write_text(content)
    with pytest.raises(UsageError, match="no photograph"):
        look_through(tmp_path)


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        look_through(tmp_path / "nowhere")
