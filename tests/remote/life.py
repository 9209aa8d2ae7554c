"""A life of remote configuration that the crash suite cuts short: trials kept, failed, confirmed, taken back.

`python -m tests.remote.life ROOT [--bug NAME] [--again]`. ROOT is storage.path; the local file lies beside
the folder that is recorded. Each thing is said before it is asked and after it was answered, as in
tests.crash.promises. `--again`: only a start, as after a crash. Nothing here is random.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.crash import bugs
from tests.crash.promises import say
from tests.remote.common import ALL, CONFIRM_S, Unit, document
from trapd.remote.files import COMMITTED, PREVIOUS, TRIAL, ConfigFiles
from trapd.remote.ledger import Ledger, Trial
from trapd.store.files.durable import sync_folder


def trial_removed_first() -> None:
    """A trial is removed before it is in force."""

    def promote(self: ConfigFiles, trial: Trial, ledger: Ledger) -> None:
        self._remove(TRIAL)
        self._write(COMMITTED, asdict(trial.overlay))
        self._write(PREVIOUS, asdict(trial.before))
        self.note(ledger)

    ConfigFiles.promote = promote  # type: ignore[method-assign]  # a bug on purpose


def found_names_trusted() -> None:
    """A name that is found is taken for durable."""
    ConfigFiles._make_names_durable = lambda self: None  # type: ignore[method-assign]  # a bug on purpose


BUGS: dict[str, Callable[[], None]] = {
    "no-file-sync": bugs.no_file_sync,
    "no-folder-sync": bugs.no_folder_sync,
    "trial-removed-first": trial_removed_first,
    "found-names-trusted": found_names_trusted,
}


class Life:
    """One unit, and a word before and after each thing that is asked of it."""

    def __init__(self, root: Path) -> None:
        say("will", "start")
        self.unit = Unit(root.parent.parent, root=root)
        say("did", "start")

    def _ask(self, deed: str, ask: Callable[[], object], **what: Any) -> None:
        say("will", deed, **what)
        ask()
        say("did", deed, **what)

    def start(self) -> None:
        """The process ends, and another begins."""
        self._ask("start", self.unit.start)

    def desire(self, version: int, **more: Any) -> None:
        """A document comes."""
        asked = document(version, **more)
        self._ask("desire", lambda: self.unit.desire(asked), asked=asked)

    def watch(self, *, seen: bool, after_s: float = 0.0) -> None:
        """One turn of Control."""
        late = after_s > CONFIRM_S
        self._ask(
            "watch", lambda: self.unit.watch(ALL if seen else frozenset(), after_s), seen=seen, late=late
        )

    def confirm(self) -> None:
        """The operator keeps it."""
        self._ask("confirm", lambda: self.unit.remote.confirm({}))

    def go_back(self, txn: str) -> None:
        """The operator takes it back."""
        self._ask("go_back", lambda: self.unit.remote.go_back(txn, ready=True))


def run(it: Life) -> None:
    """Every way that a trial can go."""
    it.desire(1)
    it.start()
    it.watch(seen=True)
    it.desire(2, confirm="operator")
    it.start()
    it.watch(seen=False, after_s=20.0)
    it.confirm()
    it.watch(seen=True)
    it.desire(3)
    for _ in range(3):
        it.start()
    it.desire(4)
    it.start()
    it.watch(seen=False, after_s=CONFIRM_S + 1)
    it.start()
    it.desire(2, txn="too old")
    it.go_back("b")
    it.start()
    it.watch(seen=True)
    it.go_back("c")
    it.start()
    it.go_back("d")
    it.start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--bug", choices=sorted(BUGS))
    parser.add_argument("--again", action="store_true")
    asked = parser.parse_args()
    asked.root.mkdir(exist_ok=True)
    sync_folder(asked.root.parent)  # the store has seen to that, before anybody can ask for anything
    logging.disable(logging.CRITICAL)  # it writes, where nothing else should
    if asked.bug:
        BUGS[asked.bug]()
    life = Life(asked.root)
    if not asked.again:
        run(life)


if __name__ == "__main__":
    main()
