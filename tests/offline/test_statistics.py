"""AUC, intervals and thresholds against values worked out by other means."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd.offline import statistics

scores = st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=40)


@given(scores, scores)
def test_auc_is_the_share_of_pairs_won_ties_half(positive: list[float], negative: list[float]) -> None:
    won = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    assert statistics.auc(positive, negative) == pytest.approx(won / (len(positive) * len(negative)))


def test_auc_needs_both_kinds() -> None:
    assert statistics.auc([], [0.1]) is None
    assert statistics.auc_interval([0.1], []) is None


@given(scores, scores)
def test_the_interval_of_an_auc_holds_it_and_stays_within_0_and_1(
    positive: list[float], negative: list[float]
) -> None:
    area = statistics.auc(positive, negative)
    interval = statistics.auc_interval(positive, negative)
    assert area is not None
    assert interval is not None
    assert 0 <= interval[0] <= area + 1e-9
    assert area - 1e-9 <= interval[1] <= 1


def test_the_interval_of_an_auc_covers_the_truth_about_as_often_as_it_says() -> None:
    # Two normal distributions 1.5 standard deviations apart: the true AUC is Phi(1.5 / sqrt 2) = 0.8556.
    draw = random.Random(1)
    covered = 0
    for _ in range(400):
        positive = [draw.gauss(1.5, 1) for _ in range(30)]
        negative = [draw.gauss(0, 1) for _ in range(30)]
        interval = statistics.auc_interval(positive, negative)
        assert interval is not None
        covered += interval[0] <= 0.8556 <= interval[1]
    assert 0.92 <= covered / 400 <= 0.99


def test_a_perfect_separation_is_not_certain() -> None:
    low, high = statistics.auc_interval([0.9] * 10, [0.1] * 10) or (0, 0)
    assert 0.6 < low < 0.95
    assert high == 1


@pytest.mark.parametrize(
    ("count", "total", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634)]
)
def test_wilson_against_published_values(count: int, total: int, low: float, high: float) -> None:
    assert statistics.wilson(count, total) == pytest.approx((low, high), abs=1e-3)


def test_wilson_of_nothing_knows_nothing() -> None:
    assert statistics.wilson(0, 0) == (0.0, 1.0)


@given(scores, st.floats(0.01, 1))
def test_the_threshold_reaches_the_recall_and_no_higher_one_does(
    positive: list[float], recall: float
) -> None:
    limit = statistics.threshold_for(positive, recall)
    assert limit is not None
    assert sum(score >= limit for score in positive) / len(positive) >= recall - 1e-9
    higher = [score for score in positive if score > limit]
    assert len(higher) / len(positive) < recall


def test_no_positives_no_threshold() -> None:
    assert statistics.threshold_for([], 0.95) is None


def test_three_frames_of_a_burst_that_agree_count_for_one() -> None:
    alone = [(number < 80, number) for number in range(100)]
    thrice = [(hit, burst) for hit, burst in alone for _ in range(3)]
    assert statistics.share_interval(thrice) == pytest.approx(statistics.share_interval(alone), abs=0.002)
    assert statistics.share_interval(alone) == pytest.approx(statistics.wilson(80, 100), abs=1e-9)


def test_all_of_a_burst_being_alike_is_no_certainty() -> None:
    assert statistics.share_interval([(True, burst // 3) for burst in range(30)])[0] == pytest.approx(
        statistics.wilson(10, 10)[0]
    )


def test_intervals_by_burst_hold_as_often_as_they_say_and_those_by_frame_do_not() -> None:
    draw = random.Random(7)
    by_burst = by_frame = 0
    runs = 600
    for _ in range(runs):
        hits = []
        for burst in range(60):
            chance = 0.97 if draw.random() < 0.75 else 0.2
            hits += [(draw.random() < chance, burst) for _ in range(3)]
        truth = 0.75 * 0.97 + 0.25 * 0.2
        low, high = statistics.share_interval(hits)
        by_burst += low <= truth <= high
        low, high = statistics.wilson(sum(hit for hit, _ in hits), len(hits))
        by_frame += low <= truth <= high
    assert by_burst / runs > 0.92
    assert by_frame / runs < 0.9


def test_an_auc_of_repeated_frames_is_no_surer() -> None:
    draw = random.Random(3)
    ups = [(draw.gauss(1, 1), burst) for burst in range(40)]
    downs = [(draw.gauss(0, 1), 100 + burst) for burst in range(40)]
    alone = statistics.auc_effect(ups, downs)
    thrice = statistics.auc_effect(
        [one for one in ups for _ in range(3)], [one for one in downs for _ in range(3)]
    )
    assert alone == pytest.approx(1)
    assert thrice == pytest.approx(3, rel=0.05)
