"""Shares of a whole that was judged in part, with intervals of 95 %. Pure; any thread.

A stratum is a heap of bursts of which some, drawn at random, were looked at. From several strata follow the
share that is hit in all of them together (`share`), and the part that one group has of all hits there are
(`part`): the miss rate is the part that discarded bursts have of all that are not empty.

The interval holds every value that the sample does not contradict. For each value the number of hits in the
sample has a distribution: its mean and variance follow from the strata (without replacement), given what the
other group shows, and the binomial distribution with that mean and variance stands for it. That is exact
where hits are rare or one stratum is all there is, and near it elsewhere. Because a count is a coarse thing,
the count that was seen belongs to the tail with a chance only (Stevens 1950, Biometrika 37:117): `draw`, a
number between 0 and 1 that was drawn once and without knowledge of the sample, decides. Without it an
interval of "95 %" would hold in 98 or 100 % of cases. The 5 % are shared out between the tails as the
expected count allows (tail functions: Puza and O'Neill 2006): where few hits are expected, all of it goes to
"too many", so that a sample without any hit always allows zero, and never for a lucky draw alone next to
nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from trapd.frozen import Frozen

ALPHA: Final = 0.05
_FEW: Final = 1.5  # so many hits expected, and a sample without one contradicts nothing
_MANY: Final = 5.0  # from so many on both tails count alike
_PRIOR: Final = 4.0
_STEPS: Final = 60
_TINY: Final = 1e-9
_SMALLEST_CHANCE: Final = 1e-7  # below it a binomial is Poisson's distribution, and its sums lose digits


class Stratum(Frozen):
    """`total` bursts, `judged` of them drawn at random and looked at, `hits` of these found to be so."""

    total: int
    judged: int
    hits: int

    @property
    def others(self) -> Stratum:
        """The same with what was no hit for hits."""
        return Stratum(self.total, self.judged, self.judged - self.hits)


class Share(Frozen):
    """An estimate and its interval. `estimate` None: the sample says nothing, and the interval is all."""

    estimate: float | None
    low: float
    high: float


UNKNOWN: Final = Share(None, 0.0, 1.0)


def share(strata: Sequence[Stratum], draw: float) -> Share:
    """The share of hits among all bursts of `strata`."""
    group = _Group.of(strata)
    if group.total == 0 or group.judged == 0:
        return UNKNOWN

    def tails(value: float) -> _Tails:
        count = group.at(value * group.total)
        return _tails(group.hits, count.mean, count.variance, group.judged - count.mean, draw)

    least, most = group.least / group.total, group.most / group.total
    return _between(group.estimate / group.total, least, most, tails)


def part(these: Sequence[Stratum], those: Sequence[Stratum], draw: float) -> Share:
    """The hits in `these` as a part of the hits in `these` and `those`."""
    one, other = _Group.of(these), _Group.of(those)
    blind = any(group.total and not group.judged for group in (one, other))
    if blind or one.hits + other.hits == 0:
        return UNKNOWN

    def tails(value: float) -> _Tails:
        mean, variance, others = _given(one, other, value)
        return _tails(one.hits, mean, variance, others, draw)

    least, most = one.least / (one.least + other.most), one.most / (one.most + other.least)
    return _between(one.estimate / (one.estimate + other.estimate), least, most, tails)


class _Count(Frozen):
    """The hits that a sample would show: mean, variance, and how the mean grows with each hit there is."""

    mean: float
    variance: float
    slope: float


class _Group(Frozen):
    """Strata that count together. `shape`: how likely a hit is in each, up to a common factor."""

    strata: tuple[Stratum, ...]
    shape: tuple[float, ...]
    total: int
    judged: int
    hits: int
    estimate: float

    @classmethod
    def of(cls, strata: Sequence[Stratum]) -> _Group:
        """Strata in which nobody has looked yet join their neighbours: nothing is known of them alone."""
        joined = _joined([each for each in strata if each.total > 0])
        judged, hits = sum(each.judged for each in joined), sum(each.hits for each in joined)
        overall = (hits + 0.5) / (judged + 1)
        # Some bursts' worth of the overall share: no stratum is taken for all or nothing on its few.
        shape = tuple((each.hits + _PRIOR * overall) / (each.judged + _PRIOR) for each in joined)
        estimate = sum(each.total * each.hits / each.judged for each in joined if each.judged)
        return cls(tuple(joined), shape, sum(each.total for each in joined), judged, hits, estimate)

    @property
    def least(self) -> int:
        """Hits that there are at least: those that were seen."""
        return self.hits

    @property
    def most(self) -> int:
        """Hits that there can be at most."""
        return self.total - (self.judged - self.hits)

    def at(self, hits: float) -> _Count:
        """What the sample would show if there were so many hits in all."""
        if hits > self.total / 2:
            count = self._scaled(self.total - hits, tuple(1 - each for each in self.shape))
            return _Count(self.judged - count.mean, count.variance, count.slope)
        return self._scaled(hits, self.shape)

    def _scaled(self, hits: float, shape: Sequence[float]) -> _Count:
        mean = variance = 0.0
        for each, chance in zip(self.strata, _spread(self.strata, shape, hits), strict=True):
            left = (each.total - each.judged) / (each.total - 1) if each.total > 1 else 0.0
            mean += each.judged * chance
            variance += each.judged * chance * (1 - chance) * left
        return _Count(mean, variance, mean / hits if hits > 0 else self.judged / max(self.total, 1))


def _joined(strata: Sequence[Stratum]) -> list[Stratum]:
    joined: list[Stratum] = []
    waiting = Stratum(0, 0, 0)
    for each in strata:
        waiting = _sum(waiting, each)
        if waiting.judged:
            joined.append(waiting)
            waiting = Stratum(0, 0, 0)
    if waiting.total and joined:
        waiting = _sum(joined.pop(), waiting)
    return [*joined, waiting] if waiting.total else joined


def _sum(one: Stratum, other: Stratum) -> Stratum:
    return Stratum(one.total + other.total, one.judged + other.judged, one.hits + other.hits)


def _spread(strata: Sequence[Stratum], shape: Sequence[float], hits: float) -> list[float]:
    """The chance of a hit in each stratum: in the proportions of `shape`, at most 1, `hits` in all."""
    chances = [0.0] * len(strata)
    open_ = set(range(len(strata)))
    left = hits
    while open_:
        weight = sum(strata[at].total * shape[at] for at in open_)
        factor = left / weight if weight > 0 else 1.0
        full = {at for at in open_ if factor * shape[at] >= 1}
        for at in full or open_:
            chances[at] = min(1.0, factor * shape[at])
        if not full:
            break
        left = max(0.0, left - sum(strata[at].total for at in full))
        open_ -= full
    return chances


def _given(one: _Group, other: _Group, value: float) -> tuple[float, float, float]:
    """Mean and variance of the hits in `one`'s sample, if `value` is its part of all hits; `other`'s mean.

    How many hits there are in all is not known, and estimated from both samples; given that estimate the
    count varies by what it does not share with it. With rare hits in both this is the binomial distribution
    of `one`'s hits among all that were seen.
    """
    odds = value / (1 - value)
    low = max(other.least, one.least / odds, _TINY)
    high = min(other.most, one.most / odds)

    def pull(hits: float) -> float:
        mine, theirs = one.at(odds * hits), other.at(hits)
        return odds * mine.slope * (one.hits - mine.mean) / max(mine.variance, _TINY) + theirs.slope * (
            other.hits - theirs.mean
        ) / max(theirs.variance, _TINY)

    hits = low if high <= low else _root(pull, low, high)
    mine, theirs = one.at(odds * hits), other.at(hits)
    slope = odds * mine.slope
    if mine.variance <= _TINY:
        return mine.mean, 0.0, theirs.mean
    known = slope**2 / mine.variance + theirs.slope**2 / max(theirs.variance, _TINY)
    return mine.mean, max(0.0, mine.variance - slope**2 / known), theirs.mean


class _Tails(Frozen):
    """How far the sample speaks against a value: below 0 it contradicts it, by too few or too many hits."""

    too_few: float
    too_many: float


def _tails(seen: int, mean: float, variance: float, others: float, draw: float) -> _Tails:
    if variance <= _TINY:  # all was judged: nothing is left to chance
        near = abs(seen - mean) < 0.5
        return _Tails(1.0 if near or seen > mean else -1.0, 1.0 if near or seen < mean else -1.0)
    chance = max(_SMALLEST_CHANCE, 1 - variance / mean)
    trials = mean / chance
    below, upto = _binomial(seen - 1, trials, chance), _binomial(seen, trials, chance)
    few = below + draw * (upto - below)
    weight_few, weight_many = _weight(mean), _weight(others)
    both = weight_few + weight_many
    for_few = ALPHA * weight_few / both if both > 0 else ALPHA / 2
    return _Tails(few - for_few, (1 - few) - (ALPHA - for_few))


def _weight(expected: float) -> float:
    return min(1.0, max(0.0, (expected - _FEW) / (_MANY - _FEW)))


def _between(estimate: float, least: float, most: float, tails: Callable[[float], _Tails]) -> Share:
    """The values between `least` and `most` that are not contradicted."""
    margin = 1e-9
    first, last = max(least, margin), min(most, 1 - margin)
    if first >= last:
        return Share(estimate, min(least, estimate), max(most, estimate))
    low = least if least == 0 else _edge(lambda value: tails(value).too_many, last, first)
    high = most if most == 1 else _edge(lambda value: tails(value).too_few, first, last)
    return Share(estimate, min(low, estimate), max(high, estimate))


def _edge(holds: Callable[[float], float], inner: float, outer: float) -> float:
    """Where, on the way from `inner` to `outer`, `holds` falls below 0; on a scale of odds, by bisection."""
    if holds(outer) >= 0:
        return outer
    inside, outside = _logit(inner), _logit(outer)
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if abs(inside - outside) < 1e-6:
            break
        if holds(_expit(middle)) >= 0:
            inside = middle
        else:
            outside = middle
    return _expit(inside)


def _logit(value: float) -> float:
    return math.log(value / (1 - value))


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function passes 0 (Illinois); the nearer end where it does not."""
    at_low, at_high = function(low), function(high)
    if at_low <= 0:
        return low
    if at_high >= 0:
        return high
    middle = low
    for _ in range(_STEPS):
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        value = function(middle)
        if abs(value) < _TINY or high - low < 1e-7 * high:
            break
        if value > 0:
            low, at_low, at_high = middle, value, at_high / 2
        else:
            high, at_high, at_low = middle, value, at_low / 2
    return middle


def _binomial(count: float, trials: float, chance: float) -> float:
    """P(X <= count) of a binomial distribution; `trials` need not be whole."""
    if count < 0:
        return 0.0
    if count >= trials:
        return 1.0
    return _incomplete_beta(trials - count, count + 1, 1 - chance)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return min(1.0, max(0.0, x))
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    fraction, numerator, denominator = 1.0, 1.0, 0.0
    for step in range(400):
        half = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        else:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        denominator = 1 / _nonzero(1 + term * denominator)
        numerator = _nonzero(1 + term / numerator)
        change = numerator * denominator
        fraction *= change
        if abs(change - 1) < 1e-12:
            break
    return min(1.0, front * (fraction - 1) / a)


def _nonzero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
