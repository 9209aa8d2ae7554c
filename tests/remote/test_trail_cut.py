"""Wherever the power goes: each attempt at control is exactly one record, and each begun command is answered.

The life in trail_life.py is recorded, cut at every point that changes the disk, and gone on with: the next
process starts, takes one turn, gets from the broker what was not acknowledged, and its trail is held against
what was said and what the files know.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.crash import operations as op
from tests.crash.checker import Findings, found_by
from tests.crash.disk import Way
from tests.crash.pool import PROCESSES, in_processes, scratch_place
from tests.crash.recording import Recording, record
from tests.crash.sweep import STORE, Depth, Start, Swept, sweep_here
from tests.figures import PROVE, tell
from tests.remote.common import Unit
from tests.remote.trail_life import BUGS, WAITED, Process
from trapd.remote.files import ConfigFiles

pytestmark = [pytest.mark.slow, pytest.mark.rig]

_NAME = re.compile(r'"txn": ?"([^"]+)"')
DEPTH = Depth(draws=2) if PROVE else Depth()


@dataclass
class Said:
    """The records that there must be; and the messages that the broker has, by their number."""

    messages: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    unacknowledged: set[int] = field(default_factory=set)
    due: list[tuple[str, str, int]] = field(default_factory=list)
    kept: int = 0
    counted: int = 0

    def take(self, word: dict[str, Any]) -> None:
        """One word more."""
        if word["tense"] == "came":
            self.messages[word["number"]] = (word["leaf"], word["payload"].encode())
            self.unacknowledged.add(word["number"])
            self.kept += 1
        elif word["tense"] == "acked":
            self.unacknowledged.discard(word["number"])
            self.kept += 1
        elif word["tense"] == "did":
            self.due += [(leaf, txn, code) for leaf, txn, code in word["records"]]
            self.kept += 1


def check(root: Path, said: Said, *, process_only: bool = False) -> Findings:
    """Never raises: whatever is raised is what the unit would have met."""
    return found_by(lambda: _breaches(root, said))


def _breaches(root: Path, said: Said) -> list[str]:
    root.mkdir(exist_ok=True)
    process = Process(Unit(root.parent, root=root))
    try:
        process.control.turn()
        for number in sorted(said.unacknowledged):
            process.hear(*said.messages[number], number, again=True)
        found = Counter((record["leaf"], record["txn"], record["code"]) for record in process.records())
        notes = [(note.leaf, note.txn or None, note.code) for note in ConfigFiles(root).ledger().notes]
        waits = WAITED in said.due and not any(which[:2] == WAITED[:2] and which != WAITED for which in found)
        begun = process.control.session.database.all("SELECT txn, command, answer FROM command")
    finally:
        process.end()
    if waits and not _is_considered(root):
        return ["a document that had to wait was not considered when the trial had ended"]
    breaches = [f"{number} records of {which}" for which, number in found.items() if number > 1]
    breaches += [f"no record of {which}, which was done" for which in said.due if not found[which]]
    names = {which[1] for which in found}
    for leaf, payload in said.messages.values():
        if (name := _NAME.search(payload.decode())) is None or name[1] not in names:
            breaches.append(f"no record of {payload.decode()} on {leaf}, which the broker had given")
    breaches += [f"no record of {which}, which the files know" for which in notes if not found[which]]
    for row in begun:
        of_it = [which for which in found if which[:2] == (row["command"], row["txn"])]
        if len(of_it) != 1 or row["answer"] is None:
            breaches.append(f"{row['command']} {row['txn']}: records {of_it}, answer {row['answer']}")
    return breaches


def _is_considered(root: Path) -> bool:
    """Whether what waits is, by one of the next processes; the trial before it ends by its starts."""
    for _ in range(4):
        process = Process(Unit(root.parent, root=root))
        try:
            process.look()
            records = process.records()
        finally:
            process.end()
        if any((record["txn"], record["code"]) == (WAITED[1], 202) for record in records):
            return True
    return False


def recorded(*options: str) -> Recording:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    with tempfile.TemporaryDirectory(dir=scratch_place()) as scratch:
        place = Path(scratch)
        (place / "disk").mkdir()
        arguments = ["-m", "tests.remote.trail_life", str(place / "disk" / STORE), *options]
        recording = record(arguments, place / "disk", place / "trace")
    assert recording.exit_code == 0, recording.errors
    return recording


def sweep(operations: Sequence[op.Operation], bug: str = "") -> Swept:
    """`bug`: the process that goes on has it too; a few breaches are enough then."""
    swept = Swept()
    for share in in_processes(_share, [(tuple(operations), bug, n) for n in range(PROCESSES)]):
        swept.add(share)
    return swept


def _share(operations: Sequence[op.Operation], bug: str, number: int) -> Swept:
    if bug:
        BUGS[bug]()
    most = 2 if bug else None
    start = Start(promises=Said())  # type: ignore[arg-type]  # words of its own
    share = (number, PROCESSES)
    return sweep_here(operations, start, DEPTH, share=share, most_breaches=most, check=check)


def test_each_attempt_is_one_record_wherever_the_power_goes() -> None:
    """`Way.ALL` is what kill -9 leaves, at each of the same points."""
    began = time.monotonic()
    swept = sweep(recorded().operations)
    tell(f"trail, power cut: {swept} ({time.monotonic() - began:.0f} s)")
    assert not swept.breaches, str(swept)
    assert swept.points > 200
    assert swept.states[Way.ALL] == swept.points


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_seeded_bug_is_found(bug: str) -> None:
    swept = sweep(recorded("--bug", bug).operations, bug)
    assert swept.breaches, str(swept)
