"""Each bug put into the store on purpose turns its proof red: it can fail."""

from __future__ import annotations

import pytest

from tests.crash import operations as op
from tests.crash.conftest import recorded
from tests.crash.disk import Way
from tests.crash.faults import Fault, once, places, put_each, sync_fails
from tests.crash.recording import Call, Recording
from tests.crash.second_cut import cut_recoveries
from tests.crash.sweep import Cut, sweep
from tests.figures import tell

pytestmark = [pytest.mark.slow, pytest.mark.rig]

AT_MOST = 8
BY_ONE_CUT = ("no-file-sync", "no-folder-sync", "link-before-sync", "no-transaction-sync")


@pytest.mark.parametrize("bug", BY_ONE_CUT)
def test_a_power_cut_finds_it(bug: str) -> None:
    swept = sweep(recorded("--bug", bug).operations, draws=0, most_breaches=3)
    assert swept.breaches
    cut, found = next(iter(swept.breaches.items()))
    tell(f"seeded bug {bug}: found {cut}: {found[0].splitlines()[0]}")


def test_a_power_cut_finds_that_thumbnails_are_not_secured() -> None:
    """Nothing before the last eviction can show it."""
    operations = recorded("--bug", "thumbs-not-secured").operations
    evictions = [
        n for n, each in enumerate(operations) if isinstance(each, op.Said) and each.word["deed"] == "evict"
    ]
    swept = sweep(operations, draws=0, most_breaches=3, since=evictions[-2])
    assert swept.breaches
    tell(f"seeded bug thumbs-not-secured: found {swept}".splitlines()[0])


def test_a_second_cut_finds_that_recovery_trusts_names() -> None:
    """Killed between naming a burst's photographs and syncing their folder."""
    options = ("--bug", "found-names-trusted")
    operations = recorded(*options).operations
    named = next(n for n, each in enumerate(operations) if isinstance(each, op.Linked))
    (swept,) = cut_recoveries(operations, [Cut(named + 1, Way.ALL)], draws=0, options=options).values()
    assert swept.breaches
    tell(f"seeded bug found-names-trusted: found {swept}".splitlines()[0])


def faults(bug: str, workload: Recording) -> list[Fault]:
    """Those that it cannot stand."""
    options = ("--bug", bug)

    def of(name: str, path: str) -> list[Call]:
        return [call for call in places(workload) if call.name == name and call.path == path]

    chosen = {
        "found-folder-trusted": [once(call, "EIO") for call in of("fsync", "store/media")],
        "found-log-trusted": [sync_fails(workload, call) for call in of("fdatasync", "store/trapd.db-wal")],
        "sqlite-trusted": [once(call, "EIO") for call in of("fdatasync", "store")],
    }[bug]
    return [Fault(fault.at, fault.injections, options) for fault in chosen]


@pytest.mark.parametrize("bug", ["found-folder-trusted", "found-log-trusted", "sqlite-trusted"])
def test_a_failed_sync_finds_it(bug: str) -> None:
    outcomes = put_each(faults(bug, recorded("--bug", bug))[:AT_MOST])
    breached = [outcome for outcome in outcomes if outcome.breaches]
    assert breached
    tell(f"seeded bug {bug}: found by {breached[0].fault}: {breached[0].breaches[0].splitlines()[0]}")
