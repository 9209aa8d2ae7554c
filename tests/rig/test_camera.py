"""The real picamera2 on the real libcamera, in the rig's root: the contract, and what is the library's own.

Zero tests run there is a failure. Only a machine that refuses namespaces may skip, and says so.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.rig import root

pytestmark = [pytest.mark.rig, pytest.mark.slow]

CONTRACT_TESTS = 7  # of tests/contracts/test_camera.py, for each backend
OWN_TESTS = 11  # of tests/rig/inside_camera.py
_PYTEST = (
    *("env", "TRAPD_RIG_CAMERA=1", "HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis"),
    *(root.PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
    # picamera2's own: how it starts a thread, and files that it leaves to the garbage collector.
    *("-W", "ignore:setDaemon:DeprecationWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning"),
)


def passed(*arguments: str) -> tuple[int, str]:
    """How many passed, and what pytest said."""
    ended = root.run(*_PYTEST, *arguments)
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    found = re.search(r"(\d+) passed", ended.stdout)
    return int(found.group(1)) if found else 0, ended.stdout


def test_the_contract_of_the_camera_port_holds_on_the_real_library() -> None:
    _, said = passed("tests/contracts/test_camera.py", "-k", "picamera2")
    counted = re.search(r"^camera\[picamera2\]: (\d+)$", said, re.MULTILINE)
    assert counted, said
    assert int(counted.group(1)) >= CONTRACT_TESTS
    if counts := os.environ.get("TRAPD_TEST_COUNTS"):
        with Path(counts).open("a", encoding="utf-8") as file:
            file.write(f"camera[picamera2/libcamera]: {counted.group(1)}\n")


def test_what_the_real_library_does_is_what_the_backend_expects() -> None:
    count, said = passed("tests/rig/inside_camera.py")
    assert count >= OWN_TESTS, said
