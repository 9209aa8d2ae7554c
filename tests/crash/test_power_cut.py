"""The power is cut at every point of a unit's life, and again while the store recovers from that."""

from __future__ import annotations

import time

import pytest

from tests.crash.recording import Recording
from tests.crash.second_cut import cut_recoveries
from tests.crash.sweep import SHALLOW, Cut, Depth, Swept, sweep
from tests.figures import PROVE, Proof, prove

pytestmark = [pytest.mark.slow, pytest.mark.rig]

FULL = Depth(draws=10)
SECOND_SHORT, SECOND_FULL = Depth(every=4), Depth(draws=3)
SECOND_OF_A_KIND = 3 if PROVE else 1


@pytest.fixture(scope="module")
def swept(workload: Recording) -> Swept:
    began = time.monotonic()
    depths = (SHALLOW, FULL)
    swept = sweep(workload.operations, depths[PROVE], measure=depths)
    short, full = (swept.measured[depth] for depth in depths)
    tried, breached = swept.states.total(), len(swept.breaches)
    prove(Proof("power cut", swept.points, short, full, tried, breached, time.monotonic() - began))
    return swept


def test_nothing_promised_is_lost_wherever_the_power_goes(swept: Swept) -> None:
    assert not swept.breaches, str(swept)
    assert swept.points > 800
    assert swept.states.total() > 2 * swept.points


def test_no_acknowledged_row_is_sent_again(swept: Swept) -> None:
    """It might be: that would be a repeat, and no loss. An acknowledgement is synced, so it is not."""
    assert swept.undone == 0


def test_the_cuts_meet_every_kind_of_recovery(swept: Swept) -> None:
    met = {step for kind in swept.examples for step in kind}
    assert met >= {"clean", "temp_removed", "evictions_finished", "adopted", "thumbs_removed"}
    assert met >= {"waiting", "give_up"}
    assert met.isdisjoint({"set_aside", "rebuilt", "media_missing", "orphaned"})


def test_nothing_promised_is_lost_when_the_power_goes_again_during_recovery(
    workload: Recording, swept: Swept
) -> None:
    cuts = [cut for examples in swept.examples.values() for cut in examples[:SECOND_OF_A_KIND]]
    began = time.monotonic()
    depths = (SECOND_SHORT, SECOND_FULL)
    found = cut_recoveries(workload.operations, cuts, depths[PROVE], measure=depths)
    points = sum(each.points for each in found.values())
    states = sum(each.states.total() for each in found.values())
    in_short = [examples[0] for examples in swept.examples.values() if examples[0].shallow]
    breached: dict[Cut, Swept] = {cut: each for cut, each in found.items() if each.breaches}
    prove(
        Proof(
            f"second power cut, {len(cuts)} recoveries",
            points,
            sum(found[cut].measured[SECOND_SHORT] for cut in in_short),
            states if PROVE else None,  # which recoveries there are only the full sweep finds
            states,
            sum(len(each.breaches) for each in found.values()),
            time.monotonic() - began,
        )
    )
    assert not breached, "\n".join(f"first cut {cut}, then: {each}" for cut, each in breached.items())
    assert points > 20 * len(cuts)
    assert states > points // 3
