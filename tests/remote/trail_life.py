"""A life of attempts at control that the crash suite cuts short: each of them must become exactly one record.

`python -m tests.remote.trail_life ROOT [--bug NAME]`, as tests.remote.life. Each attempt is said before it is
made and after it was dealt with, with the records that it has to have by then: leaf, txn and code. So is each
message as the broker gives it, and when the broker is told that it may forget it.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.crash.promises import say
from tests.crash.workload import RESERVE_BYTES
from tests.remote.common import ALL, CONFIRM_S, Unit, document
from tests.stages.control_driver import ControlDriver
from tests.stages.driver import BASE, UNIT, Bench
from trapd.ports import Received
from trapd.stages.control import answering
from trapd.stages.control.desired import Desired, Untold
from trapd.stages.control.put_off import PutOff
from trapd.stages.control.stage import Control
from trapd.store import Store
from trapd.store.files.durable import sync_folder
from trapd.store.queue.obeyed import Obeyed
from trapd.store.room import reserve

DESIRED = "config/desired"
WAITS, WAITED = document(7), (DESIRED, "t7", 409)
"""Comes during a trial, and is considered when that has ended."""
PATCH, BACK = "cmd/config_patch", "cmd/config_rollback"


def notes_not_told() -> None:
    """What the configuration's files know is taken for recorded."""
    Desired.untold = lambda self, session: Untold((), frozenset())  # type: ignore[method-assign]  # a bug on purpose


def told_in_a_transaction_of_its_own() -> None:
    """That a note is recorded is written down behind its record."""
    right = Desired.report

    def report(self: Desired, session: Any) -> None:
        tell = session.obeyed.tell

        def apart(outgoing: Any, *lines: bytes, told: Any = None) -> None:
            tell(outgoing, *lines)
            tell((), told=told)

        session.obeyed.tell = apart
        try:
            right(self, session)
        finally:
            del session.obeyed.tell

    Desired.report = report  # type: ignore[method-assign]  # a bug on purpose


def the_dead_not_answered() -> None:
    """What a process left unanswered stays so."""
    answering.Answers.settle = lambda self, session: None  # type: ignore[method-assign]  # a bug on purpose


def acknowledged_before_it_is_noted() -> None:
    """The broker forgets a message as soon as it has arrived."""
    right = Control._hear

    def hear(self: Control, session: Any, message: Received) -> None:
        self._noted(message)
        right(self, session, message)

    Control._hear = hear  # type: ignore[method-assign]  # a bug on purpose


def what_waits_is_in_memory() -> None:
    """A document that has to wait is forgotten with the process."""
    PutOff.begin = lambda self, session, topic: None  # type: ignore[method-assign]  # a bug on purpose


def what_came_before_is_not_known() -> None:
    """A message that comes again is one more attempt."""
    Obeyed.heard = lambda self, message: False  # type: ignore[method-assign]  # a bug on purpose


BUGS: dict[str, Callable[[], None]] = {
    "notes-not-told": notes_not_told,
    "told-apart": told_in_a_transaction_of_its_own,
    "the-dead-not-answered": the_dead_not_answered,
    "acknowledged-before-noted": acknowledged_before_it_is_noted,
    "waits-in-memory": what_waits_is_in_memory,
    "not-known-again": what_came_before_is_not_known,
}


class Process:
    """One process of the unit: its configuration's files, its store, and Control between them."""

    def __init__(self, unit: Unit) -> None:
        reserve._BYTES = RESERVE_BYTES
        unit.start()
        self.unit = unit
        self.store = Store.open(unit.root, UNIT, clock=unit.clock, max_bytes=10**9, min_free_bytes=10**6)
        bench = SimpleNamespace(clock=unit.clock, store=self.store)
        self.control = ControlDriver(cast(Bench, bench), overlays=unit.remote)
        self.control.standing = frozenset()
        self.control.stage._noted = lambda message: say("acked", "message", number=message.number)
        self.control.stage._begin(self.control.session)

    def end(self) -> None:
        """As a kill would, but for the log, which SQLite may fold up."""
        self.control.close()
        self.store.close(clean=False)

    def hear(
        self, leaf: str, payload: bytes, number: int, *, again: bool = False, proved: bool = True
    ) -> None:
        """A message, on a link that has proved itself or not yet."""
        self.control.standing = ALL if proved else frozenset()
        message = Received(f"{BASE}/{leaf}", payload, retained=False, number=number, again=again)
        assert self.control.stage.offer(message)
        self.control.stage._turn(self.control.session, 0.0)
        self.control.standing = frozenset()

    def prove(self) -> None:
        """The trial's link is seen to be good."""
        self.control.echo = self.control.desired._probe
        self.control.standing = ALL
        self.control.stage._turn(self.control.session, 0.0)
        self.control.standing = frozenset()

    def look(self) -> None:
        """A turn on a link that has proved itself."""
        self.control.standing = ALL
        self.control.stage._turn(self.control.session, 0.0)
        self.control.standing = frozenset()

    def records(self) -> list[dict[str, Any]]:
        """The trail."""
        return [json.loads(line) for line in self.control.session.obeyed.trail(1000)]


class Life:
    """One unit; `make` says what it does."""

    def __init__(self, root: Path) -> None:
        self.process = Process(Unit(root.parent.parent, root=root))
        self._messages = 0

    def make(self, deed: Callable[[], None], *records: tuple[str, str, int]) -> None:
        """One attempt."""
        say("will", "attempt", records=records)
        deed()
        say("did", "attempt", records=records)

    def hear(self, leaf: str, what: dict[str, Any] | bytes, *, proved: bool = True) -> Callable[[], None]:
        """A message comes."""
        payload = what if isinstance(what, bytes) else json.dumps(what).encode()
        self._messages += 1
        number = self._messages

        def come() -> None:
            say("came", "message", number=number, leaf=leaf, payload=payload.decode())
            self.process.hear(leaf, payload, number, proved=proved)

        return come

    def begin_anew(self) -> None:
        """The next process."""
        self.process.end()
        self.process = Process(self.process.unit)

    def prove(self) -> None:
        """The next process, whose trial is good."""
        self.begin_anew()
        self.process.prove()

    def crash(self) -> None:
        """Three processes that never prove themselves."""
        for _ in range(3):
            self.begin_anew()

    def look(self) -> None:
        """On a link that has proved itself."""
        self.process.look()

    def run_out(self) -> None:
        """A process whose link never comes, and the next."""
        self.begin_anew()
        self.process.unit.clock.advance(CONFIRM_S + 1)
        self.process.control.turn()
        self.begin_anew()


def run(it: Life) -> None:
    """Every kind of attempt, and every end of a trial."""
    it.make(it.hear("cmd/ping", {"txn": "ping"}), ("cmd/ping", "ping", 200))
    it.make(it.hear(DESIRED, document(1)), (DESIRED, "t1", 202))
    it.make(it.prove, (DESIRED, "t1", 200))
    patch = {"base": 1, "version": 2, "patch": {"heartbeat_s": 77}}
    it.make(it.hear(PATCH, {"txn": "p", "args": patch}), (PATCH, "p", 202))
    it.make(it.crash, (DESIRED, "p", 500))
    it.make(it.hear(DESIRED, document(3, {"burst": {"frames": 0}})), (DESIRED, "t3", 400))
    it.make(it.hear(DESIRED, b'{"v":1,"version":3,"txn":"broken"'), (DESIRED, "broken", 400))
    it.make(it.hear(DESIRED, document(4)), (DESIRED, "t4", 202))
    it.make(it.run_out, (DESIRED, "t4", 500))
    it.make(it.hear(DESIRED, document(5)), (DESIRED, "t5", 202))
    it.begin_anew()
    it.make(it.hear(BACK, {"txn": "back"}), (BACK, "back", 200))
    it.begin_anew()
    it.make(it.hear(DESIRED, document(6)), (DESIRED, "t6", 202))
    it.begin_anew()
    it.make(it.hear(DESIRED, WAITS, proved=False), WAITED)
    it.make(it.crash, (DESIRED, "t6", 500))
    it.make(it.look, (DESIRED, "t7", 202))
    it.make(it.prove, (DESIRED, "t7", 200))
    it.make(it.hear("cmd/disarm", {"txn": "off"}), ("cmd/disarm", "off", 200))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--bug", choices=sorted(BUGS))
    asked = parser.parse_args()
    asked.root.mkdir(exist_ok=True)
    sync_folder(asked.root.parent)  # the store has seen to that, before anybody can ask for anything
    logging.disable(logging.CRITICAL)  # it writes, where nothing else should
    if asked.bug:
        BUGS[asked.bug]()
    run(Life(asked.root))


if __name__ == "__main__":
    main()
