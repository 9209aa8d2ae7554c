"""What the Debian packages are made of: units, scripts and the lock of their wheels."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from trapd.stages import base

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "scripts" / "package"
SHELL = ("postinst", "prerm", "postrm", "make-environment")
PINNED = re.compile(
    r"^([a-z0-9.-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
EXPOSURE = "20"  # tenths: 2.0


def analysed(*words: str | Path) -> str:
    """All that systemd-analyze says; it must succeed."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine has no systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.rig
def test_this_machines_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    """CI's is Debian 12's; Debian 13's says the same in tests/rig. Only the command is another."""
    for unit in (ROOT / "systemd").iterdir():
        text = unit.read_text("utf-8").replace("/usr/bin/trapd ", "/bin/true ")
        (tmp_path / unit.name).write_text(text)
    assert analysed("verify", *sorted(tmp_path.iterdir())) == ""


@pytest.mark.rig
def test_the_daemon_is_little_exposed() -> None:
    unit = ROOT / "systemd" / "trapd.service"
    told = analysed("security", "--offline=true", f"--threshold={EXPOSURE}", unit)
    assert "Overall exposure level" in told


@pytest.mark.parametrize("name", SHELL)
def test_the_packages_scripts_can_be_read_by_a_shell(name: str) -> None:
    done = subprocess.run(["sh", "-n", ROOT / "debian" / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def purged(folder: Path, **more: str) -> str:
    """What postrm says of a purge with its places below `folder`; `more` are commands of the machine's."""
    script = (ROOT / "debian" / "postrm").read_text("utf-8")
    script = re.sub(r"(?<![\w/])/(?=(var|etc|usr|run)/)", f"{folder}/", script)
    commands = folder / "commands"
    commands.mkdir()
    for name, text in {"deb-systemd-helper": "exit 0", **more}.items():
        (commands / name).write_text(f"#!/bin/sh\n{text}\n")
        (commands / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-s", "purge"], input=script, env={"PATH": f"{commands}:/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def one_photograph(store: Path) -> Path:
    photograph = store / "media" / "2026-11-26" / "one.jpg"
    photograph.parent.mkdir(parents=True)
    photograph.write_bytes(b"")
    return photograph


def test_purging_says_that_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    photograph = one_photograph(tmp_path / "card")
    (tmp_path / "var" / "lib").mkdir(parents=True)
    (tmp_path / "var" / "lib" / "trapd").symlink_to(tmp_path / "card")
    said = purged(tmp_path)
    assert f"only leads to {tmp_path}/card: what is there stays" in said
    assert "1 photographs" not in said
    assert photograph.exists()
    assert not (tmp_path / "var" / "lib" / "trapd").is_symlink()


def test_purging_goes_on_where_the_store_is_a_mount_point(tmp_path: Path) -> None:
    """It cannot be removed; what stands in for that is an rm that fails when it has done the rest."""
    one_photograph(tmp_path / "var" / "lib" / "trapd")
    (tmp_path / "etc" / "trapd").mkdir(parents=True)
    busy = f'/bin/rm "$@"; [ "$3" != {tmp_path}/var/lib/trapd ]'
    said = purged(tmp_path, rm=busy)
    assert f"deleting {tmp_path}/var/lib/trapd: 1 photographs" in said
    assert f"{tmp_path}/var/lib/trapd is not gone altogether" in said
    assert not (tmp_path / "etc" / "trapd").exists()


@pytest.mark.parametrize(
    "line",
    ["storage: {path: CARD, max_bytes: 5}", "storage:\n  path: 'CARD'  # x", 'storage:\n  "path": "CARD"'],
)
@pytest.mark.parametrize("name", ["card", "my card"])
def test_purging_names_a_store_elsewhere_however_it_is_written(tmp_path: Path, line: str, name: str) -> None:
    photograph = one_photograph(tmp_path / name)
    (tmp_path / "etc" / "trapd").mkdir(parents=True)
    written = line.replace("CARD", str(tmp_path / name))
    (tmp_path / "etc" / "trapd" / "config.yaml").write_text(f"{written}\n")
    assert f"photographs stay in {tmp_path}/{name}: delete them yourself" in purged(tmp_path)
    assert photograph.exists()


def test_purging_what_was_never_configured_says_nothing_of_a_user(tmp_path: Path) -> None:
    assert "the user trapd stays" not in purged(tmp_path, getent="exit 2")
    (tmp_path / "again").mkdir()
    assert "the user trapd stays" in purged(tmp_path / "again", getent="exit 0")


def test_systemd_waits_for_an_end_a_little_longer_than_the_stages_may_take() -> None:
    unit = (ROOT / "systemd" / "trapd.service").read_text("utf-8")
    (found,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert base._STOP_WITHIN_S < int(found) < 10


def test_the_lock_pins_everything_that_trapd_needs_but_numpy() -> None:
    pinned = {name for name, _, _ in PINNED.findall(_lock())}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.split(r"[ <>=;\[]", each)[0] for each in project["dependencies"]}
    assert needed - pinned == {"numpy", "tflite-runtime"}


def test_the_lock_names_no_place() -> None:
    """Names, versions and hashes; every line of it is one of these."""
    rest = PINNED.sub("", _lock())
    assert all(line.startswith("#") for line in rest.splitlines())
    assert "://" not in _lock()


@pytest.mark.slow
def test_every_wheel_of_the_packages_is_in_the_index() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "wheels", "check"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "x86_64 cp311", "x86_64 cp313", "aarch64 cp311", "aarch64 cp313",
    ]  # fmt: skip
    assert len({line.partition(":")[2] for line in lines}) == 1


@pytest.mark.slow
def test_the_same_sources_give_the_same_package_whoever_builds_it(tmp_path: Path) -> None:
    for mask in ("022", "077"):
        build = f'umask {mask} && exec "$0" amd64 --into "$1"'
        subprocess.run(
            ["sh", "-c", build, str(PACKAGE), str(tmp_path / mask)],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
    (one,), (other,) = ((tmp_path / mask).iterdir() for mask in ("022", "077"))
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()


def _lock() -> str:
    return (ROOT / "debian" / "wheels.lock").read_text("ascii")
