"""The Debian 13 root in which the real picamera2 and libcamera run, and systemd; see scripts/rig-root."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PYTHON = "/opt/tests/bin/python"  # in the root: with pytest, Hypothesis and picamera2
BUILD_S = 1200
_REFUSED, _NO_ROOT = 3, 4


@functools.cache
def path() -> Path:
    """The root, built on first use. Skips the test where this machine refuses namespaces."""
    made = subprocess.run(
        [CHECKOUT / "scripts" / "rig-root"],
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    if made.returncode == _REFUSED:
        pytest.skip("Refused: this machine allows no namespaces, which the rig's root needs")
    if made.returncode == _NO_ROOT and os.environ.get("CI") != "true":
        pytest.skip("the rig's root needs root, or sudo without a password")
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip())


def run(
    *command: str | Path, bind: dict[Path, str] | None = None, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command in the root; the checkout is /trapd there, read only. `bind`: folders, and where."""
    path()
    binds = [word for here, there in (bind or {}).items() for word in ("--bind", f"{here}:{there}")]
    return subprocess.run(
        [CHECKOUT / "scripts" / "rig-run", *binds, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
