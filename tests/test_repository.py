"""The repository keeps its promises: what it must not hold, what can be run, what is documented."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from trapd.cli.verbs import cli

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (
    "scripts/rig-root",
    "scripts/rig-run",
    "scripts/rig-gpio",
    "scripts/demo",
    "scripts/test",
    "scripts/check",
    "scripts/prove",
    "training/train",
    ".ci/run",
)
MODELS = {"trapd/data/trapd_lite0_256_i8.tflite", "trapd/data/trapd_lite1_320_i8.tflite"}
# Written in pieces, so that this file does not hold what it forbids.
MACHINE_PATHS = re.compile("/" + r"(?:work/(?:main|shared)|root/|home/\w|Users/\w)")
REGISTRY_HOSTS = re.compile("(?:" + "py" + "pi|python" + "hosted|pi" + r"wheels)\.(?:org|io|com)")
PHOTOGRAPHS = frozenset({".jpg", ".jpeg", ".png", ".tflite"})
VERBS = cli.list_commands(click.Context(cli))
LARGEST_BYTES = 500_000  # of a tracked file that is no model


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def texts(files: list[Path]) -> dict[str, str]:
    found = {}
    for file in files:
        data = file.read_bytes()
        if b"\0" not in data:
            found[str(file.relative_to(ROOT))] = data.decode()
    return found


def test_no_file_names_a_machine_or_a_registry(tracked: list[Path]) -> None:
    bad = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts(tracked).items()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATHS.search(line) or REGISTRY_HOSTS.search(line)
    ]
    assert bad == []


def test_nothing_large_and_no_photograph_is_tracked_but_the_models(tracked: list[Path]) -> None:
    names = {str(file.relative_to(ROOT)): file for file in tracked}
    assert names.keys() >= MODELS
    others = {name: file for name, file in names.items() if name not in MODELS}
    assert [name for name, file in others.items() if file.stat().st_size > LARGEST_BYTES] == []
    assert [
        name for name in others if Path(name).suffix.lower() in {".jpg", ".jpeg", ".png", ".tflite"}
    ] == []


def test_nothing_of_the_shared_folder_is_tracked(tracked: list[Path]) -> None:
    shared = ROOT.parent / "shared"
    if not shared.is_dir():
        pytest.skip("the folder `shared` is not beside this checkout")
    contents = {_sha256(file) for file in shared.rglob("*") if file.is_file() and file.stat().st_size > 200}
    same = {str(file.relative_to(ROOT)) for file in tracked if _sha256(file) in contents}
    assert same <= MODELS


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_can_be_run(command: str) -> None:
    assert os.access(ROOT / command, os.X_OK)
    listed = subprocess.run(
        ["git", "ls-files", "--stage", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert listed.returncode != 0 or listed.stdout.startswith("100755")


def test_every_command_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"(?:scripts|\.ci)/[a-z0-9_-]+", (ROOT / "README.md").read_text("utf-8")))
    assert {"scripts/demo", "scripts/test"} <= named
    assert [command for command in named if not (ROOT / command).is_file()] == []


def test_every_verb_is_documented() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(document.read_text("utf-8") for document in documents)
    assert "demo" in VERBS
    assert [verb for verb in VERBS if not re.search(rf"trapd {verb}\b", text)] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "trapd", verb, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("Usage: trapd")


def test_paho_is_imported_by_the_uplink_and_by_the_demos_subscriber_alone() -> None:
    imports = re.compile(r"^\s*(?:from|import)\s+paho\b", re.MULTILINE)
    files = (ROOT / "trapd").rglob("*.py")
    found = {str(file.relative_to(ROOT)) for file in files if imports.search(file.read_text())}
    assert found == {
        "trapd/backends/uplink_client.py",
        "trapd/backends/uplink_paho.py",
        "trapd/demo/subscriber.py",
    }


def test_no_import_contract_ignores_an_import() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    assert contracts
    assert not any("ignore_imports" in contract for contract in contracts)
