"""Every write, sync and change of a name in a unit's life fails in turn; nothing promised is lost by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from tests.crash.conftest import recorded
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
from tests.figures import PROVE, Proof, prove

pytestmark = [pytest.mark.slow, pytest.mark.rig]

OF_A_KIND = {"EIO": 2, "ENOSPC": 1}
SYNCS_OF_A_KIND = 3
LOG = "store/trapd.db-wal"
LOG_SYNCS = 12
MOMENTS, MOMENTS_IN_FULL = 12, 120


def put(
    what: str, make: Callable[[Call], Fault], points: int, sample: Sequence[Call], full: Sequence[Call]
) -> list[Outcome]:
    """Put a fault at each call, tell the figures, and let none break a promise."""
    began = time.monotonic()
    faults = [make(call) for call in (full if PROVE else sample)]
    outcomes = put_each(faults)
    breached = [outcome for outcome in outcomes if outcome.breaches]
    took_s = time.monotonic() - began
    prove(Proof(what, points, len(sample), len(full), len(faults), len(breached), took_s))
    assert not breached, "\n".join(str(outcome) for outcome in breached[:10])
    assert [str(outcome.fault) for outcome in outcomes if not outcome.met] == []
    return outcomes


@pytest.mark.parametrize("error", OF_A_KIND)
def test_one_call_fails(workload: Recording, error: str) -> None:
    there = places(workload)
    sample = of_each_kind(there, OF_A_KIND[error])
    outcomes = put(f"one call gives {error}", lambda call: once(call, error), len(there), sample, there)
    assert sum(bool(outcome.failures) for outcome in outcomes) > len(outcomes) // 3


def moments(workload: Recording, count: int) -> list[Call]:
    there = places(workload)
    return [there[n * len(there) // count] for n in range(count)]


def put_moments(what: str, workload: Recording, make: Callable[[Recording, Call], Fault]) -> None:
    sample, full = moments(workload, MOMENTS), moments(workload, MOMENTS_IN_FULL)
    put(what, lambda call: make(workload, call), len(places(workload)), sample, full)


def test_the_disk_is_full_from_some_moment_on(workload: Recording) -> None:
    put_moments("disk full from a moment on", workload, disk_fills)


def test_the_disk_takes_nothing_from_some_moment_on(workload: Recording) -> None:
    put_moments("disk read-only from a moment on", workload, disk_dies)


def test_a_sync_of_the_log_fails_behind_transactions_without_one() -> None:
    """What they wrote is given up with it, and stands in the way of all that is committed later."""
    options = ("--life", "counts")
    there = places(recorded(*options))
    syncs = [call for call in there if call.name == "fdatasync" and call.path == LOG]
    sample = of_each_kind(syncs, LOG_SYNCS)

    def fails(call: Call) -> Fault:
        fault = once(call, "EIO")
        return Fault(fault.at, fault.injections, options)

    put("failed sync of the log, behind counts", fails, len(syncs), sample, syncs)


def test_a_sync_fails_and_the_process_ends(workload: Recording) -> None:
    """What it had written is still to be read, and will be gone: nobody may build on it."""
    syncs = [call for call in places(workload) if call.name in ("fsync", "fdatasync")]
    sample = of_each_kind(syncs, SYNCS_OF_A_KIND)
    put("failed sync, then kill", lambda call: sync_fails(workload, call), len(syncs), sample, syncs)
