"""Training views: what is on them is where the cells say, and they follow from their seed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.training.pictures import made
from training import views
from training.catalogue import Box, Photograph, find, listed
from training.views import GRID, NOTHING, SIZE, SOMETHING, UNKNOWN, Job, Pixels, cells, make, plan


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photograph, ...]:
    folder = tmp_path_factory.mktemp("photographs")
    return find([folder], listed(made(folder, 6))).photographs


@pytest.fixture(scope="module")
def pixels(photographs: tuple[Photograph, ...]) -> list[Pixels]:
    return [np.asarray(Image.open(one.path)) for one in photographs if one.path]


def test_cells_are_held_within_a_box_bare_outside_and_unknown_around_it() -> None:
    found = cells([Box(0.25, 0.5, 0.5, 0.75)], known=True)
    assert found.shape == (GRID, GRID)
    assert (found[5:8, 2:5] == SOMETHING).all()
    assert found[4, 3] == UNKNOWN
    assert (found[:4] == NOTHING).all()


def test_the_smallest_thing_holds_a_cell_and_a_doubtful_one_none() -> None:
    assert (cells([Box(0.5, 0.5, 0.501, 0.501)], known=True) == SOMETHING).sum() >= 1
    doubtful = cells([Box(0.4, 0.4, 0.6, 0.6, sure=False)], known=True)
    assert set(np.unique(doubtful)) == {NOTHING, UNKNOWN}
    assert (cells([], known=False) == UNKNOWN).all()


def test_the_plan_has_every_kind_of_view_soon_and_follows_from_its_seed(
    photographs: tuple[Photograph, ...],
) -> None:
    whole = plan(photographs, 0)
    assert whole == plan(photographs, 0) != plan(photographs, 1)
    assert {job.kind for job in whole[:60]} == {"shown", "ground", "pasted", "decoy"}
    assert len({job.seed for job in whole}) == len(whole)


@pytest.mark.parametrize("kind", ["shown", "ground", "pasted", "decoy"])
def test_a_view_says_what_is_on_it_and_whose_pictures_it_has(
    kind: str, photographs: tuple[Photograph, ...], pixels: list[Pixels]
) -> None:
    for seed in range(20):
        view = make(Job(kind, 0, 3 if kind in ("pasted", "decoy") else -1, seed), photographs, pixels, 0)
        if view is None:
            continue
        assert view.pixels.shape == (SIZE, SIZE, 3)
        assert view.pixels.dtype == np.uint8
        assert view.something is (kind in ("shown", "pasted"))
        assert (view.cells == SOMETHING).any() is np.bool_(view.something)
        assert view.sets == ({"a", "b"} if kind in ("pasted", "decoy") else {"a"})


def test_a_view_follows_from_its_seed(photographs: tuple[Photograph, ...], pixels: list[Pixels]) -> None:
    one, same, other = (make(Job("shown", 0, -1, seed), photographs, pixels, 0) for seed in (1, 1, 2))
    assert one is not None
    assert same is not None
    assert other is not None
    assert (one.pixels == same.pixels).all()
    assert (one.pixels != other.pixels).any()


def test_what_is_marked_lies_in_its_cells(photographs: tuple[Photograph, ...], pixels: list[Pixels]) -> None:
    """The disc is the darkest thing on its photograph, whatever light it is put into."""
    darker = 0
    for seed in range(30):
        view = make(Job("shown", 0, -1, seed), photographs, pixels, 0)
        assert view is not None
        side = SIZE // GRID
        grey = view.pixels.mean(2).reshape(GRID, side, GRID, side).mean((1, 3))
        darker += grey[view.cells == SOMETHING].mean() < grey[view.cells == NOTHING].mean()
    assert darker >= 28


def test_infrared_is_told_from_colour() -> None:
    draw = np.random.default_rng(0)
    grey = np.repeat(draw.integers(0, 255, (50, 50, 1), np.uint8), 3, axis=2)
    assert views.is_grey(grey)
    assert not views.is_grey(draw.integers(0, 255, (50, 50, 3), np.uint8))
