"""The database is damaged, and the power goes at every point of its rebuild."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.crash import operations as op
from tests.crash.disk import Disk, Way
from tests.crash.pool import in_processes, scratch_place
from tests.crash.rebuilt import check_rebuilt, photographs
from tests.crash.recording import Recording, record
from tests.crash.sweep import STORE, Cut, Start, Swept, rebuild, sweep_here
from tests.figures import PROVE, tell

pytestmark = [pytest.mark.slow, pytest.mark.rig]

DRAWS = 3 if PROVE else 0


def zeros_first(data: bytes) -> bytes:
    return bytes(4096) + data[4096:]


def cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 4096]) + data[middle + 4096 :]


def _end_of_second_life(recording: Recording) -> int:
    """There are bursts in every state, and a backup that is older than some of them."""
    ends = [
        number
        for number, each in enumerate(recording.operations, 1)
        if isinstance(each, op.Said) and each.word["deed"] == "close"
    ]
    return ends[1]


def sweep_rebuild(recording: Recording, damage: Callable[[bytes], bytes], with_backup: bool) -> Swept:
    with tempfile.TemporaryDirectory(dir=scratch_place()) as scratch:
        disk = Path(scratch) / "disk"
        disk.mkdir()
        rebuild(recording.operations, Cut(_end_of_second_life(recording), Way.SYNCED), disk)
        database = disk / STORE / "trapd.db"
        for log in (disk / STORE).glob("trapd.db-*"):
            log.unlink()
        database.write_bytes(damage(database.read_bytes()))
        if not with_backup:
            (disk / STORE / "trapd.db.backup").unlink()
        damaged = hashlib.sha256(database.read_bytes()).hexdigest()
        check = partial(check_rebuilt, before=photographs(disk / STORE), damaged=damaged)
        start = Start(Disk.load(disk))
        restarted = record(["-m", "tests.crash.restart", str(disk / STORE)], disk, Path(scratch) / "trace")
        assert restarted.exit_code == 0, restarted.errors
        return sweep_here(restarted.operations, start, draws=DRAWS, check=check)


def test_nothing_but_what_the_database_alone_knew_is_lost(workload: Recording) -> None:
    cases = [(damage, backup) for damage in (zeros_first, cut_short, flipped) for backup in (True, False)]
    began = time.monotonic()
    jobs = [(workload, damage, backup) for damage, backup in cases]
    found = dict(zip(cases, in_processes(sweep_rebuild, jobs), strict=True))
    points = sum(swept.points for swept in found.values())
    states = sum(swept.states.total() for swept in found.values())
    breached = {case: swept for case, swept in found.items() if swept.breaches}
    tell(
        f"power cut during a rebuild: {len(cases)} damages, {points} points, {states} states,"
        f" {len(breached)} breached ({time.monotonic() - began:.0f} s)"
    )
    assert not breached, "\n".join(f"{case[0].__name__}, {case[1]}: {breached[case]}" for case in breached)
    assert points > 100 * len(cases)
