"""What must hold of a remote configuration after a crash, against what was said before it.

The unit starts; what it runs on is exactly what it was before the thing that was cut, or exactly what it was
to be after it; and processes that end again and again come to an end that is committed or rolled back.
"""

from __future__ import annotations

import copy
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.crash import operations as op
from tests.crash.checker import Findings, found_by
from tests.crash.disk import Disk, Way
from tests.crash.pool import PROCESSES, in_processes, scratch_place
from tests.crash.recording import Recording, record
from tests.crash.sweep import STORE, Depth, Start, Swept, happen_all, sweep_here
from tests.remote.common import ALL, Unit
from tests.remote.model import Model, breach
from trapd.config import load

_STARTS = 3


@dataclass
class Said:
    """All words so far: the model before and after what is under way, which a killed process leaves open."""

    models: list[Model] = field(default_factory=lambda: [Model()])
    after: list[Model] = field(default_factory=list)
    kept: int = 0
    counted: int = 0

    def take(self, word: dict[str, Any]) -> None:
        """One word more."""
        if word["tense"] == "did":
            self.models = self.after
            self.kept += 1
            return
        self.after = copy.deepcopy(self.models)
        for model in self.after:
            _move(model, word)
        self.models = [*self.models, *self.after]


def _move(model: Model, word: dict[str, Any]) -> None:
    match word["deed"]:
        case "start":
            model.start()
        case "desire":
            model.desire(word["asked"], True)
        case "watch":
            model.watch(ALL if word["seen"] else frozenset(), word["late"])
        case "confirm":
            model.confirm()
        case "go_back":
            model.go_back()


def check(root: Path, said: Said, *, process_only: bool = False) -> Findings:
    """Never raises: whatever is raised is what the unit would have met."""
    return found_by(lambda: _breaches(root, said))


def _breaches(root: Path, said: Said) -> list[str]:
    unit = Unit(root.parent, root=root)
    candidates = copy.deepcopy(said.models)
    for each in candidates:
        each.start()
    found = [breach(unit, each) for each in candidates]
    if all(found):
        return [f"neither as before ({found[0]}) nor as after ({found[-1]})"]
    model = candidates[found.index("")]
    for _ in range(_STARTS):
        if unit.began.loaded.hash != load(unit.path, model.docs[model.running]).hash:
            return [f"it runs on something that is not version {model.running}"]
        unit.start()
        model.start()
        if different := breach(unit, model):
            return [f"another start finds another thing: {different}"]
    if model.trial is not None or unit.report["phase"] == "trial":
        return ["the trial has no end"]
    return []


def recorded(*options: str) -> Recording:
    """A whole life under strace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    with tempfile.TemporaryDirectory(dir=scratch_place()) as scratch:
        recording = _record(Path(scratch), *options)
    assert recording.exit_code == 0, recording.errors
    return recording


def sweep(operations: Sequence[op.Operation], *, draws: int, most_breaches: int | None = None) -> Swept:
    """Cut at every point in turn."""
    swept = Swept()
    for share in in_processes(
        _share, [(tuple(operations), draws, most_breaches, n) for n in range(PROCESSES)]
    ):
        swept.add(share)
    return swept


def sweep_second(
    operations: Sequence[op.Operation], points: Sequence[int], *, draws: int, options: Sequence[str] = ()
) -> dict[int, Swept]:
    """Killed at each of these points, the process has a successor, whose start is cut everywhere."""
    jobs = [(tuple(operations), point, draws, options) for point in points]
    return dict(zip(points, in_processes(_second, jobs), strict=True))


def _record(place: Path, *options: str) -> Recording:
    folder = place / "disk"
    folder.mkdir(exist_ok=True)
    return record(["-m", "tests.remote.life", str(folder / STORE), *options], folder, place / "trace")


def _share(operations: Sequence[op.Operation], draws: int, most: int | None, number: int) -> Swept:
    start = Start(promises=Said())  # type: ignore[arg-type]  # words of its own
    share = (number, PROCESSES)
    return sweep_here(operations, start, Depth(draws), share=share, most_breaches=most, check=check)


def _second(operations: Sequence[op.Operation], point: int, draws: int, options: Sequence[str]) -> Swept:
    start = Start(Disk(), Said())  # type: ignore[arg-type]  # words of its own
    happen_all(start.disk, start.promises, operations[:point])
    with tempfile.TemporaryDirectory(dir=scratch_place()) as scratch:
        place = Path(scratch)
        (place / "disk").mkdir()
        start.disk.cut(Way.ALL, random.Random(point)).write(place / "disk")
        recording = _record(place, "--again", *options)
    assert recording.exit_code == 0, recording.errors
    return sweep_here(recording.operations, start, Depth(draws), check=check)
