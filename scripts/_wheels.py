"""The wheels that the Debian packages carry: chosen once, pinned by hash, the same versions on every machine.

Run by scripts/wheels and scripts/package. numpy is not among them: the unit's own is used, the one that
picamera2 and simplejpeg were built with, and everything here is chosen to run on it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "debian" / "wheels.lock"
HEAD = """\
# What the Debian packages carry: CPython 3.11 and 3.13, x86_64 and aarch64. Written by scripts/wheels lock.
# numpy is not here: it is the system's.
"""
MACHINES = ("x86_64", "aarch64")
SYSTEM_NUMPY = {"311": "1.24.2", "313": "2.2.4"}  # of Debian 12 and 13
_GLIBC = (17, 24, 26, 27, 28, 31, 34, 35, 36)  # Debian 12 has 2.36
_THE_SYSTEMS = "numpy"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One file of the index."""

    name: str
    version: str
    file: str
    sha256: str


def pip(*words: str) -> str:
    """Standard output of a pip that must succeed; ends the program with what it said where it does not."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        sys.exit(1)
    return done.stdout


def target(machine: str, python: str) -> tuple[str, ...]:
    """pip's words for another machine than this one."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC] + [f"manylinux2014_{machine}"]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    abis = ("--abi", f"cp{python}", "--abi", "abi3", "--abi", "none")
    return (
        "--only-binary=:all:", "--implementation", "cp", "--python-version", python, *abis, *platforms,
    )  # fmt: skip


def resolved(machine: str, python: str, *wanted: str) -> list[Wheel]:
    """What pip would install there, without downloading more than it must."""
    report: dict[str, Any] = json.loads(
        pip(
            "install", "--quiet", "--dry-run", "--ignore-installed", "--target", "nowhere", "--report", "-",
            *target(machine, python), *wanted,
        )
    )  # fmt: skip
    return [_wheel(item) for item in report["install"]]


def _wheel(item: dict[str, Any]) -> Wheel:
    told = item["download_info"]
    file = told["url"].rpartition("/")[2]
    name = item["metadata"]["name"].lower().replace("_", "-")
    return Wheel(name, item["metadata"]["version"], file, told["archive_info"]["hashes"]["sha256"])


def wanted() -> list[str]:
    """What trapd itself depends on, and the numpy that must do."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [each for each in project["dependencies"] if not each.startswith("tflite-runtime")]


def lock() -> None:
    """Choose for the first machine; the others must have the same versions."""
    found: dict[str, set[str]] = {}
    versions: dict[str, str] = {}
    for python, numpy in SYSTEM_NUMPY.items():
        for machine in MACHINES:
            fixed = [f"{name}=={version}" for name, version in versions.items()]
            for wheel in resolved(machine, python, *wanted(), *fixed, f"{_THE_SYSTEMS}=={numpy}"):
                if wheel.name == _THE_SYSTEMS:
                    continue
                versions[wheel.name] = wheel.version
                found.setdefault(wheel.name, set()).add(wheel.sha256)
    lines = [
        " \\\n    ".join([f"{name}=={versions[name]}", *(f"--hash=sha256:{each}" for each in sorted(hashes))])
        for name, hashes in sorted(found.items())
    ]
    LOCK.write_text(HEAD + "\n".join(lines) + "\n", encoding="ascii")
    sys.stdout.write(f"{len(lines)} packages in {LOCK.relative_to(ROOT)}\n")


def check() -> None:
    """Each wheel of the lock, for each machine and Python; pip compares the hashes."""
    for machine in MACHINES:
        for python in SYSTEM_NUMPY:
            wheels = resolved(machine, python, "--no-deps", "--require-hashes", "-r", str(LOCK))
            platform = sum(not wheel.file.endswith("-none-any.whl") for wheel in wheels)
            sys.stdout.write(
                f"{machine} cp{python}: {len(wheels)} wheels, {platform} of them for this machine\n"
            )


def fetch(machine: str, folder: Path, pythons: tuple[str, ...] = tuple(SYSTEM_NUMPY)) -> None:
    """Download them; a file that does not have its hash ends the program."""
    for python in pythons:
        pip(
            "download", "--quiet", "--no-deps", "--require-hashes", "-r", str(LOCK), "--dest", str(folder),
            *target(machine, python),
        )  # fmt: skip


def main() -> int:
    """The verb, and its words."""
    parser = argparse.ArgumentParser(prog="scripts/wheels")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("lock", help="choose anew")
    verbs.add_parser("check", help="is every wheel there?")
    fetching = verbs.add_parser("fetch", help="download")
    fetching.add_argument("machine", choices=MACHINES)
    fetching.add_argument("folder", type=Path)
    fetching.add_argument("python", nargs="?", choices=tuple(SYSTEM_NUMPY))
    told = parser.parse_args()
    if told.verb == "lock":
        lock()
    elif told.verb == "check":
        check()
    else:
        fetch(told.machine, told.folder, (told.python,) if told.python else tuple(SYSTEM_NUMPY))
    return 0


if __name__ == "__main__":
    sys.exit(main())
