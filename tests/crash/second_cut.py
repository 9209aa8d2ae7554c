"""The power goes again while the store recovers from the first cut."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.crash import operations as op
from tests.crash.pool import in_processes, scratch_place
from tests.crash.recording import record
from tests.crash.sweep import SHALLOW, STORE, Cut, Depth, Swept, rebuild, sweep_here


def cut_recoveries(
    operations: Sequence[op.Operation],
    cuts: Sequence[Cut],
    depth: Depth = SHALLOW,
    *,
    measure: Sequence[Depth] = (),
    options: Sequence[str] = (),
) -> dict[Cut, Swept]:
    """Rebuild each of these crash states, record its recovery, and cut that at every point."""
    jobs = [(tuple(operations), cut, depth, measure, options) for cut in cuts]
    return dict(zip(cuts, in_processes(_cut_one, jobs), strict=True))


def _cut_one(
    operations: Sequence[op.Operation],
    cut: Cut,
    depth: Depth,
    measure: Sequence[Depth],
    options: Sequence[str],
) -> Swept:
    with tempfile.TemporaryDirectory(dir=scratch_place()) as scratch:
        disk = Path(scratch) / "disk"
        disk.mkdir()
        start = rebuild(operations, cut, disk)
        arguments = ["-m", "tests.crash.restart", str(disk / STORE), *options]
        recording = record(arguments, disk, Path(scratch) / "trace")
        if recording.exit_code != 0:
            swept = Swept()
            swept.breaches[cut] = [f"the first recovery ended with {recording.exit_code}: {recording.errors}"]
            return swept
        return sweep_here(recording.operations, start, depth, measure=measure)
