"""What a unit is told to be, as a look from outside finds it; whether or not the daemon runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from trapd.remote.files import ConfigFiles, Damaged


def version_and_phase(root: Path) -> tuple[int, str]:
    """The version in force or on trial below `root`, and the phase of the latest attempt."""
    files = ConfigFiles(root)
    ledger = files.ledger()
    with suppress(Damaged):
        trial = files.trial()
        if trial is not None and trial.overlay.version not in ledger.quarantined:
            return trial.overlay.version, "trial"
    version = 0
    for overlay in (files.committed, files.previous):
        with suppress(Damaged):
            version = overlay().version
            break
    return version, "local" if ledger.last is None else ledger.last.phase
