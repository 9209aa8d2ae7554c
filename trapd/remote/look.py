"""What a unit is told to be, as a look from outside finds it; whether or not the daemon runs."""

from __future__ import annotations

from pathlib import Path

from trapd.remote.files import ConfigFiles


def version_and_phase(root: Path) -> tuple[int, str]:
    """The version in force or on trial below `root`, and the phase of the latest attempt."""
    files = ConfigFiles(root)
    trial, ledger = files.trial(), files.ledger()
    if trial is not None and trial.overlay.version not in ledger.quarantined:
        return trial.overlay.version, "trial"
    return files.committed().version, "local" if ledger.last is None else ledger.last.phase
