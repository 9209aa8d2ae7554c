"""Whatever is asked of a unit in whatever order, killed half-way or not, it is as a simple model says."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.machines import walk
from tests.remote.common import ALL, CONFIRM_S, LOCAL, Unit, document
from tests.remote.killing import killed_at
from tests.remote.model import CLASHING, Model, breach
from trapd.config import load
from trapd.records import Considered

LOCALS = (LOCAL, {**LOCAL, "sensor": {"pins": [5]}}, {**LOCAL, "heartbeat_s": 77})
SEEN: tuple[frozenset[str], ...] = (ALL, ALL - {"probe"}, frozenset())
KILLS = st.none() | st.tuples(st.integers(0, 20), st.booleans())


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
            self.model = next((each for each in candidates if breach(self.unit, each) == ""), candidates[0])

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

    @invariant()
    def it_is_the_model(self) -> None:
        assert breach(self.unit, self.model) == ""

    @invariant()
    def what_is_in_force_is_one_document_over_the_local_file_and_no_mixture(self) -> None:
        began = self.unit.began
        doc = self.model.docs[began.overlay.version]
        assert began.overlay.doc == doc
        if not self.model.restarting:
            assert began.loaded.hash == load(self.unit.path, doc).hash


def test_whatever_is_asked_in_whatever_order() -> None:
    walk(RemoteMachine, "remote configuration", steps=30)
