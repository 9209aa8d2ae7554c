"""Which configuration a process begins with: on trial, committed, previous, local; in this order.

Main thread, before anything else that a configuration could break. A trial's start is counted, durably,
before it is used; the third one ends it. An overlay that cannot be used is set aside: only the local file
itself can make a start end with 78.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from trapd.config import Loaded, load, read_storage_path
from trapd.errors import ConfigurationError, Fault, StoreError, StoreLocked
from trapd.remote.files import ConfigFiles
from trapd.remote.ledger import Attempt, Overlay, Trial
from trapd.wire.authority import ROLLED_BACK

log = logging.getLogger("trapd.remote")

_MOST_STARTS = 2


@dataclass(frozen=True, slots=True)
class Start:
    """What this process runs on. `overlay` lies over the local file; `trial` is set while it is on trial.

    `set_aside`: why an overlay that should be in force is not; empty where all is well.
    """

    loaded: Loaded
    overlay: Overlay
    files: ConfigFiles
    trial: Trial | None = None
    set_aside: str = ""


def begin(path: Path) -> Start:
    """Raises ConfigurationError where the local file cannot be used."""
    files = ConfigFiles(read_storage_path(path))
    trial = _begun(files)
    if trial is not None:
        try:
            return Start(load(path, trial.overlay.doc), trial.overlay, files, trial)
        except ConfigurationError as error:
            _end(files, trial, error.faults or (Fault("", error.message, error.hint),))
    return _without_trial(path, files)


def took_back(start: Start, error: Exception) -> bool:
    """A process has failed with `error`: if its configuration was still on trial, it is rolled back.

    False where it was not, or cannot be: then its next start counts.
    """
    trial = start.files.trial() if start.trial is not None else None
    if trial is None or isinstance(error, StoreLocked):
        return False
    try:
        roll_back(start.files, trial, (Fault("", f"the unit failed with it: {error}"),))
    except StoreError as refused:
        log.error("the configuration on trial cannot be rolled back yet: %s", refused)
        return False
    return True


def roll_back(files: ConfigFiles, trial: Trial, faults: tuple[Fault, ...]) -> None:
    """The trial has failed: its version is quarantined. Raises StoreError."""
    overlay = trial.overlay
    attempt = Attempt(overlay.version, trial.txn, ROLLED_BACK, "rolled_back", overlay.hash, faults)
    files.roll_back(files.ledger().failed(attempt))
    log.error("version %d is rolled back: %s", overlay.version, "; ".join(fault.message for fault in faults))


def _begun(files: ConfigFiles) -> Trial | None:
    """The trial that this start belongs to, counted; None where there is none (any more)."""
    try:
        trial = files.settle()
        if trial is None:
            return None
        trial = replace(trial, starts=trial.starts + 1)
        if trial.starts > _MOST_STARTS:
            message = f"the unit has begun {trial.starts} times with it and not proved itself"
            roll_back(files, trial, (Fault("", message),))
            return None
        files.update(trial)
    except StoreError as error:
        # What cannot be counted could go on for ever.
        log.error("the configuration on trial is left aside: %s", error)
        return None
    return trial


def _end(files: ConfigFiles, trial: Trial, faults: tuple[Fault, ...]) -> None:
    try:
        roll_back(files, trial, faults)
    except StoreError as error:
        log.error("the configuration on trial cannot be rolled back yet: %s", error)


def _without_trial(path: Path, files: ConfigFiles) -> Start:
    reasons: list[str] = []
    committed = files.committed()
    candidates = (committed, files.previous()) if committed.version else ()
    for overlay in (overlay for overlay in candidates if overlay.version):
        try:
            return Start(load(path, overlay.doc), overlay, files, set_aside="; ".join(reasons))
        except ConfigurationError as error:
            fault = error.faults[0] if error.faults else Fault("", error.message)
            reasons.append(f"version {overlay.version} cannot be used: {fault.path} {fault.message}")
            log.error("%s", reasons[-1])
    return Start(load(path), Overlay(), files, set_aside="; ".join(reasons))
