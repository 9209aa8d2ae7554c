"""The list of photographs, and finding them in folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.pictures import made
from training.catalogue import LABELS, LIST, find, listed

SHARED = Path(__file__).resolve().parents[3] / "shared"


def test_the_list_names_source_licence_and_sum_of_every_photograph_once() -> None:
    photographs = listed()
    assert len(photographs) == 270
    assert len({one.sha256 for one in photographs}) == len({one.file for one in photographs}) == 270
    assert {one.label for one in photographs} == set(LABELS)
    assert all(one.licence and one.set and len(one.sha256) == 64 for one in photographs)
    assert all(row.count(",") >= 10 for row in LIST.read_text("utf-8").splitlines())


def test_every_box_lies_in_its_photograph_and_no_empty_one_has_any() -> None:
    for one in listed():
        assert not (one.label == "empty" and one.boxes), one.file
        for box in one.boxes:
            assert 0 <= box.left < box.right <= 1, one.file
            assert 0 <= box.top < box.bottom <= 1, one.file


def test_a_photograph_is_found_by_its_sum_whatever_its_name(tmp_path: Path) -> None:
    photographs = listed(made(tmp_path, 4))
    (tmp_path / photographs[0].file).rename(tmp_path / "other.jpg")
    found = find([tmp_path], photographs)
    assert [one.file for one in found.photographs] == [one.file for one in photographs]
    assert found.photographs[0].path == tmp_path / "other.jpg"
    assert (found.missing, found.changed) == ((), ())


def test_one_reduced_anew_is_found_by_its_name_and_told_and_one_that_is_away_too(tmp_path: Path) -> None:
    photographs = listed(made(tmp_path, 4))
    anew, away = tmp_path / photographs[0].file, tmp_path / photographs[1].file
    anew.write_bytes(anew.read_bytes() + b"\0")
    away.unlink()
    found = find([tmp_path], photographs)
    assert found.changed == (photographs[0].file,)
    assert found.missing == (photographs[1].file,)
    assert len(found.photographs) == 3


def test_the_shared_photographs_are_those_of_the_list() -> None:
    if not SHARED.is_dir():
        pytest.skip("the folder `shared` is not beside this checkout")
    found = find([SHARED / "images", SHARED / "images-more"], listed())
    assert (found.missing, found.changed) == ((), ())
