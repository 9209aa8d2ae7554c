"""Every write, sync and change of a name in a unit's life fails in turn; nothing promised is lost by it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from tests.crash.faults import (
    Fault,
    Outcome,
    disk_dies,
    disk_fills,
    of_each_kind,
    once,
    places,
    put_each,
    sync_fails,
)
from tests.crash.recording import Call, Recording
from tests.figures import PROVE, tell

pytestmark = [pytest.mark.slow, pytest.mark.rig]

OF_A_KIND = 10**6 if PROVE else 2
MOMENTS = 120 if PROVE else 12


def put(what: str, faults: Sequence[Fault], points: int) -> list[Outcome]:
    """Put each fault, tell the figures, and let none break a promise."""
    began = time.monotonic()
    outcomes = put_each(faults)
    breached = [outcome for outcome in outcomes if outcome.breaches]
    refused = sum(bool(outcome.failures) for outcome in outcomes)
    tell(
        f"{what}: {points} points, {len(faults)} tried, {refused} refused by the store,"
        f" {len(breached)} breached ({time.monotonic() - began:.0f} s)"
    )
    assert not breached, "\n".join(str(outcome) for outcome in breached[:10])
    assert [str(outcome.fault) for outcome in outcomes if not outcome.met] == []
    return outcomes


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_one_call_fails(workload: Recording, error: str) -> None:
    there = places(workload)
    chosen = of_each_kind(there, OF_A_KIND)
    outcomes = put(error, [once(call, error) for call in chosen], len(there))
    assert sum(bool(outcome.failures) for outcome in outcomes) > len(outcomes) // 3


def moments(workload: Recording) -> list[Call]:
    there = places(workload)
    return [there[n * len(there) // MOMENTS] for n in range(MOMENTS)]


def test_the_disk_is_full_from_some_moment_on(workload: Recording) -> None:
    put("disk full", [disk_fills(workload, call) for call in moments(workload)], len(places(workload)))


def test_the_disk_takes_nothing_from_some_moment_on(workload: Recording) -> None:
    put("disk read-only", [disk_dies(workload, call) for call in moments(workload)], len(places(workload)))


def test_a_sync_fails_and_the_process_ends(workload: Recording) -> None:
    """What it had written is still to be read, and will be gone: nobody may build on it."""
    syncs = [call for call in places(workload) if call.name in ("fsync", "fdatasync")]
    chosen = of_each_kind(syncs, OF_A_KIND * 3)
    put("failed sync, then kill", [sync_fails(workload, call) for call in chosen], len(syncs))
