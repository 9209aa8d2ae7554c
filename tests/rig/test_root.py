"""The rig's root: nothing lasts in it, and where it cannot be there is one clear word."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.rig import root

pytestmark = [pytest.mark.rig, pytest.mark.slow]


def test_what_a_command_writes_ends_with_it() -> None:
    path = root.path()
    written = root.run("sh", "-c", "echo x >/etc/left-behind && cat /etc/left-behind")
    assert (written.returncode, written.stdout) == (0, "x\n"), written.stderr
    assert not (path / "etc" / "left-behind").exists()
    assert root.run("test", "-e", "/etc/left-behind").returncode == 1


def test_the_checkout_is_there_and_cannot_be_written() -> None:
    ended = root.run("sh", "-c", "test -e scripts/rig-run && ! touch README.md")
    assert ended.returncode == 0, ended.stderr
    assert "Read-only file system" in ended.stderr


def test_a_machine_that_refuses_namespaces_is_told_in_one_word() -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can give up a right of its own")
    refused = subprocess.run(
        [
            "setpriv",
            "--bounding-set=-sys_admin",
            "--inh-caps=-sys_admin",
            root.CHECKOUT / "scripts" / "rig-root",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("Refused: this machine allows no namespaces")
