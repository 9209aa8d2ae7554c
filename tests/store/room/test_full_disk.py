"""The store on a real disk of 4 MB, mounted for one child process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MOUNTED = 'mount -t tmpfs -o size=4m tmpfs "$1" && shift && exec "$@"'


def unshare() -> list[str]:
    """The command that may mount: as root, or as root of a user namespace of its own."""
    command = (
        ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    )
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode != 0:
        pytest.skip("this machine does not let a test mount a small disk")
    return command


@pytest.mark.rig
def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    child = [sys.executable, "-m", "tests.store.room.full_disk", str(tmp_path)]
    done = subprocess.run(
        [*unshare(), "sh", "-c", MOUNTED, "sh", str(tmp_path), *child],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "sound\n"
