"""The wheel works away from the checkout: installed into a new environment, with its model inside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGED = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "MANIFEST.in")
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet", "--no-input")

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed; it sees neither the checkout nor this environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: building leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "trapd", source / "trapd", ignore=shutil.ignore_patterns("__pycache__"))
    for name in PACKAGED:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    run(sys.executable, *PIP, "wheel", "--no-deps", "--wheel-dir", folder, source, cwd=folder)
    (built,) = folder.glob("trapd-*.whl")
    return built


@pytest.fixture(scope="module")
def trapd(wheel: Path) -> Path:
    """The installed command, in an environment of its own."""
    environment = wheel.parent / "environment"
    run(sys.executable, "-m", "venv", environment, cwd=wheel.parent)
    run(environment / "bin" / "python", *PIP, "install", "--no-compile", wheel, cwd=wheel.parent)
    return environment / "bin" / "trapd"


def test_the_wheel_holds_the_models_the_licence_and_the_notice(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    models = {path.name for path in (ROOT / "trapd" / "data").glob("*.tflite")}
    assert models
    assert {Path(name).name for name in names if name.startswith("trapd/data/")} >= models
    for text in ("LICENSE", "NOTICE"):
        assert any(name.endswith(f".dist-info/licenses/{text}") for name in names)
    assert "trapd/py.typed" in names


def test_the_wheel_holds_nothing_but_the_package(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"trapd"}


def test_it_tells_its_version(trapd: Path, wheel: Path, tmp_path: Path) -> None:
    version = wheel.name.split("-")[1]
    assert version in run(trapd, "--version", cwd=tmp_path)


def test_it_prints_its_schema(trapd: Path, tmp_path: Path) -> None:
    schema = json.loads(run(trapd, "schema", cwd=tmp_path))
    assert {"unit", "mqtt", "storage"} <= schema["properties"].keys()


def test_the_default_model_passes_its_self_test(trapd: Path, tmp_path: Path) -> None:
    told = json.loads(run(trapd, "model", "test", "default", "--json", cwd=tmp_path))
    assert told["ok"] is True
    assert ROOT not in Path(told["file"]).parents


def test_the_demo_says_what_it_lacks(trapd: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [trapd, "demo", "--seconds", "5"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert 'pip install "trapd[demo]"' in done.stderr
    assert done.stderr.count("\n") == 1
