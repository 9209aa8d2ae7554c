"""The database is damaged, and the power goes at every point of its rebuild."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.crash import operations as op
from tests.crash.disk import Disk, Way
from tests.crash.pool import in_processes, scratch_place
from tests.crash.rebuilt import check_rebuilt, photographs
from tests.crash.recording import Recording, record
from tests.crash.sweep import STORE, Cut, Depth, Start, Swept, rebuild, sweep_here
from tests.figures import PROVE, Proof, prove

pytestmark = [pytest.mark.slow, pytest.mark.rig]

DEPTHS = (Depth(every=2), Depth(draws=3))


def zeros_first(data: bytes) -> bytes:
    return bytes(4096) + data[4096:]


def cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 4096]) + data[middle + 4096 :]


def sweep_rebuild(
    recording: Recording,
    damage: Callable[[bytes], bytes],
    with_backup: bool,
    depth: Depth = DEPTHS[PROVE],
    options: Sequence[str] = (),
) -> Swept:
    with tempfile.TemporaryDirectory(dir=scratch_place()) as scratch:
        disk = Path(scratch) / "disk"
        disk.mkdir()
        # There are bursts in every state, and a backup that is older than some of them.
        end = op.end_of_life(recording.operations, 2)
        rebuild(recording.operations, Cut(end, Way.SYNCED), disk)
        database = disk / STORE / "trapd.db"
        for log in (disk / STORE).glob("trapd.db-*"):
            log.unlink()
        database.write_bytes(damage(database.read_bytes()))
        if not with_backup:
            (disk / STORE / "trapd.db.backup").unlink()
        damaged = hashlib.sha256(database.read_bytes()).hexdigest()
        check = partial(check_rebuilt, before=photographs(disk / STORE), damaged=damaged)
        start = Start(Disk.load(disk))
        arguments = ["-m", "tests.crash.restart", str(disk / STORE), *options]
        restarted = record(arguments, disk, Path(scratch) / "trace")
        assert restarted.exit_code == 0, restarted.errors
        return sweep_here(restarted.operations, start, depth, measure=DEPTHS, check=check)


def test_nothing_but_what_the_database_alone_knew_is_lost(workload: Recording) -> None:
    cases = [(damage, backup) for damage in (zeros_first, cut_short, flipped) for backup in (True, False)]
    began = time.monotonic()
    jobs = [(workload, damage, backup) for damage, backup in cases]
    found = dict(zip(cases, in_processes(sweep_rebuild, jobs), strict=True))
    points = sum(swept.points for swept in found.values())
    states = sum(swept.states.total() for swept in found.values())
    breached = {case: swept for case, swept in found.items() if swept.breaches}
    short, full = (sum(swept.measured[depth] for swept in found.values()) for depth in DEPTHS)
    breaches = sum(len(swept.breaches) for swept in breached.values())
    name = f"power cut in a rebuild, {len(cases)} damages"
    prove(Proof(name, points, short, full, states, breaches, time.monotonic() - began))
    assert not breached, "\n".join(f"{case[0].__name__}, {case[1]}: {breached[case]}" for case in breached)
    assert points > 100 * len(cases)
