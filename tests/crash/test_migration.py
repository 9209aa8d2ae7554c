"""The power goes, or the disk refuses, at every point of the start that brings the database forward."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash import operations as op
from tests.crash.disk import Disk, Way
from tests.crash.faults import KILL, Fault, of_each_kind, once, places
from tests.crash.migrated import NEW, OLD, check_migrated
from tests.crash.pool import in_processes, scratch_place
from tests.crash.promises import Promises
from tests.crash.recording import Recording, record
from tests.crash.sweep import SHALLOW, STORE, Cut, Depth, Start, rebuild, sweep_here
from tests.figures import PROVE, Proof, prove

pytestmark = [pytest.mark.slow, pytest.mark.rig]

DEPTHS = (SHALLOW, Depth(draws=5))
OF_A_KIND = 1
EFFECTS = ("EIO", "ENOSPC", KILL)


@contextmanager
def old_store(operations: tuple[op.Operation, ...]) -> Iterator[tuple[Path, Start]]:
    """A disk on which the old trapd has lived twice, and its promises."""
    with tempfile.TemporaryDirectory(dir=scratch_place()) as scratch:
        disk = Path(scratch) / "disk"
        disk.mkdir()
        end = op.end_of_life(operations, 2)
        yield disk, rebuild(operations, Cut(end, Way.SYNCED), disk)


def migrate(disk: Path, inject: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> Recording:
    arguments = ["-m", "tests.crash.migrate", str(disk / STORE), *options]
    return record(arguments, disk, disk.with_name("trace"), inject=inject)


def put(operations: tuple[op.Operation, ...], fault: Fault) -> tuple[list[str], bool, tuple[str, ...]]:
    """Breaches, whether the fault came to pass, and which databases were found."""
    with old_store(operations) as (disk, start):
        model = Disk.load(disk)
        ended = migrate(disk, fault.injections, fault.options)
        met = ended.exit_code == -9 or any(call.injected for call in ended.calls)
        breaches = [] if ended.exit_code in (0, 1, -9) else [f"ended with {ended.exit_code}: {ended.errors}"]
        model.replay(ended.operations)
        kinds: list[str] = []
        for way in (None, Way.SYNCED, Way.ANY):
            place = disk.with_name("there")
            if way is None:
                shutil.copytree(disk, place)
            else:
                place.mkdir()
                model.cut(way, random.Random(0)).write(place)
            findings = check_migrated(place / STORE, start.promises)
            breaches += [f"{way}: {breach}" for breach in findings.breaches]
            kinds += findings.kind
            shutil.rmtree(place)
        return breaches, met, tuple(kinds)


@pytest.fixture(scope="module")
def migrated(workload: Recording) -> Recording:
    with old_store(workload.operations) as (disk, _):
        recording = migrate(disk)
    assert recording.exit_code == 0, recording.errors
    return recording


def test_a_cut_leaves_the_old_database_or_the_new_one(workload: Recording, migrated: Recording) -> None:
    began = time.monotonic()
    with old_store(workload.operations) as (_, start):
        swept = sweep_here(migrated.operations, start, DEPTHS[PROVE], measure=DEPTHS, check=check_migrated)
    short, full = (swept.measured[depth] for depth in DEPTHS)
    tried, breached = swept.states.total(), len(swept.breaches)
    name = "power cut in a migration"
    prove(Proof(name, swept.points, short, full, tried, breached, time.monotonic() - began))
    assert not swept.breaches, str(swept)
    assert swept.examples.keys() == {(OLD,), (NEW,)}


def test_a_migration_that_fails_leaves_the_old_database_of_use(
    workload: Recording, migrated: Recording
) -> None:
    began = time.monotonic()
    there = places(migrated)
    sample = of_each_kind(there, OF_A_KIND)
    in_short = [once(call, EFFECTS[number % len(EFFECTS)]) for number, call in enumerate(sample)]
    in_full = [once(call, effect) for call in there for effect in EFFECTS]
    faults = in_full if PROVE else in_short
    found = list(in_processes(put, [(workload.operations, fault) for fault in faults]))
    outcomes = zip(faults, found, strict=True)
    breached = [f"{fault}: {breaches}" for fault, (breaches, _, _) in outcomes if breaches]
    short, full = len(in_short), len(in_full)
    took_s = time.monotonic() - began
    prove(Proof("failed migration", len(there), short, full, len(faults), len(breached), took_s))
    assert not breached, "\n".join(breached[:10])
    assert all(met for _, met, _ in found)
    assert {kind for _, _, kinds in found for kind in kinds} == {OLD, NEW}


def test_promises_are_those_of_two_lives(workload: Recording) -> None:
    """Else a migration would have nothing to lose."""
    with old_store(workload.operations) as (_, start):
        promises: Promises = start.promises
        assert len(promises.recorded) > 5
        assert len(promises.settled) > 3
