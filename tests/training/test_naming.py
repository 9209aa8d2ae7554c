"""Names are guessed by what has not seen their source, and only as well as the features let it."""

from __future__ import annotations

import numpy as np

from training.catalogue import Box, Photograph
from training.naming import NAMES, named


def photographs() -> list[Photograph]:
    return [
        Photograph(
            f"{name}/{number}.jpg", "", name, False, True, f"set{number % 4}", "", (Box(0, 0, 0.5, 0.5),)
        )
        for name in NAMES
        for number in range(20)
    ]


def test_what_differs_within_the_boxes_is_named_and_what_does_not_is_not() -> None:
    draw = np.random.default_rng(0)
    several = photographs()
    maps = [draw.random((100, 40)) for _ in several]
    blind = named(several, maps)["all"]
    for one, found in zip(several, maps, strict=True):
        found.reshape(10, 10, 40)[:5, :5, NAMES.index(one.label)] += 2
    sharp = named(several, maps)["all"]
    assert all(sharp[name]["recall"] == 1.0 for name in NAMES)
    assert all(blind[name]["recall"] < 0.5 for name in NAMES)
    assert all(sharp[name]["recall_ci"][0] > 0.8 for name in NAMES)


def test_what_lies_outside_the_boxes_names_nothing() -> None:
    draw = np.random.default_rng(0)
    several = photographs()
    maps = [draw.random((100, 40)) for _ in several]
    for one, found in zip(several, maps, strict=True):
        found.reshape(10, 10, 40)[7:, 7:, NAMES.index(one.label)] += 2
    assert all(found["recall"] < 0.5 for found in named(several, maps)["all"].values())
