"""The drawn curves: there, readable, and not drawn over somebody's file."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from trapd.errors import UsageError
from trapd.offline.curves import NAMES, write_curves
from trapd.offline.evaluate import Labelled, report


def made(*labels: str) -> dict[str, object]:
    judged = [Labelled(Path("x"), label, False, (at + 1) / 10, at) for at, label in enumerate(labels)]
    return report(judged, recall=0.95, threshold=0.35)


def test_both_curves_are_drawn(tmp_path: Path) -> None:
    paths = write_curves(tmp_path / "new", made("empty", "empty", "animal", "animal"))
    assert [path.name for path in paths] == list(NAMES)
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert len(image.getcolors(100_000) or []) > 3


def test_one_kind_alone_leaves_empty_axes(tmp_path: Path) -> None:
    assert len(write_curves(tmp_path, made("empty"))) == 2


def test_a_file_in_the_folder_s_place_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot draw"):
        write_curves(tmp_path / "file", made("empty"))
