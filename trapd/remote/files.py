"""The files below `config/`: what is in force, what was before, what is on trial, what was attempted.

Each is written whole or not at all, and holds its own checksum: one that a bad card has damaged counts as not
there. Main thread before the stages run, Control's thread while they do.

A step of a trial has one line at which it happens. Cut before it the old state holds, behind it the new one,
and start-up finishes what is left:

begin      trial.json is named               (behind: the ledger is noted by the next start)
promote    committed.json is replaced        (behind: trial.json is of the same document, and is removed)
roll back  the ledger names it quarantined   (behind: trial.json is of that version, and is removed)
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from trapd.errors import Fault
from trapd.remote.ledger import Attempt, Ledger, Overlay, Trial
from trapd.store import durable

log = logging.getLogger("trapd.remote")

FOLDER = "config"
COMMITTED, PREVIOUS, TRIAL, LEDGER = "committed.json", "previous.json", "trial.json", "attempts.json"
_MODE = 0o640


class ConfigFiles:
    """Below `root`, which is storage.path. Raises StoreFull, StoreError where the disk refuses."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER
        self._folders = durable.Folders()

    # --- reading -----------------------------------------------------------------------------------------

    def committed(self) -> Overlay:
        """What is in force; the one before where that is damaged; none where there is none."""
        for name in (COMMITTED, PREVIOUS):
            found = self._read(name)
            if found is not None and (overlay := _overlay(found)) is not None:
                return overlay
            if name == COMMITTED and not (self._folder / COMMITTED).exists():
                return Overlay()
        return Overlay()

    def previous(self) -> Overlay:
        """What was in force before."""
        found = self._read(PREVIOUS)
        return (_overlay(found) if found is not None else None) or Overlay()

    def trial(self) -> Trial | None:
        """What is on trial."""
        found = self._read(TRIAL)
        return None if found is None else _trial(found)

    def ledger(self) -> Ledger:
        """What was attempted."""
        found = self._read(LEDGER)
        return (_ledger(found) if found is not None else None) or Ledger()

    # --- steps -------------------------------------------------------------------------------------------

    def note(self, ledger: Ledger) -> None:
        """Remember an attempt."""
        self._write(LEDGER, asdict(ledger))

    def begin(self, trial: Trial, ledger: Ledger) -> None:
        """A trial begins with the next start."""
        self._write(TRIAL, asdict(trial))
        self.note(ledger)

    def update(self, trial: Trial) -> None:
        """Another start, more seconds, the operator's word."""
        self._write(TRIAL, asdict(trial))

    def promote(self, trial: Trial, ledger: Ledger) -> None:
        """It has proved itself: from now on it is in force."""
        self._write(PREVIOUS, asdict(self.committed()))
        self._write(COMMITTED, asdict(trial.overlay))
        self.note(ledger)
        self._remove(TRIAL)

    def roll_back(self, ledger: Ledger) -> None:
        """It has not: what is in force stays so. `ledger` has its version among the quarantined."""
        self.note(ledger)
        self._remove(TRIAL)

    def settle(self) -> Trial | None:
        """At start: finish a step that was cut, and give the trial that goes on, if any."""
        trial, ledger = self.trial(), self.ledger()
        if trial is None:
            self._remove(TRIAL)  # or what is left of one
            return None
        overlay = trial.overlay
        if overlay == self.committed():
            attempt = Attempt(overlay.version, trial.txn, 200, trial.returns_to, overlay.hash)
            self.note(ledger.noted(attempt))
            self._remove(TRIAL)
            return None
        if overlay.version in ledger.quarantined:
            self._remove(TRIAL)
            return None
        if ledger.last is None or ledger.last.hash != overlay.hash or ledger.last.phase != "trial":
            self.note(ledger.began(Attempt(overlay.version, trial.txn, 202, "trial", overlay.hash)))
        return trial

    # --- the disk ----------------------------------------------------------------------------------------

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            held = json.loads((self._folder / name).read_bytes())
            content = held["content"]
            if not isinstance(content, dict) or held["sha256"] != _sum(content):
                raise ValueError("its checksum is another")  # noqa: TRY301 - all damage is told in one place
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            log.error("%s/%s cannot be used and counts as not there: %s", FOLDER, name, error)
            return None
        return content

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        """Whole or not at all; two syncs. Cut before the rename: the old one, and a temporary file."""
        text = json.dumps({"sha256": _sum(content), "content": content}, indent=1, sort_keys=True)
        temp = self._folder / f"{name}.new"
        with durable.disk_errors(f"write {FOLDER}/{name}"):
            self._folders.make(self._folder)
            with suppress(FileNotFoundError):
                temp.unlink()
            durable.write_new(temp, text.encode())
            temp.replace(self._folder / name)
            durable.sync_folder(self._folder)

    def _remove(self, name: str) -> None:
        with durable.disk_errors(f"remove {FOLDER}/{name}"):
            try:
                os.unlink(self._folder / name)  # noqa: PTH108 - one call, for who counts them
            except (FileNotFoundError, NotADirectoryError):
                return
            durable.sync_folder(self._folder)


def _sum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _overlay(found: Mapping[str, Any]) -> Overlay | None:
    try:
        return Overlay(int(found["version"]), dict(found["doc"]), str(found["hash"]))
    except (KeyError, TypeError, ValueError):
        return None


def _trial(found: Mapping[str, Any]) -> Trial | None:
    try:
        made = Trial(**{**found, "needs": tuple(found["needs"])})
        overlay = _overlay(found["overlay"])
    except (KeyError, TypeError, ValueError):
        return None
    return None if overlay is None else replace(made, overlay=overlay)


def _ledger(found: Mapping[str, Any]) -> Ledger | None:
    try:
        last = found["last"]
        attempt = None if last is None else Attempt(**{**last, "errors": _faults(last["errors"])})
        return Ledger(int(found["stored_version"]), attempt, tuple(map(int, found["quarantined"])))
    except (KeyError, TypeError, ValueError):
        return None


def _faults(found: list[Mapping[str, str]]) -> tuple[Fault, ...]:
    return tuple(Fault(fault["path"], fault["message"], fault["hint"]) for fault in found)
