"""Each source is judged by what has not seen it, and the figures are those of trapd's statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.training.pictures import made
from training import leave_out
from training.catalogue import Photograph, find, listed


@pytest.fixture
def photographs(tmp_path: Path) -> tuple[Photograph, ...]:
    return listed(made(tmp_path, 12))


def test_every_source_is_left_out_once_and_its_own_photographs_are_judged(
    photographs: tuple[Photograph, ...],
) -> None:
    asked: list[tuple[leave_out.Group, list[int]]] = []

    def fit_without(source: leave_out.Group) -> Callable[[Sequence[int]], list[float]]:
        def judge(numbers: Sequence[int]) -> list[float]:
            asked.append((source, list(numbers)))
            return [0.9 if photographs[n].label != "empty" else 0.1 for n in numbers]

        return judge

    (groups,) = leave_out.folds(photographs).values()
    judged = leave_out.judge_left_out(photographs, groups, fit_without)
    assert [source for source, _ in asked] == [{"a"}, {"b"}]
    assert all(photographs[n].set in source for source, numbers in asked for n in numbers)
    assert len(judged) == len(photographs)
    figures = leave_out.figures(judged)
    assert figures["all"]["auc"] == 1.0
    assert figures["all"]["false_keep_at_95"] == 0.0
    assert figures["all"]["auc_ci"][0] < 1.0
    assert "auc" not in figures["night"]
    assert "| a |" in leave_out.table({"one": figures, "other": figures})


def test_stations_of_one_place_are_also_left_out_together() -> None:
    sets = ("peru-1", "peru-2", "big-cats", "ordinary")
    photographs = [Photograph("", "", "empty", False, name != "ordinary", name, "") for name in sets]
    each, together = leave_out.folds(photographs).values()
    assert each == [{"big-cats"}, {"peru-1"}, {"peru-2"}]
    assert together == [{"big-cats"}, {"peru-1", "peru-2"}]


def test_photographs_that_follow_each_other_are_one_burst_of_three_at_most() -> None:
    names = [
        "empty/x__EK000007.jpg",
        "empty/x__EK000008_ab.jpg",
        "empty/x__EK000009.jpg",
        "empty/x__EK000010.jpg",
    ]
    photographs = [Photograph(name, "", "empty", False, True, "x", "") for name in names]
    photographs.append(Photograph("animal/x__EK000011.jpg", "", "animal", False, True, "x", ""))
    assert leave_out.burst_numbers(photographs) == [0, 0, 0, 1, 2]


def test_a_whole_burst_is_its_best_frame_and_what_changes(
    photographs: tuple[Photograph, ...], tmp_path: Path
) -> None:
    """Two photographs of different grounds change a great deal; one alone stays what it is."""
    discs = [one for one in find([tmp_path], photographs).photographs if one.label != "empty"][:3]
    judged = [
        leave_out.Judged(discs[0], 0.3, 0),
        leave_out.Judged(discs[1], 0.4, 0),
        leave_out.Judged(discs[2], 0.4, 1),
    ]
    (together, alone) = leave_out.whole_bursts(judged)
    assert (together.burst, alone.burst) == (0, 1)
    assert together.score > 0.4
    assert alone.score == 0.4


def test_a_place_with_both_kinds_is_shown_by_itself() -> None:
    """Its animals against its own empties: nothing else tells how good it is at one place."""
    judged = [
        leave_out.Judged(Photograph("", "", label, False, True, name, ""), score, number)
        for number, (name, label, score) in enumerate(
            [("far-1", "animal", 0.6), ("far-2", "empty", 0.4)] * 10 + [("near", "animal", 0.3)] * 12
        )
    ]
    figures = leave_out.figures(judged)
    assert figures["far, alone"]["auc"] == 1.0
    assert figures["all"]["auc"] < 1.0
    assert "near, alone" not in figures
