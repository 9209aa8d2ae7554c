"""The files below `config/`: what is in force, what was before, what is on trial, what was attempted.

Each is written whole or not at all, and holds its own checksum: one that a bad card has damaged counts as
damaged, whatever stands in it. What stands in the way of a file is moved aside. Main thread before the stages
run, Control's thread while they do.

A step of a trial has one line at which it happens. Cut before it the old state holds, behind it the new one,
and start-up finishes what is left:

begin      trial.json is named               (behind: the ledger is noted by the next start)
promote    committed.json is replaced        (behind: trial.json is of that document; the rest is done again)
roll back  the ledger names it quarantined   (behind: trial.json is of that version, and is removed)
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from trapd.errors import Fault, StoreError, TrapdError
from trapd.frozen import asdict, replace
from trapd.remote import stored
from trapd.remote.ledger import Ledger, Overlay, Trial, keys_named
from trapd.store.files import durable
from trapd.wire.authority import OK, ON_TRIAL, ROLLED_BACK

log = logging.getLogger("trapd.remote")

FOLDER = "config"
COMMITTED, PREVIOUS, TRIAL, LEDGER = "committed.json", "previous.json", "trial.json", "attempts.json"
_MOST_BYTES = 4_000_000  # ten times the largest that is written
_ASIDE = ".set-aside"

Value = TypeVar("Value")


class Damaged(TrapdError):
    """A file is there and cannot be used."""


class ConfigFiles:
    """Below `root`, which is storage.path. Its steps raise StoreFull, StoreError where the disk refuses."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER
        self._folders = durable.Folders()
        self._said = ""

    # --- reading: nothing here raises anything but Damaged ----------------------------------------------

    def committed(self) -> Overlay:
        """What is in force; version 0 where nothing was ever committed. Raises Damaged."""
        found = self._read(COMMITTED, stored.overlay)
        # The first promotion makes both: without its companion it did not go missing by itself.
        if found is None and self._previous_is_there():
            raise Damaged(f"{FOLDER}/{COMMITTED} is gone")
        return found or Overlay()

    def previous(self) -> Overlay:
        """What was in force before; version 0 where nothing was. Raises Damaged."""
        return self._read(PREVIOUS, stored.overlay) or Overlay()

    def trial(self) -> Trial | None:
        """What is on trial. Raises Damaged."""
        return self._read(TRIAL, stored.trial)

    def ledger(self) -> Ledger:
        """What was attempted. Where it is damaged, no more is forgotten than what no other file tells."""
        with suppress(Damaged):
            found = self._read(LEDGER, stored.ledger)
            if found is not None:
                return found
        overlays = [Overlay()]
        for name in (PREVIOUS, COMMITTED):
            with suppress(Damaged):
                overlays.append(self._read(name, stored.overlay) or Overlay())
        return Ledger(
            stored_version=max(overlay.version for overlay in overlays),
            known=tuple(overlay.hash for overlay in overlays if overlay.hash),
            keys=keys_named(overlays[-1].doc),
        )

    def keys(self) -> tuple[str, ...] | None:
        """The keys that the document in force names as trusted; empty: it names none. None: nobody knows any
        more, for what would tell is damaged.
        """
        with suppress(Damaged):
            return keys_named(self.committed().doc)
        with suppress(Damaged):
            found = self._read(LEDGER, stored.ledger)
            return None if found is None else found.keys
        return None

    # --- steps -------------------------------------------------------------------------------------------

    def note(self, ledger: Ledger) -> None:
        """Remember an attempt."""
        self._write(LEDGER, asdict(ledger))

    def begin(self, trial: Trial, ledger: Ledger) -> None:
        """A trial begins with the next start. Where this raises, none does, if the disk can be tidied."""
        try:
            self._write(TRIAL, asdict(trial))
            self.note(ledger)
        except StoreError:
            with suppress(StoreError):
                self._remove(TRIAL)
            raise

    def update(self, trial: Trial) -> None:
        """Another start, more seconds, the operator's word."""
        self._write(TRIAL, asdict(trial))

    def promote(self, trial: Trial, ledger: Ledger) -> None:
        """It has proved itself: from now on it is in force. May be called again after an error."""
        self._write(COMMITTED, asdict(trial.overlay))
        self._write(PREVIOUS, asdict(trial.before))
        self.note(ledger)
        self._remove(TRIAL)

    def roll_back(self, trial: Trial, ledger: Ledger) -> None:
        """It has not: what was in force stays so. `ledger` has its version among the quarantined."""
        if self._is_committed(trial):  # a promotion that the disk refused half-way
            self._write(COMMITTED, asdict(trial.before))
        self.note(ledger)
        self._remove(TRIAL)

    def settle(self) -> Trial | None:
        """At start: finish a step that was cut, and give the trial that goes on, if any."""
        ledger = self._with_keys(self.ledger())
        try:
            trial = self.trial()
        except Damaged:
            trial = None
        if trial is None:
            self._settle_lost(ledger)
            return None
        self._make_names_durable()
        if self._is_committed(trial):
            self.promote(trial, kept(ledger, trial))
            return None
        if trial.overlay.version in ledger.quarantined:
            self._remove(TRIAL)
            return None
        last = ledger.last
        if last is None or (last.version, last.txn, last.phase) != (
            trial.overlay.version,
            trial.txn,
            "trial",
        ):
            self.note(ledger.began(trial.attempt(ON_TRIAL, "trial"), trial.by))
        return trial

    def _with_keys(self, ledger: Ledger) -> Ledger:
        """The ledger knows the keys of the document in force; that of an older trapd is told."""
        with suppress(Damaged):
            keys = keys_named(self.committed().doc)
            if keys != ledger.keys:
                ledger = replace(ledger, keys=keys)
                self.note(ledger)
        return ledger

    def _settle_lost(self, ledger: Ledger) -> None:
        """There is no trial that could be read. If the ledger knows of one, it ends here."""
        last = ledger.last
        if last is not None and last.phase == "trial":
            in_force = None
            with suppress(Damaged):
                in_force = self.committed().version
            if last.version == in_force:
                self.note(ledger.noted(replace(last, code=OK, phase="committed")))
            else:
                fault = Fault(
                    "", f"{FOLDER}/{TRIAL} was damaged or lost on the card", "send it with a new version"
                )
                self.note(
                    ledger.failed(replace(last, code=ROLLED_BACK, phase="rolled_back", errors=(fault,)))
                )
        self._remove(TRIAL)

    def _make_names_durable(self) -> None:
        """A killed process may have given names that no sync has seen; what is noted of them must not outlast
        them.
        """
        with durable.disk_errors(f"sync {FOLDER}"):
            durable.sync_folder(self._folder)

    def _is_committed(self, trial: Trial) -> bool:
        with suppress(Damaged):
            return self._read(COMMITTED, stored.overlay) == trial.overlay
        return False

    # --- the disk ----------------------------------------------------------------------------------------

    def _previous_is_there(self) -> bool:
        try:
            return self._read(PREVIOUS, stored.overlay) is not None
        except Damaged:
            return True

    def _read(self, name: str, made: Callable[[object], Value]) -> Value | None:
        """None where there is no such file."""
        try:
            with (self._folder / name).open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
            held = json.loads(content[:_MOST_BYTES])
            if held["sha256"] != _sum(held["content"]):
                raise ValueError("its checksum is another")  # noqa: TRY301 - all damage is told in one place
            return made(held["content"])
        except FileNotFoundError:
            return None
        except (PermissionError, NotADirectoryError) as error:
            self._say(f"{self._folder} cannot be read: {error.strerror} (call trapd as the unit's user)")
            raise Damaged(f"{FOLDER}/{name} cannot be used") from error
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            self._say(f"{FOLDER}/{name} cannot be used: {error}")
            raise Damaged(f"{FOLDER}/{name} cannot be used") from error

    def _say(self, what: str) -> None:
        """Once, however often it is met in a row."""
        if what != self._said:
            log.error("%s", what)
        self._said = what

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        """Whole or not at all; two syncs. Cut before the rename: the old one, and a temporary file."""
        text = json.dumps({"sha256": _sum(content), "content": content}, indent=1, sort_keys=True)
        temp = self._folder / f"{name}.new"
        with durable.disk_errors(f"write {FOLDER}/{name}"):
            if os.path.lexists(self._folder) and not self._folder.is_dir():
                _set_aside(self._folder)
            self._folders.make(self._folder)
            for path in (temp, self._folder / name):
                if path.is_dir() and not path.is_symlink():
                    _set_aside(path)
            with suppress(FileNotFoundError):
                temp.unlink()
            durable.write_new(temp, text.encode())
            temp.replace(self._folder / name)
            durable.sync_folder(self._folder)

    def _remove(self, name: str) -> None:
        with durable.disk_errors(f"remove {FOLDER}/{name}"):
            path = self._folder / name
            try:
                if path.is_dir() and not path.is_symlink():
                    _set_aside(path)
                else:
                    path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return
            durable.sync_folder(self._folder)


def kept(ledger: Ledger, trial: Trial) -> Ledger:
    """`ledger` once the trial is in force; noted once, however often its promotion is begun."""
    attempt = trial.attempt(OK, trial.returns_to)
    after = ledger if ledger.last == attempt else ledger.noted(attempt)
    return replace(after, retiring=trial.retiring, keys=keys_named(trial.overlay.doc))


def _set_aside(path: Path) -> None:
    """Out of the way of what is to be written there; nothing of it is lost."""
    aside, number = path.with_name(path.name + _ASIDE), 1
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}{_ASIDE}-{number}")
    path.rename(aside)
    log.error("%s is not what belongs there: it is now %s", path, aside.name)


def _sum(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
