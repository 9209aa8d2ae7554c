"""Each bug put into the store on purpose turns its proof red: every suite beside this one can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.crash import operations as op
from tests.crash.conftest import recorded
from tests.crash.disk import Way
from tests.crash.faults import (
    KILL,
    Fault,
    Outcome,
    disk_dies,
    disk_fills,
    once,
    places,
    put_each,
    sync_fails,
)
from tests.crash.migrated import check_migrated
from tests.crash.pool import in_processes
from tests.crash.recording import Call, Recording
from tests.crash.second_cut import cut_recoveries
from tests.crash.sweep import SHALLOW, Cut, sweep, sweep_here
from tests.crash.test_migration import migrate, old_store
from tests.crash.test_migration import put as put_into_migration
from tests.crash.test_rebuild_cut import sweep_rebuild, zeros_first
from tests.figures import tell

pytestmark = [pytest.mark.slow, pytest.mark.rig]

AT_MOST = 8
BY_ONE_CUT = (
    "no-file-sync",
    "no-folder-sync",
    "link-before-sync",
    "no-transaction-sync",
    "row-gone-when-taken",
)


def found(suite: str, bug: str, where: object, breaches: list[str]) -> None:
    tell(f"seeded bug {bug}, {suite}: found {where}: {breaches[0].splitlines()[0]}")


@pytest.mark.parametrize("bug", BY_ONE_CUT)
def test_a_power_cut_finds_it(bug: str) -> None:
    swept = sweep(recorded("--bug", bug).operations, most_breaches=3)
    assert swept.breaches
    found("power cut", bug, *next(iter(swept.breaches.items())))


def test_a_power_cut_finds_that_thumbnails_are_not_secured() -> None:
    """Nothing before the last eviction can show it."""
    operations = recorded("--bug", "thumbs-not-secured").operations
    evictions = [
        n for n, each in enumerate(operations) if isinstance(each, op.Said) and each.word["deed"] == "evict"
    ]
    swept = sweep(operations, most_breaches=3, since=evictions[-2])
    assert swept.breaches
    found("power cut", "thumbs-not-secured", *next(iter(swept.breaches.items())))


def test_a_second_cut_finds_that_recovery_trusts_names() -> None:
    """Killed between naming a burst's photographs and syncing their folder."""
    options = ("--bug", "found-names-trusted")
    operations = recorded(*options).operations
    named = next(n for n, each in enumerate(operations) if isinstance(each, op.Linked))
    (swept,) = cut_recoveries(operations, [Cut(named + 1, Way.ALL)], options=options).values()
    assert swept.breaches
    found("second power cut", options[1], *next(iter(swept.breaches.items())))


def test_a_cut_in_a_rebuild_finds_that_it_is_noted_later(workload: Recording) -> None:
    options = ("--bug", "rebuild-noted-later")
    swept = sweep_rebuild(workload, zeros_first, False, SHALLOW, options)
    assert swept.breaches
    found("power cut in a rebuild", options[1], *next(iter(swept.breaches.items())))


def test_a_cut_in_a_migration_finds_that_it_is_done_in_pieces(workload: Recording) -> None:
    options = ("--bug", "migration-in-pieces")
    with old_store(workload.operations) as (disk, start):
        swept = sweep_here(migrate(disk, options=options).operations, start, check=check_migrated)
    assert swept.breaches
    found("power cut in a migration", options[1], *next(iter(swept.breaches.items())))


def test_a_failed_migration_finds_that_it_is_done_in_pieces(workload: Recording) -> None:
    options = ("--bug", "migration-in-pieces")
    with old_store(workload.operations) as (disk, _):
        calls = places(migrate(disk, options=options))
    writes = [call for call in calls if (call.name, call.path) == ("pwrite64", "store/trapd.db-wal")]
    faults = [once(writes[n * len(writes) // AT_MOST], "EIO") for n in range(AT_MOST)]
    jobs = [(workload.operations, Fault(fault.at, fault.injections, options)) for fault in faults]
    outcomes = zip(faults, in_processes(put_into_migration, jobs), strict=True)
    breached = [(fault, breaches) for fault, (breaches, _, _) in outcomes if breaches]
    assert breached
    found("failed migration", options[1], f"by {breached[0][0]}", breached[0][1])


@dataclass(frozen=True, slots=True)
class Seed:
    """A bug, and the faults that it cannot stand: at these calls, in this life.

    `path`: of a file or folder; with a slash at its end, of all below it.
    """

    bug: str
    call: str
    path: str
    make: Callable[[Recording, Call], Fault]
    life: str = "all"

    def is_at(self, path: str) -> bool:
        return path == self.path or (self.path.endswith("/") and path.startswith(self.path))


BY_A_FAULT = {
    "one call gives EIO": Seed("found-folder-trusted", "fsync", "store/media", lambda _, at: once(at, "EIO")),
    "one call of SQLite's gives EIO": Seed(
        "sqlite-trusted", "fdatasync", "store", lambda _, at: once(at, "EIO")
    ),
    "one call gives ENOSPC": Seed(
        "refused-commit-trusted", "pwrite64", "store/trapd.db-wal", lambda _, at: once(at, "ENOSPC")
    ),
    "disk full from a moment on": Seed(
        "refused-commit-trusted", "pwrite64", "store/trapd.db-wal", disk_fills
    ),
    "disk read-only from a moment on": Seed(
        "refused-commit-trusted", "fdatasync", "store/trapd.db-wal", disk_dies
    ),
    "failed sync of the log, behind counts": Seed(
        "failed-log-trusted", "fdatasync", "store/trapd.db-wal", lambda _, at: once(at, "EIO"), "counts"
    ),
    "failed sync, then kill": Seed("found-log-trusted", "fdatasync", "store/trapd.db-wal", sync_fails),
    "kill -9": Seed("found-names-trusted", "fsync", "store/media/", lambda _, at: once(at, KILL)),
}


@pytest.mark.parametrize("suite", BY_A_FAULT)
def test_a_fault_finds_it(suite: str) -> None:
    seed = BY_A_FAULT[suite]
    options = ("--bug", seed.bug, "--life", seed.life)
    recording = recorded(*options)
    calls = [call for call in places(recording) if call.name == seed.call and seed.is_at(call.path)]
    breached: list[Outcome] = []
    # Where its threads are differs from life to life: if a few faults do not meet the bug, all of them do.
    for some in ([calls[n * len(calls) // AT_MOST] for n in range(AT_MOST)], calls):
        faults = [seed.make(recording, call) for call in some]
        outcomes = put_each([Fault(fault.at, fault.injections, options) for fault in faults])
        breached = [outcome for outcome in outcomes if outcome.breaches]
        if breached:
            break
    assert breached
    found(suite, seed.bug, f"by {breached[0].fault}", breached[0].breaches)
