"""Which configuration a process begins with: on trial, committed, previous, local; in this order.

Main thread, before anything else that a configuration could break. A trial's start is counted, durably,
before it is used; the third one ends it. An overlay that cannot be used is set aside: only the local file
itself can make a start end with 78.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from trapd.errors import ConfigurationError, Fault, StoreError, StoreLocked
from trapd.frozen import Frozen, replace
from trapd.remote.files import ConfigFiles, Damaged
from trapd.remote.ledger import Ledger, Overlay, Trial, few
from trapd.settings import Loaded, Source
from trapd.settings.overlay import patched
from trapd.store import in_use
from trapd.wire.authority import ROLLED_BACK

log = logging.getLogger("trapd.remote")

_MOST_STARTS = 2
_NO_KEYS = "nobody knows any more which keys were trusted, and none is: see to the unit's file, on the unit"


class Start(Frozen):
    """What this process runs on. `overlay` lies over the local file; `trial` is set while it is on trial.

    `set_aside`: why an overlay that should be in force is not; empty where all is well. `unsettled`: there
    may be a trial that the disk let this start neither count nor end. `source`: who reads the local file.
    """

    loaded: Loaded
    overlay: Overlay
    files: ConfigFiles
    source: Source
    trial: Trial | None = None
    set_aside: str = ""
    unsettled: bool = False


def begin(path: Path, source: Source) -> Start:
    """Raises ConfigurationError where the local file cannot be used, SourceUnavailable."""
    root = source.read_storage_path(path)
    files = ConfigFiles(root)
    if in_use(root):  # by another process, whose trial is none of ours: the store will refuse us
        return _without_trial(path, files, source, unsettled=False)
    try:
        trial = _begun(files)
        if trial is not None:
            try:
                loaded = source.load(path, trial.overlay.doc)
                return Start(loaded, trial.overlay, files, source, trial)
            except ConfigurationError as error:
                roll_back(files, trial, error.faults or (Fault("", error.message, error.hint),))
    except StoreError as error:
        # What cannot be counted could go on for ever.
        log.error("the configuration on trial is left aside: %s", error)
        return _without_trial(path, files, source, unsettled=True)
    return _without_trial(path, files, source, unsettled=False)


def in_force(path: Path, source: Source) -> Start:
    """As `begin`, for who only looks: what is kept, whatever may be on trial. Nothing is counted or changed.

    Raises ConfigurationError where the local file cannot be used.
    """
    return _without_trial(path, ConfigFiles(source.read_storage_path(path)), source, unsettled=False)


def settle(files: ConfigFiles) -> None:
    """End what `begin` had to leave. Raises StoreError."""
    trial = files.settle()
    if trial is not None:
        roll_back(files, trial, (Fault("", "the disk took nothing when the unit began with it"),))


def took_back(start: Start, error: Exception) -> bool:
    """A process has failed with `error`: if its configuration was still on trial, it is rolled back.

    False where it was not, or cannot be: then its next start counts.
    """
    if start.trial is None or isinstance(error, StoreLocked):
        return False
    try:
        trial = start.files.trial()  # it may have been kept meanwhile
        if trial is None:
            return False
        roll_back(start.files, trial, (Fault("", f"the unit failed with it: {error}"),))
    except (StoreError, Damaged) as refused:
        log.error("the configuration on trial cannot be rolled back yet: %s", refused)
        return False
    return True


def roll_back(
    files: ConfigFiles,
    trial: Trial,
    faults: tuple[Fault, ...],
    noted: Callable[[Ledger], Ledger] | None = None,
) -> Ledger:
    """The trial has failed: its version is quarantined. Gives the ledger as it is then. Raises StoreError.

    `noted`: what becomes of the ledger, where another has asked for it than the unit itself.
    """
    said = "; ".join(fault.message for fault in faults)
    log.error("version %d is rolled back: %s", trial.overlay.version, said)
    before = files.ledger()
    ledger = taken_back(before, trial, faults) if noted is None else noted(before)
    files.roll_back(trial, ledger)
    return ledger


def taken_back(ledger: Ledger, trial: Trial, faults: tuple[Fault, ...]) -> Ledger:
    """`ledger` once the trial has failed."""
    return ledger.failed(trial.attempt(ROLLED_BACK, "rolled_back", few(faults)))


def _begun(files: ConfigFiles) -> Trial | None:
    """The trial that this start belongs to, counted; None where there is none (any more)."""
    trial = files.settle()
    if trial is None:
        return None
    trial = replace(trial, starts=trial.starts + 1)
    if trial.starts > _MOST_STARTS:
        message = f"the unit has begun {trial.starts} times with it and not proved itself"
        roll_back(files, trial, (Fault("", message),))
        return None
    files.update(trial)
    return trial


def _without_trial(path: Path, files: ConfigFiles, source: Source, *, unsettled: bool) -> Start:
    reasons: list[str] = []
    for overlay in _chain(files, reasons):
        try:
            loaded = source.load(path, overlay.doc)
        except ConfigurationError as error:
            fault = error.faults[0] if error.faults else Fault("", error.message)
            reasons.append(f"version {overlay.version} cannot be used: {fault.path} {fault.message}")
            log.error("%s", reasons[-1])
        else:
            return Start(loaded, overlay, files, source, set_aside="; ".join(reasons), unsettled=unsettled)
    loaded = source.load(path)
    return Start(loaded, Overlay(), files, source, set_aside="; ".join(reasons), unsettled=unsettled)


def _chain(files: ConfigFiles, reasons: list[str]) -> Iterator[Overlay]:
    """What was committed, and what was before; then the local file alone.

    What takes the place of another keeps its trusted keys: those before were replaced, and may be in a
    stranger's hands.
    """
    for read in (files.committed, files.previous):
        try:
            overlay = read()
        except Damaged as error:
            reasons.append(error.message)
            continue
        if overlay.version == 0:
            break
        yield _with_keys(overlay, files, reasons) if reasons else overlay
    if reasons:
        yield _with_keys(Overlay(), files, reasons)


def _with_keys(overlay: Overlay, files: ConfigFiles, reasons: list[str]) -> Overlay:
    """`overlay` with the trusted keys of the document whose place it takes; none where nobody knows them."""
    keys = files.keys()
    if keys is None and _NO_KEYS not in reasons:
        reasons.append(_NO_KEYS)
        log.error("%s", _NO_KEYS)
    if keys == ():
        return overlay
    return replace(overlay, doc=patched(overlay.doc, {"remote": {"trusted_keys": list(keys or ())}}))
