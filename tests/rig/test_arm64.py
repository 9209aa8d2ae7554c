"""The package on a Raspberry Pi's processor: its wheels each time; by scripts/prove as on a unit."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import figures
from tests.figures import PROVE
from tests.rig import unit
from tests.rig.root import CHECKOUT
from trapd.demo.photographs import make_bursts

pytestmark = [pytest.mark.slow, pytest.mark.rig]

DEBIANS = ("12", "13") if PROVE else ("13",)
VERDICTS = {"01-cat": "unclassified", "06-brick": "empty"}
JUDGE = """
import platform, sys
import trapd.app, trapd.cli
print(platform.machine(), flush=True)
sys.argv = ["trapd", "replay", "/photographs", "--by-folder"]
trapd.cli.main()
"""
# What somebody types on a unit, of which each line must succeed.
TYPED = """
uname -m
trapd --version
trapd check --config /usr/share/trapd/config.example.yaml --json
trapd model test default --config /usr/share/trapd/config.example.yaml --json
runuser -u trapd -- trapd replay /unit/photographs --by-folder
install -d -o trapd -g trapd /var/lib/trapd
runuser -u trapd -- timeout --preserve-status --signal=INT 90 trapd run --config /unit/config.yaml
runuser -u trapd -- trapd events --json --config /unit/config.yaml
dpkg --remove trapd >&2
test ! -e /usr/lib/trapd/current
"""
CONFIGURATION = """
unit: {id: ridge-07}
mqtt: {host: localhost}
storage: {min_free_bytes: 1000000}
sensor: {backend: timer, every_s: 4}
camera: {backend: replay, path: /unit/photographs}
burst: {frames: 1}
filter: {audit_fraction: 0}
"""
INSTALLED_WITHIN_S = 1500
_REFUSED = 3


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
    photographs = some(tmp_path)
    machine, *told = run(debian, "--bind", f"{photographs}:/photographs", "-c", JUDGE).splitlines()
    assert machine == "aarch64"
    assert verdicts(told) == VERDICTS


@pytest.mark.skipif(not PROVE, reason="scripts/prove: a whole Debian under qemu takes some minutes")
@pytest.mark.parametrize("debian", ["12", "13"])
def test_the_package_is_installed_on_arm64_and_judges_photographs(debian: str, tmp_path: Path) -> None:
    """The very file that scripts/package makes; what Raspberry Pi's archive has is stood in for."""
    packages = tmp_path / "packages"
    words: list[str | Path] = [CHECKOUT / "scripts" / "package", "arm64", "--into", packages]
    subprocess.run(words, check=True, capture_output=True)
    for name in unit.STAND_INS:
        unit.stand_in(packages, name)
    (tmp_path / "unit").mkdir()
    some(tmp_path / "unit")
    (tmp_path / "unit" / "config.yaml").write_text(CONFIGURATION)
    done = subprocess.run(
        [
            CHECKOUT / "scripts" / "rig-arm64", debian, "install", packages,
            "--bind", f"{tmp_path / 'unit'}:/unit", "sh", "-euc", TYPED,
        ],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALLED_WITHIN_S, check=False,
    )  # fmt: skip
    if done.returncode == _REFUSED:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    machine, version, checked, tested, *told = done.stdout.splitlines()
    assert machine == "aarch64"
    assert version.startswith("trapd, version")
    assert json.loads(checked)["ok"] is True
    assert json.loads(tested)["ok"] is True
    replayed, events = told[: len(VERDICTS)], [json.loads(line) for line in told[len(VERDICTS) :]]
    assert verdicts(replayed) == VERDICTS
    judged = {event["verdict"] for event in events if event["state"] != "captured"}
    assert judged == set(VERDICTS.values())
    figures.tell(f"arm64 package under qemu, Debian {debian}: {len(events)} bursts of the daemon in 90 s")


def some(folder: Path) -> Path:
    """One photograph of each burst that is to be judged, in a folder of its own."""
    made = folder / "made"
    make_bursts(made)
    photographs = folder / "photographs"
    for burst in VERDICTS:
        (photographs / burst).mkdir(parents=True)
        shutil.copy(made / burst / "0.jpg", photographs / burst)
    return photographs


def verdicts(told: list[str]) -> dict[str, str]:
    """By burst, of the lines of `trapd replay`."""
    bursts = [json.loads(line) for line in told]
    return {Path(burst["burst"]).name: burst["verdict"] for burst in bursts}
