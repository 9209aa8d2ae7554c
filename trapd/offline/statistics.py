"""The figures of an evaluation: AUC, proportions, and how sure one may be of them. Pure.

Intervals are of 95 %. They take photographs as independent; frames of one burst are not, so on bursts they
are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

_Z95 = 1.959963984540054

Interval = tuple[float, float]


def auc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """The chance that a positive scores higher than a negative, ties counting half (Mann-Whitney).

    None where one of the two is missing.
    """
    if not positive or not negative:
        return None
    ranks = _mid_ranks([*positive, *negative])
    total = sum(ranks[: len(positive)])
    m, n = len(positive), len(negative)
    return (total - m * (m + 1) / 2) / (m * n)


def auc_interval(positive: Sequence[float], negative: Sequence[float]) -> Interval | None:
    """Newcombe's method 5 (2006, Statistics in Medicine 25:559); None without both kinds.

    The limits are the areas from which the one seen lies 1.96 of their own standard errors away (Hanley and
    McNeil's formula, evened out over both kinds). It holds at an AUC of 1 too, where others collapse.
    """
    seen = auc(positive, negative)
    if seen is None:
        return None
    m, n = len(positive), len(negative)

    def too_far(area: float) -> bool:
        even = (m + n) / 2 - 1
        spread = 1 + even * (1 - area) / (2 - area) + even * area / (1 + area)
        return abs(seen - area) > _Z95 * math.sqrt(area * (1 - area) * spread / (m * n))

    return (_limit(seen, 0.0, too_far), _limit(seen, 1.0, too_far))


def _limit(near: float, far: float, too_far: Callable[[float], bool]) -> float:
    """The value between `near` and `far` at which `too_far` begins to hold, by bisection."""
    for _ in range(60):
        middle = (near + far) / 2
        near, far = (near, middle) if too_far(middle) else (middle, far)
    return far


def wilson(count: int, total: int) -> Interval:
    """Wilson's score interval (1927) of a proportion; (0, 1) where nothing was seen."""
    if total == 0:
        return (0.0, 1.0)
    share = count / total
    square = _Z95**2
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = _Z95 * math.sqrt(share * (1 - share) / total + square / (4 * total**2)) / (1 + square / total)
    return (max(0.0, middle - half), min(1.0, middle + half))


def threshold_for(positive: Sequence[float], recall: float) -> float | None:
    """The highest threshold at which at least `recall` of the positives are kept; None without any."""
    if not positive:
        return None
    ordered = sorted(positive, reverse=True)
    return ordered[max(1, math.ceil(recall * len(ordered) - 1e-9)) - 1]


def _mid_ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda index: values[index])
    ranks = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end + 1 < len(order) and values[order[end + 1]] == values[order[begin]]:
            end += 1
        for place in range(begin, end + 1):
            ranks[order[place]] = (begin + end) / 2 + 1
        begin = end + 1
    return ranks
