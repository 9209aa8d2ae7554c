"""What a unit's remote configuration is said to be: a few numbers, moved by each thing that is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.remote.common import ALL, Unit
from trapd.remote.proposal import hash_of

CLASHING = {"indicator": {"led_pin": 5}}  # with a local file that has the sensor there


@dataclass
class Model:
    """Versions; 0 is the local file alone. `running`: of the process. `trial`: what trial.json would say."""

    docs: dict[int, dict[str, Any]] = field(default_factory=lambda: {0: {}})
    hashes: dict[int, str] = field(default_factory=lambda: {0: ""})
    local: int = 0
    committed: int = 0
    previous: int = 0
    stored: int = 0
    failed: set[int] = field(default_factory=set)
    trial: int | None = None
    before: int = 0
    starts: int = 0
    operator: bool = False
    confirmed: bool = False
    way_back: bool = False
    running: int = 0
    on_trial: bool = False
    restarting: bool = False
    last: tuple[int, int] | None = None
    last_hash: str = ""
    phase: str = "local"

    def fits(self, version: int) -> bool:
        return not (self.local == 1 and self.docs[version] == CLASHING)

    def note(self, version: int, code: int, phase: str, hash_: str) -> None:
        self.last, self.phase, self.last_hash = (version, code), phase, hash_

    def roll_back(self) -> None:
        assert self.trial is not None
        self.failed.add(self.trial)
        self.note(self.trial, 500, "rolled_back", self.trial_hash())
        self.running, self.trial, self.on_trial = self.before, None, False

    def trial_hash(self) -> str:
        assert self.trial is not None
        return self.hashes[self.before if self.way_back else self.trial]

    def start(self) -> None:
        self.restarting = self.on_trial = False
        if self.trial is not None:
            self.starts += 1
            if self.starts <= 2 and self.fits(self.trial):
                self.running, self.on_trial = self.trial, True
                return
            self.roll_back()
        chain = (self.committed, self.previous) if self.committed and self.previous else (self.committed,)
        self.running = next((version for version in chain if self.fits(version)), 0)

    def begin(self, version: int, *, operator: bool, way_back: bool) -> None:
        self.trial, self.before, self.starts, self.confirmed = version, self.running, 0, False
        self.operator, self.way_back, self.restarting = operator, way_back, True
        self.stored = max(self.stored, version)
        self.failed.discard(version)
        self.note(version, 202, "trial", self.trial_hash())

    def desire(self, asked: dict[str, Any], ready: bool) -> int | None:
        version, hash_ = asked["version"], hash_of(asked)
        if self.last is not None and hash_ == self.last_hash:
            return None
        if self.on_trial or self.restarting:
            return 409
        clashes = self.local == 1 and asked["doc"] == CLASHING
        code = 423 if version in self.failed else 409 if version <= self.stored else 400 if clashes else 202
        if code != 202:
            self.note(version, code, "rejected", hash_)
        elif not ready:
            return 0
        else:
            self.docs[version], self.hashes[version] = asked["doc"], hash_
            self.begin(version, operator=asked.get("confirm") == "operator", way_back=False)
        return code

    def watch(self, seen: frozenset[str], late: bool) -> int | None:
        if not self.on_trial or self.trial is None:
            return None
        if seen == ALL and (self.confirmed or not self.operator):
            self.committed, self.previous = self.trial, self.before
            self.note(self.trial, 200, "rolled_back" if self.way_back else "committed", self.trial_hash())
            self.trial, self.on_trial = None, False
            return 200
        if not late:
            return None
        self.roll_back()
        self.restarting = True
        return 500

    def confirm(self) -> int:
        if not self.on_trial:
            return 409
        self.confirmed = True
        return 200

    def go_back(self) -> int:
        if self.on_trial:
            self.roll_back()
            self.restarting = True
            return 200
        if self.restarting or self.running in (0, self.previous):
            return 409
        if self.previous and self.previous in self.failed:
            return 423
        if not self.fits(self.previous):
            self.note(self.previous, 400, "rejected", self.hashes[self.previous])
            return 400
        self.begin(self.previous, operator=False, way_back=True)
        return 202


def breach(unit: Unit, model: Model) -> str:
    """What is not as the model has it; empty where all is."""
    files, report = unit.began.files, unit.report
    ledger, trial = files.ledger(), files.trial()
    found = {
        "in force": (report["version"], model.running),
        "committed": (files.committed().version, model.committed),
        "previous": (files.previous().version, model.previous),
        "trial": (trial and (trial.overlay.version, trial.starts, trial.confirmed),
                  None if model.trial is None else (model.trial, model.starts, model.confirmed)),
        "on trial": (unit.remote.on_trial, model.on_trial),
        "stored": (ledger.stored_version, model.stored),
        "failed": (set(ledger.quarantined), model.failed),
        "phase": (report["phase"], model.phase),
        "last": (ledger.last and (ledger.last.version, ledger.last.code), model.last),
        "document": (ledger.last.hash if ledger.last else "", model.last_hash),
    }  # fmt: skip
    return "; ".join(f"{name}: {is_} and not {said}" for name, (is_, said) in found.items() if is_ != said)
