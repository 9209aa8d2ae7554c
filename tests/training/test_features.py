"""What the trunk made of the views is kept whole, and read back as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.features import Examples, kept


def test_a_second_run_takes_what_the_first_left_and_makes_nothing(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    made = Examples(
        draw.random((3, 100, 1280)).astype(np.float16),
        np.array([True, False, True]),
        np.zeros((3, 100), np.int8),
        (frozenset({"a"}), frozenset({"a", "b"}), frozenset({"b"})),
    )
    asked: list[int] = []

    def make() -> Examples:
        asked.append(1)
        return made

    for _ in range(2):
        found = kept(tmp_path / "kept", make)
        assert (found.maps == made.maps).all()
        assert found.sets == made.sets
        assert found.without(frozenset({"a"})).tolist() == [2]
    assert asked == [1]
