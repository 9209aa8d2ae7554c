"""kill -9 at each kind of call; the next process goes on with what nobody has synced; then the power goes."""

from __future__ import annotations

import time

import pytest

from tests.crash.faults import KILL, of_each_kind, once, places, put_each
from tests.crash.recording import Recording
from tests.figures import PROVE, Proof, prove

pytestmark = [pytest.mark.slow, pytest.mark.rig]

OF_A_KIND = 1


def test_nothing_promised_is_lost_by_a_kill_and_a_later_power_cut(workload: Recording) -> None:
    there = places(workload)
    sample = of_each_kind(there, OF_A_KIND)
    faults = [once(call, KILL) for call in (there if PROVE else sample)]
    began = time.monotonic()
    outcomes = put_each(faults)
    breached = [outcome for outcome in outcomes if outcome.breaches]
    took_s = time.monotonic() - began
    prove(Proof("kill -9", len(there), len(sample), len(there), len(faults), len(breached), took_s))
    assert not breached, "\n".join(str(outcome) for outcome in breached[:10])
    assert all(outcome.met for outcome in outcomes)
