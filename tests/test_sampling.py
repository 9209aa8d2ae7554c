"""Who is drawn, and whether the interval holds the truth as often as it says."""

from __future__ import annotations

import random

import pytest

from tests.figures import PROVE
from trapd.records import Verdict
from trapd.sampling import Figures, Sample, chosen, figures, fraction_of, heap_of, rising, shuffled

CLASSES = ("animal", "person", "vehicle")
THRESHOLD = 0.35
UNITS = 1000 if PROVE else 500


def verdict(score: float, night: bool) -> Verdict:
    kept = score >= THRESHOLD
    name = "unclassified" if kept else "empty"
    return Verdict(name, keep=kept, score=score, sha256="ab" * 32, threshold=THRESHOLD, night=night)


class Unit:
    """A simulated unit: it settles bursts whose truth is known, and somebody judges its sample."""

    def __init__(self, seed: str, audit_fraction: float) -> None:
        self.seed = seed
        self.audit_fraction = audit_fraction
        self.totals: dict[str, int] = {}
        self.samples: list[Sample] = []
        self.truths: dict[str, str] = {}

    def settle(self, score: float, night: bool, is_full: bool) -> None:
        found = verdict(score, night)
        fraction = fraction_of(found, self.audit_fraction)
        heap = heap_of(found, configured=None, fraction=fraction).name
        nth = self.totals.get(heap, 0)
        if chosen(self.seed, heap, nth, fraction):
            event_id = f"unit-3f9a-{sum(self.totals.values()):06d}"
            self.samples.append(Sample(event_id, heap))
            self.truths[event_id] = "animal" if is_full else "empty"
        self.totals[heap] = nth + 1

    def figures(self) -> Figures:
        return figures(self.totals, self.samples, self.truths, classes=CLASSES, seed=self.seed)


def lived(seed: int, miss_rate: float, *, full: int, empty: int, audit_fraction: float) -> tuple[Unit, float]:
    """A unit after so many bursts, and its true miss rate. Empties near the threshold are fewer than far."""
    draw = random.Random(seed)
    unit = Unit(f"{seed:032x}", audit_fraction)
    missed = round(miss_rate * full)
    bursts = [(True, number < missed) for number in range(full)]
    bursts += [(False, draw.random() < 0.8) for _ in range(empty)]
    draw.shuffle(bursts)
    for is_full, is_discarded in bursts:
        near = draw.random() ** (0.5 if is_full else 2)  # of 1: how near to the threshold
        score = THRESHOLD * near * 0.999 if is_discarded else 1 - (1 - THRESHOLD) * near
        unit.settle(score, draw.random() < 0.6, is_full)
    return unit, missed / full


@pytest.mark.slow
@pytest.mark.parametrize("miss_rate", [0.0, 0.005, 0.05, 0.3])
def test_the_interval_holds_the_true_miss_rate_in_95_of_100_units(miss_rate: float) -> None:
    held = 0
    for seed in range(UNITS):
        unit, truth = lived(seed, miss_rate, full=400, empty=600, audit_fraction=0.1)
        found = unit.figures().miss_rate
        held += found.low <= truth <= found.high
    assert held / UNITS >= (0.95 if miss_rate == 0 else 0.93)
    assert miss_rate == 0 or held / UNITS <= 0.97


def test_the_estimate_is_right_on_the_average() -> None:
    found = []
    for seed in range(60):
        unit, _ = lived(seed, 0.3, full=100, empty=200, audit_fraction=0.2)
        found.append(unit.figures().miss_rate.estimate or 0.0)
    assert sum(found) / len(found) == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.3])
def test_of_each_stratum_its_share_is_drawn_and_always_the_same(fraction: float) -> None:
    drawn = [chosen("seed", "heap", nth, fraction) for nth in range(3000)]
    assert drawn == [chosen("seed", "heap", nth, fraction) for nth in range(3000)]
    assert sum(drawn) == round(3000 * fraction)
    assert drawn != [chosen("another", "heap", nth, fraction) for nth in range(3000)]
    assert not any(chosen("seed", "heap", nth, 0.0) for nth in range(100))
    assert all(chosen("seed", "heap", nth, 1.0) for nth in range(100))


@pytest.mark.parametrize("fraction", [0.02, 0.07, 0.3, 0.45, 0.999, 1e-12])
def test_of_each_lot_one_burst_is_drawn_however_the_lots_divide_the_bursts(fraction: float) -> None:
    for seed in range(20):
        drawn = [chosen(str(seed), "heap", nth, fraction) for nth in range(1000)]
        assert abs(sum(drawn) - 1000 * fraction) < 1


def test_every_place_is_drawn_as_often() -> None:
    places = [sum(chosen(f"seed{n}", "heap", nth, 0.1) for n in range(2000)) for nth in range(10)]
    assert min(places) > 140
    assert max(places) < 260


def test_strata_tell_day_from_night_and_near_from_far() -> None:
    names = {
        heap_of(verdict(score, night), configured=None, fraction=0.02).name
        for score in (0.01, 0.1, 0.2, 0.3, 0.4, 0.9)
        for night in (False, True)
    }
    assert len(names) == 12


def test_samples_that_went_are_counted_and_those_that_wait_as_well() -> None:
    unit, _ = lived(1, 0.3, full=100, empty=100, audit_fraction=0.5)
    first, second, third, *rest = unit.samples
    unit.samples = [first, second, Sample(third.id, third.heap, lost=True), *rest]
    del unit.truths[second.id], unit.truths[third.id]
    unit.truths[first.id] = "unsure"
    found = unit.figures()
    assert (found.lost, found.waiting, found.unsure) == (1, 1, 1)
    assert found.judged == found.drawn - 3


def test_a_vehicle_that_nobody_asked_for_is_no_miss() -> None:
    unit, _ = lived(1, 0.3, full=100, empty=100, audit_fraction=1.0)
    unit.truths = dict.fromkeys(unit.truths, "vehicle")
    found = figures(unit.totals, unit.samples, unit.truths, classes=("animal",), seed=unit.seed)
    assert found.missed == 0


def test_the_order_to_judge_in_is_a_lot() -> None:
    unit, _ = lived(1, 0.3, full=100, empty=100, audit_fraction=1.0)
    order = shuffled(unit.samples, unit.seed)
    assert order == shuffled(list(reversed(unit.samples)), unit.seed)
    assert order != unit.samples


def told(hits: str) -> tuple[list[Sample], dict[str, str]]:
    heap = heap_of(verdict(0.1, night=False), configured=None, fraction=0.02).name
    samples = [Sample(str(at), heap) for at in range(len(hits))]
    return samples, {str(at): "animal" if hit == "x" else "empty" for at, hit in enumerate(hits)}


def test_a_rise_is_seen_and_chance_is_not() -> None:
    steady = "." * 19 + "x"
    assert not rising(*told(steady * 6), CLASSES)
    assert rising(*told(steady * 4 + "..x." * 10), CLASSES)
    assert not rising(*told("..x." * 10), CLASSES)
