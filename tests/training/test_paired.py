"""Two models on the same photographs: their difference, and an interval that knows of bursts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training import leave_out, paired
from training.catalogue import Photograph
from training.leave_out import Judged


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "DRAWS", 300)


def judged(count: int = 60, *, a_burst: int = 1, better: float = 0.0) -> list[Judged]:
    """Every second burst is empty; scores overlap, and less with `better`."""
    draw = np.random.default_rng(3)
    found = []
    for burst in range(count):
        label, night = ("animal", "empty")[burst % 2], burst % 4 < 2
        score = 0.5 + (0.12 + better) * (1 if label == "animal" else -1) + draw.normal(0, 0.15)
        for frame in range(a_burst):
            one = Photograph(f"{label}/{burst}-{frame}.jpg", "", label, night, True, f"s{burst % 5}", "")
            found.append(Judged(one, float(score), burst))
    return found


def test_a_model_beside_itself_differs_by_nothing() -> None:
    ours = judged()
    for found in paired.differences(ours, paired.scores_of(ours)).values():
        assert (found["auc"], found["false_keep_at_95"]) == (0, 0)
        assert found["auc_ci_by_burst"] == found["auc_ci_by_source"] == [0, 0]


def test_a_better_one_is_better_and_its_interval_says_so() -> None:
    found = paired.differences(judged(better=0.2), paired.scores_of(judged()))["all"]
    assert found["auc"] > 0 > found["false_keep_at_95"]
    assert found["auc_ci_by_burst"][0] > 0
    assert found["auc_ci_by_burst"][0] < found["auc"] < found["auc_ci_by_burst"][1]
    assert "AUC +0." in paired.words(found)


def test_photographs_of_one_burst_are_no_more_than_one() -> None:
    """Each three times: the interval stays, where photographs drawn by themselves would make it narrower."""
    once, thrice = (
        paired.differences(judged(better=0.05, a_burst=each), paired.scores_of(judged(a_burst=each)))["all"]
        for each in (1, 3)
    )
    assert thrice["auc"] == pytest.approx(once["auc"])
    assert thrice["auc_ci_by_burst"] == pytest.approx(once["auc_ci_by_burst"])


def test_only_what_both_have_judged_is_compared() -> None:
    ours = judged()
    some = {file: 1 - score for file, score in paired.scores_of(ours[:20]).items()}
    found = paired.differences(ours, some)["all"]
    whole = paired.differences(ours[:20], some)["all"]
    assert found == whole


def test_where_one_kind_is_missing_there_is_no_difference() -> None:
    ours = [replace(each, photograph=replace(each.photograph, night=False)) for each in judged()]
    assert paired.differences(ours, paired.scores_of(ours))["night"] == {}


def test_its_figures_are_those_of_the_table() -> None:
    ours, theirs = judged(better=0.1), judged()
    found = paired.differences(ours, paired.scores_of(theirs))["all"]
    one, other = (leave_out.figures(each)["all"] for each in (ours, theirs))
    for name in ("auc", "false_keep_at_95"):
        assert found[name] == pytest.approx(one[name] - other[name])
