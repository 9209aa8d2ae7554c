from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd import interval
from trapd.interval import Share, Stratum, part, share


@pytest.mark.parametrize(
    ("count", "trials", "chance"),
    [(0, 10, 0.1), (3, 10, 0.3), (9, 10, 0.9), (50, 1000, 0.06), (999, 1000, 0.99)],
)
def test_the_binomial_distribution_is_that_of_the_sum(count: int, trials: int, chance: float) -> None:
    exact = sum(comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(count + 1))
    assert interval._binomial(count, trials, chance) == pytest.approx(exact, abs=1e-9)


def test_a_sample_without_a_hit_always_allows_zero_and_never_nothing_else() -> None:
    for draw in (0.0, 0.001, 0.5, 0.999):
        found = share([Stratum(10_000, 100, 0)], draw)
        assert found.low == 0
        assert 0.0149 <= found.high <= 0.04


def test_what_was_judged_to_the_last_burst_is_known() -> None:
    found = part([Stratum(50, 50, 5)], [Stratum(100, 100, 95)], 0.5)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.05, 0.05, 0.05), abs=0.006)


def test_nothing_judged_says_nothing() -> None:
    unknown = Share(None, 0.0, 1.0)
    assert share([], 0.5) == share([Stratum(10, 0, 0)], 0.5) == unknown
    assert part([Stratum(10, 0, 0)], [Stratum(10, 5, 3)], 0.5) == unknown
    assert part([Stratum(10, 5, 0)], [Stratum(10, 5, 0)], 0.5) == unknown


def test_a_unit_that_discarded_nothing_missed_nothing() -> None:
    assert part([], [Stratum(100, 20, 15)], 0.5) == Share(0.0, 0.0, 0.0)


strata = st.lists(
    st.integers(1, 2000).flatmap(
        lambda total: st.integers(0, total).flatmap(
            lambda judged: st.builds(Stratum, st.just(total), st.just(judged), st.integers(0, judged))
        )
    ),
    max_size=5,
)


@given(strata, strata, st.floats(0, 1))
def test_the_interval_holds_the_estimate_whatever_was_seen(
    these: list[Stratum], those: list[Stratum], draw: float
) -> None:
    for found in (part(these, those, draw), share(these, draw)):
        assert 0 <= found.low <= found.high <= 1
        assert found.estimate is None or found.low <= found.estimate <= found.high


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0, 1))
def test_more_hits_never_lower_either_end(judged: int, hits: int, draw: float) -> None:
    hits = min(hits, judged - 1)
    fewer, more = (share([Stratum(3000, judged, count)], draw) for count in (hits, hits + 1))
    assert more.low >= fewer.low - 1e-6
    assert more.high >= fewer.high - 1e-6
