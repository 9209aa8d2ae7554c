"""The place where an Uplink of the test's `backend` meets its broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.uplink_sites import Site, make_site


@pytest.fixture
def site(backend: str, tmp_path: Path) -> Iterator[Site]:
    """No thread of the link's is left behind."""
    made = make_site(backend, tmp_path)
    try:
        yield made
    finally:
        made.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "uplink"]
