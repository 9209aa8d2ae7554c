"""The place where an Uplink of the test's `backend` meets its broker.

The rig's root runs the camera's contract without paho: what needs it is imported where it is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contracts.uplink_sites import Site


@pytest.fixture
def site(backend: str, tmp_path: Path) -> Iterator[Site]:
    """No thread of the link's is left behind."""
    from tests.contracts.uplink_sites import make_site

    made = make_site(backend, tmp_path)
    try:
        yield made
    finally:
        made.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "uplink"]
