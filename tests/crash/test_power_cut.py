"""The power is cut at every point of a unit's life, and again while the store recovers from that."""

from __future__ import annotations

import time

import pytest

from tests.crash.recording import Recording
from tests.crash.second_cut import cut_recoveries
from tests.crash.sweep import Cut, Swept, sweep
from tests.figures import PROVE, tell

pytestmark = [pytest.mark.slow, pytest.mark.rig]

DRAWS = 10 if PROVE else 0
SECOND_CUTS_OF_A_KIND = 3 if PROVE else 1


@pytest.fixture(scope="module")
def swept(workload: Recording) -> Swept:
    began = time.monotonic()
    swept = sweep(workload.operations, draws=DRAWS)
    tell(f"power cut: {swept} ({time.monotonic() - began:.0f} s)")
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
    cuts = [cut for examples in swept.examples.values() for cut in examples[:SECOND_CUTS_OF_A_KIND]]
    began = time.monotonic()
    found = cut_recoveries(workload.operations, cuts, draws=DRAWS // 3)
    points = sum(each.points for each in found.values())
    states = sum(each.states.total() for each in found.values())
    breached: dict[Cut, Swept] = {cut: each for cut, each in found.items() if each.breaches}
    tell(
        f"second power cut: {len(cuts)} recoveries, {points} points, {states} states,"
        f" {len(breached)} recoveries breached ({time.monotonic() - began:.0f} s)"
    )
    assert not breached, "\n".join(f"first cut {cut}, then: {each}" for cut, each in breached.items())
    assert points > 20 * len(cuts)
