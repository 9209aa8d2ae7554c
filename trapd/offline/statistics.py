"""The figures of an evaluation: AUC, proportions, and how sure one may be of them. Pure.

Intervals are of 95 %. Frames of one burst are not independent: each value comes with the burst it is of, and
a sample counts for as many as its bursts let it (the design effect; Kish 1965, Obuchowski 1997).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
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


Scored = tuple[float, int]
"""A score, and the number of the burst that it is of."""


def auc_interval(
    positive: Sequence[float], negative: Sequence[float], *, effect: float = 1.0
) -> Interval | None:
    """Newcombe's method 5 (2006, Statistics in Medicine 25:559); None without both kinds.

    The limits are the areas from which the one seen lies 1.96 of their own standard errors away (Hanley and
    McNeil's formula, evened out over both kinds). It holds at an AUC of 1 too, where others collapse.
    `effect`: how many values count for one.
    """
    seen = auc(positive, negative)
    if seen is None:
        return None
    m, n = max(1.0, len(positive) / effect), max(1.0, len(negative) / effect)

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


def wilson(count: float, total: float) -> Interval:
    """Wilson's score interval (1927) of a proportion; (0, 1) where nothing was seen."""
    if total == 0:
        return (0.0, 1.0)
    share = count / total
    square = _Z95**2
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = _Z95 * math.sqrt(share * (1 - share) / total + square / (4 * total**2)) / (1 + square / total)
    return (max(0.0, middle - half), min(1.0, middle + half))


def share_interval(hits: Sequence[tuple[bool, int]]) -> Interval:
    """Wilson's interval for a share of values that come in bursts (each with its burst's number)."""
    if not hits:
        return (0.0, 1.0)
    total = len(hits)
    share = sum(hit for hit, _ in hits) / total
    apart = _sums([(float(hit) - share, burst) for hit, burst in hits])
    independent = total * share * (1 - share)
    size = total / _effect(sum(one**2 for one in apart), independent, total, len(apart))
    return wilson(share * size, size)


def auc_effect(positive: Sequence[Scored], negative: Sequence[Scored]) -> float:
    """How many values count for one in an AUC: its variance by bursts over that by values."""
    if not positive or not negative:
        return 1.0
    ups, downs = sorted(score for score, _ in positive), sorted(score for score, _ in negative)
    area = auc(ups, downs) or 0.0
    # What each value contributes: the share of the others that it lies on the right side of.
    of_ups = [(_below(score, downs), burst) for score, burst in positive]
    of_downs = [(1 - _below(score, ups), burst) for score, burst in negative]
    parts = [((value - area) / len(ups), burst) for value, burst in of_ups]
    parts += [((value - area) / len(downs), burst) for value, burst in of_downs]
    apart = _sums(parts)
    independent = sum(value**2 for value, _ in parts)
    return _effect(sum(one**2 for one in apart), independent, len(parts), len(apart))


def _below(score: float, ordered: Sequence[float]) -> float:
    return (bisect_left(ordered, score) + bisect_right(ordered, score)) / (2 * len(ordered))


def _sums(values: Sequence[Scored]) -> list[float]:
    sums: dict[int, float] = {}
    for value, burst in values:
        sums[burst] = sums.get(burst, 0.0) + value
    return list(sums.values())


def _effect(by_bursts: float, by_values: float, values: int, bursts: int) -> float:
    """At least 1; where nothing varies, as if a burst's values were all one."""
    if by_values <= 0:
        return values / bursts
    return max(1.0, min(values / bursts * 2, by_bursts / by_values))


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
