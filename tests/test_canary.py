"""A secret that comes out anywhere turns the whole run red; the list of what came out does not repeat it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import canary

ROOT = Path(__file__).resolve().parents[1]
HEAD = """
import subprocess, sys
from click import command, echo
from click.testing import CliRunner
from tests import canary
TELL = "from tests import canary; print(canary.PASSWORD)"
"""
ONE = """
def test_{name}(tmp_path):
    {body}
"""
NO_LEAKS = {
    "nothing": "pass",
    "hidden": "canary.hides(tmp_path / 'password').write_text(canary.PASSWORD)",
    "operator": "canary.listen_to_topic('trapd/v1/u/config/desired', canary.MISPLACED.encode())",
    "key": "(tmp_path / 'canary.key').write_text(canary.PASSWORD)",
}
LEAKS = {
    "printed": "print(canary.PASSWORD)",
    "hex": "print(canary.PASSWORD.encode().hex())",
    "child": "subprocess.run([sys.executable, '-c', TELL], stdout=subprocess.PIPE)",
    "verb": "CliRunner().invoke(command()(lambda: echo(canary.PASSWORD)))",
    "log": "(tmp_path / 'daemon.log').write_text('connecting with ' + canary.PASSWORD.upper())",
    "store": "(tmp_path / 'trapd.db').write_bytes(b'\\0\\xff' + canary.PASSWORD.encode())",
    "published": "canary.listen_to_topic('trapd/v1/u/state', b'..' + canary.PASSWORD.encode())",
    "topic": "canary.listen_to_topic('trapd/v1/u/' + canary.PASSWORD, b'')",
}
FOUND = {
    "printed": "::test_printed: Captured stdout call",
    "hex": "::test_hex: Captured stdout call",
    "child": "what ",
    "verb": "a verb",
    "log": "daemon.log",
    "store": "trapd.db",
    "published": "trapd/v1/u/state",
    "topic": "something that has it in its name",
}


def run(tests: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A run of tests of these bodies, in a process of its own."""
    canary.hides(folder)
    file = folder / "test_these.py"
    file.write_text(HEAD + "".join(ONE.format(name=name, body=body) for name, body in tests.items()))
    words = ["-m", "pytest", "--show-capture=no", f"--basetemp={folder / 'base'}", "-p", "tests.conftest"]
    return subprocess.run(
        [sys.executable, *words, "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_leak_is_found(tmp_path: Path) -> None:
    done = run(LEAKS, tmp_path)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    came_out = [line for line in done.stdout.splitlines() if line.startswith("CAME OUT: password, ")]
    for name, where in FOUND.items():
        assert any(where in line for line in came_out), f"{name} was not found: {came_out}"
    assert canary.leaks("", "\n".join(came_out).encode()) == []


def test_one_leak_at_the_very_end_is_enough(tmp_path: Path) -> None:
    done = run({"nothing": "pass", "printed": LEAKS["printed"]}, tmp_path)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr


def test_without_a_leak_the_run_is_green(tmp_path: Path) -> None:
    done = run(NO_LEAKS, tmp_path)
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert ": 0 hits" in done.stdout
