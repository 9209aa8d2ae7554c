"""Faults put into system calls of the workload: the call does not happen and gives an error, or kills.

Each run goes on after the error as the daemon does, is recorded, and is checked as it lies there, and again
after power cuts behind some of its promises: what was promised in spite of a failed sync must be durable all
the same. After a kill a second process goes on first, with names and bytes that nobody has synced yet and
that it may take for durable.
"""

from __future__ import annotations

import logging
import random
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import operations as op
from tests.crash.checker import check
from tests.crash.disk import Disk, Way
from tests.crash.pool import in_processes, scratch_place
from tests.crash.promises import Promises
from tests.crash.recording import Call, Recording, record
from tests.crash.sweep import STORE, happen, happen_all

KILL = "signal=KILL"
_CHANGING = ("write", "pwrite64", "ftruncate", "link", "linkat", "rename", "renameat", "renameat2")
_FOLDERS = ("mkdir", "mkdirat", "rmdir", "unlink", "unlinkat")
_SYNCING = ("fsync", "fdatasync")
_GROWING = ("write", "pwrite64", "link", "linkat", "mkdir", "mkdirat")
_KILLED = -9
_CUTS = 8
_DIGITS = re.compile(r"[0-9a-f]{4}-\d+|\d+")


@dataclass(frozen=True, slots=True)
class Fault:
    """`injections`: as strace has them. `at`: the first call that they meet, for people."""

    at: str
    injections: tuple[str, ...]
    options: tuple[str, ...] = ()  # of the workload

    @property
    def kills(self) -> bool:
        """Whether the process is to die of it."""
        return any(KILL in injection for injection in self.injections)

    def __str__(self) -> str:
        return f"{', '.join(self.injections)} ({self.at})"


@dataclass(slots=True)
class Outcome:
    """`failures`: what the store refused, in its own words. `met`: the fault came to pass."""

    fault: Fault
    failures: list[str] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    met: bool = False

    def __str__(self) -> str:
        return "\n  ".join([str(self.fault), *self.failures[:2], *self.breaches[:4]])


def places(recording: Recording) -> list[Call]:
    """Where a fault can be put into a run without any: writes, syncs, changes of names, new files."""
    return [
        call
        for call in recording.calls
        if call.name in _CHANGING + _FOLDERS + _SYNCING or (call.name == "openat" and call.creates)
    ]


def of_each_kind(calls: Sequence[Call], most: int) -> list[Call]:
    """At most so many of each kind of place, evenly over the run. A kind: the call, the path's letters."""
    kinds: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        kinds.setdefault((call.name, _DIGITS.sub("0", call.path)), []).append(call)
    chosen = []
    for found in kinds.values():
        count = min(most, len(found))
        chosen += [found[number * len(found) // count] for number in range(count)]
    return chosen


def once(call: Call, effect: str) -> Fault:
    """This call alone. `effect`: an error's name, or KILL."""
    effect = effect if effect == KILL else f"error={effect}"
    return Fault(call.path, (f"{call.name}:{effect}:when={call.ordinal}",))


def disk_fills(recording: Recording, call: Call) -> Fault:
    """From this call on nothing may grow; what is there can be removed."""
    return Fault(call.path, tuple(_from(recording, call, _GROWING, "ENOSPC")))


def disk_dies(recording: Recording, call: Call) -> Fault:
    """From this call on the disk takes nothing any more, as a card that has worn out; it can be read."""
    refused = _from(recording, call, _CHANGING + _FOLDERS, "EROFS")
    return Fault(call.path, (*refused, *_from(recording, call, _SYNCING, "EIO")))


def sync_fails(recording: Recording, call: Call) -> Fault:
    """This sync fails, and then the process is killed: the next one finds what was never written."""
    later = recording.calls[recording.calls.index(call) :]
    written = next((each for each in later if each.name == "pwrite64"), None)
    killed = () if written is None else (f"pwrite64:{KILL}:when={written.ordinal}",)
    return Fault(call.path, (f"{call.name}:error=EIO:when={call.ordinal}", *killed))


def _from(recording: Recording, call: Call, names: Sequence[str], error: str) -> list[str]:
    """For each of these calls, an error from the first one on that does not come before `call`."""
    later = recording.calls[recording.calls.index(call) :]
    firsts = {name: next((each.ordinal for each in later if each.name == name), None) for name in names}
    return [f"{name}:error={error}:when={first}+" for name, first in firsts.items() if first is not None]


def put_each(faults: Sequence[Fault]) -> list[Outcome]:
    """One run of the workload for each fault."""
    return list(in_processes(_put, [(fault,) for fault in faults]))


def _put(fault: Fault) -> Outcome:
    logging.disable(logging.CRITICAL)
    outcome = Outcome(fault)
    with tempfile.TemporaryDirectory(dir=scratch_place()) as scratch:
        place, disk = Path(scratch), Disk()
        folder = place / "disk"
        folder.mkdir()
        recording = _run(fault, folder, place / "trace", fault.injections)
        outcome.met = recording.exit_code == _KILLED or any(call.injected for call in recording.calls)
        if recording.exit_code not in ((_KILLED, 0) if fault.kills else (0,)):
            last = recording.errors.strip().splitlines()[-1:]
            outcome.breaches.append(f"the process ended with {recording.exit_code}: {last}")
        said = list(recording.said)
        outcome.failures = Promises.of(said).failures
        outcome.breaches += _as_it_lies(folder, said, place / "copy")
        promises = Promises()
        if fault.kills:
            happen_all(disk, promises, recording.operations)
            recording = _run(fault, folder, place / "trace")
        outcome.breaches += _power_cuts(disk, promises, recording.operations, place)
    return outcome


def _run(fault: Fault, folder: Path, trace: Path, inject: Sequence[str] = ()) -> Recording:
    arguments = ["-m", "tests.crash.workload", str(folder / STORE), *fault.options]
    return record(arguments, folder, trace, inject=inject)


def _as_it_lies(folder: Path, said: list[str], copy: Path) -> list[str]:
    shutil.copytree(folder, copy)
    findings = check(copy / STORE, Promises.of(said), process_only=True)
    return [f"as it lay there: {breach}" for breach in findings.breaches]


def _power_cuts(disk: Disk, promises: Promises, operations: Sequence[op.Operation], place: Path) -> list[str]:
    """Cut behind some of what is promised, and at the end."""
    promised = [n for n, each in enumerate(operations) if isinstance(each, op.Said) and each.kept]
    points = {*promised[:: max(1, len(promised) // _CUTS)], len(operations) - 1}
    breaches = []
    for number, operation in enumerate(operations):
        happen(disk, promises, operation)
        for way in (Way.SYNCED, Way.ANY) if number in points else ():
            there = place / f"{number}-{way.name}"
            there.mkdir()
            disk.cut(way, random.Random(number)).write(there)
            found = check(there / STORE, promises).breaches
            breaches += [f"power cut after operation {number}, {way.name.lower()}: {each}" for each in found]
            shutil.rmtree(there)
    return breaches
