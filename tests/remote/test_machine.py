"""Whatever is asked of a unit in whatever order, killed half-way or not, it is as a simple model says."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.remote.common import ALL, CONFIRM_S, LOCAL, Unit, document
from tests.remote.killing import killed_at
from trapd.config import load
from trapd.records import Considered
from trapd.remote.proposal import hash_of

CLASHING = {"indicator": {"led_pin": 5}}  # with a local file that has the sensor there
LOCALS = (LOCAL, {**LOCAL, "sensor": {"pins": [5]}}, {**LOCAL, "heartbeat_s": 77})
SEEN = (ALL, ALL - {"probe"}, frozenset())
KILLS = st.none() | st.tuples(st.integers(0, 20), st.booleans())


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


class RemoteMachine(RuleBasedStateMachine):
    """Ask, start, see, wait, edit the local file; any of it may end the process in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="trapd-remote-"))
        self.unit = Unit(self.folder)
        self.model = Model()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def do(
        self, really: Callable[[], Any], model: Callable[[Model], Any], kill: tuple[int, bool] | None
    ) -> None:
        """The same of both; after a kill, the next process finds it done or not done, and nothing between."""
        old, new = self.model, copy.deepcopy(self.model)
        expected = model(new)
        if kill is None:
            assert self.code(really()) == expected
            self.model = new
            return
        with killed_at(kill[0], behind=kill[1]) as was_killed:
            assert self.code(really()) == expected
            self.model = new
        if was_killed():
            candidates = [copy.deepcopy(old), new]
            for each in candidates:
                each.start()
            self.unit.start()
            self.model = next((each for each in candidates if self.breach(each) == ""), candidates[0])

    @staticmethod
    def code(answer: Any) -> int | None:
        return answer.code if isinstance(answer, Considered) else answer

    @rule(
        step=st.integers(-2, 3),
        doc=st.sampled_from([None, {}, CLASHING]),
        operator=st.booleans(),
        ready=st.sampled_from([True, True, True, False]),
        kill=KILLS,
    )
    def desire(self, step: int, doc: Any, operator: bool, ready: bool, kill: Any) -> None:
        version = max(1, self.model.stored + step)
        asked = document(version, doc, **({"confirm": "operator"} if operator else {}))
        self.do(lambda: self.unit.desire(asked, ready=ready), lambda model: model.desire(asked, ready), kill)

    @rule(seen=st.sampled_from(SEEN), late=st.booleans(), kill=KILLS)
    def watch(self, seen: frozenset[str], late: bool, kill: Any) -> None:
        after_s = CONFIRM_S + 1 if late else 0.0
        self.do(lambda: self.unit.watch(seen, after_s), lambda model: model.watch(seen, late), kill)

    @rule(kill=KILLS)
    def confirm(self, kill: Any) -> None:
        self.do(lambda: self.unit.remote.confirm({}), lambda model: model.confirm(), kill)

    @rule(txn=st.uuids(), kill=KILLS)
    def go_back(self, txn: object, kill: Any) -> None:
        self.do(lambda: self.unit.remote.go_back(str(txn), ready=True), lambda model: model.go_back(), kill)

    @rule(local=st.sampled_from(range(len(LOCALS))), kill=KILLS)
    def start(self, local: int, kill: Any) -> None:
        """Somebody may have edited the local file before."""
        self.unit.edit(LOCALS[local])
        self.model.local = local

        def really() -> None:
            self.unit.start()

        self.do(really, lambda model: model.start(), kill)

    @precondition(lambda self: self.model.restarting)
    @rule(kill=KILLS)
    def restart(self, kill: Any) -> None:
        """As it was asked to."""
        self.start(self.model.local, kill)

    @precondition(lambda self: self.model.on_trial)
    @rule(kill=st.tuples(st.integers(0, 12), st.booleans()))
    def prove_itself_and_be_killed(self, kill: tuple[int, bool]) -> None:
        self.watch(ALL, False, kill)

    @rule()
    def come_to_an_end(self) -> None:
        """Left alone, with a process that ends again and again, no trial lasts."""
        for _ in range(3):
            self.start(self.model.local, None)
        assert self.unit.began.trial is None
        assert self.unit.report["phase"] != "trial"

    def breach(self, model: Model) -> str:
        """What is not as the model has it; empty where all is."""
        files, report = self.unit.began.files, self.unit.report
        ledger, trial = files.ledger(), files.trial()
        found = {
            "in force": (report["version"], model.running),
            "committed": (files.committed().version, model.committed),
            "previous": (files.previous().version, model.previous),
            "trial": (trial and (trial.overlay.version, trial.starts, trial.confirmed),
                      None if model.trial is None else (model.trial, model.starts, model.confirmed)),
            "on trial": (self.unit.remote.on_trial, model.on_trial),
            "stored": (ledger.stored_version, model.stored),
            "failed": (set(ledger.quarantined), model.failed),
            "phase": (report["phase"], model.phase),
            "last": (ledger.last and (ledger.last.version, ledger.last.code), model.last),
        }  # fmt: skip
        return "; ".join(
            f"{name}: {is_} and not {said}" for name, (is_, said) in found.items() if is_ != said
        )

    @invariant()
    def it_is_the_model(self) -> None:
        assert self.breach(self.model) == ""

    @invariant()
    def what_is_in_force_is_one_document_over_the_local_file_and_no_mixture(self) -> None:
        began = self.unit.began
        doc = self.model.docs[began.overlay.version]
        assert began.overlay.doc == doc
        if not self.model.restarting:
            assert began.loaded.hash == load(self.unit.path, doc).hash


TestRemote = RemoteMachine.TestCase
TestRemote.settings = settings(stateful_step_count=30)
