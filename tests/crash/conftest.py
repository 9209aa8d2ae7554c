"""What the crash suites share: the recording of one whole run."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.pool import scratch_place
from tests.crash.recording import Recording, cannot_record, record
from tests.crash.sweep import STORE
from trapd.store.room import reserve


def recorded(*options: str) -> Recording:
    """The whole workload, or one with a bug in the store."""
    why_not = cannot_record()
    if why_not is not None:
        pytest.skip(why_not)
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


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A proof that opens its states in this process silences them and keeps the reserve small."""
    monkeypatch.setattr(reserve, "_BYTES", reserve._BYTES)
    yield
    logging.disable(logging.NOTSET)
