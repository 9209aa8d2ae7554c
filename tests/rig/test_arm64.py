"""The package's wheels on a Raspberry Pi's processor: trapd imports, loads its model, judges photographs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.rig.root import CHECKOUT
from trapd.demo.photographs import make_bursts

pytestmark = [pytest.mark.slow, pytest.mark.rig]

DEBIANS = ("12", "13") if os.environ.get("TRAPD_PROVE") == "1" else ("13",)
VERDICTS = {"01-cat": "unclassified", "06-brick": "empty"}
JUDGE = """
import platform, sys
import trapd.app, trapd.cli
print(platform.machine(), flush=True)
sys.argv = ["trapd", "replay", "/photographs", "--by-folder"]
trapd.cli.main()
"""


def run(debian: str, *words: str | Path) -> str:
    """What Python says there. Skips where this machine does not allow it."""
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("Refused: this machine allows no namespaces, which the arm64 root needs")
    command = [CHECKOUT / "scripts" / "rig-arm64", debian, "run", *words]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("debian", DEBIANS)
def test_trapd_judges_photographs_on_arm64(debian: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    make_bursts(made)
    photographs = tmp_path / "photographs"
    for burst in VERDICTS:
        (photographs / burst).mkdir(parents=True)
        shutil.copy(made / burst / "0.jpg", photographs / burst)
    machine, *told = run(debian, "--bind", f"{photographs}:/photographs", "-c", JUDGE).splitlines()
    assert machine == "aarch64"
    bursts = [json.loads(line) for line in told]
    assert {Path(burst["burst"]).name: burst["verdict"] for burst in bursts} == VERDICTS
