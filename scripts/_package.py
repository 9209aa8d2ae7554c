"""Builds the Debian packages: one folder as it will lie on the unit, then dpkg-deb. Run by scripts/package.

The package carries wheels, not an environment: its postinst makes one with the system's Python, away from any
network. Two builds of one commit give the same bytes: every time is the commit's.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import _wheels

from trapd import __version__

ROOT = _wheels.ROOT
DEBIAN = ROOT / "debian"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/trapd",
    "zsh": "usr/share/zsh/vendor-completions/_trapd",
    "fish": "usr/share/fish/vendor_completions.d/trapd.fish",
}
PLACES = {
    "systemd/trapd.service": "usr/lib/systemd/system/trapd.service",
    "systemd/trapd-reboot.path": "usr/lib/systemd/system/trapd-reboot.path",
    "systemd/trapd-reboot.service": "usr/lib/systemd/system/trapd-reboot.service",
    "debian/sysusers.conf": "usr/lib/sysusers.d/trapd.conf",
    "debian/tmpfiles.conf": "usr/lib/tmpfiles.d/trapd.conf",
    "debian/make-environment": "usr/lib/trapd/make-environment",
    "config.example.yaml": "usr/share/trapd/config.example.yaml",
    "README.md": "usr/share/doc/trapd/README.md",
    "CHANGELOG.md": "usr/share/doc/trapd/CHANGELOG.md",
    "NOTICE": "usr/share/doc/trapd/NOTICE",
    "debian/copyright": "usr/share/doc/trapd/copyright",
}
CONTROL = ("postinst", "prerm", "postrm", "triggers")
RUNNABLE = {"make-environment", "postinst", "prerm", "postrm"}


def commit_time() -> str:
    """Seconds since 1970 of the commit that is built; of the newest release note where there is no git."""
    told = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or str(int((ROOT / "CHANGELOG.md").stat().st_mtime))


def own_wheel(folder: Path) -> Path:
    """trapd itself, built from a copy: building leaves folders behind."""
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source"
        shutil.copytree(ROOT / "trapd", source / "trapd", ignore=shutil.ignore_patterns("__pycache__"))
        for each in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
            shutil.copy(ROOT / each, source / each)
        _settle_modes(source)
        _wheels.pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("trapd-*.whl")
    return wheel


def lay_out(tree: Path, machine: str, wheel: Path) -> None:
    """Every file where the unit will have it."""
    for source, place in PLACES.items():
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, tree / place)
    library = tree / "usr/lib/trapd"
    _wheels.fetch(MACHINES[machine], library / "wheels")
    shutil.copy(wheel, library / "wheels" / wheel.name)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = f"{_wheels.LOCK.read_text('ascii')}trapd=={__version__} \\\n    --hash=sha256:{digest}\n"
    (library / "wheels.lock").write_text(lock, encoding="ascii")
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/trapd").symlink_to("/usr/lib/trapd/current/bin/trapd")
    for shell, place in COMPLETIONS.items():
        told = subprocess.run(
            [Path(sys.executable).with_name("trapd")],
            env={**os.environ, "_TRAPD_COMPLETE": f"{shell}_source"},
            capture_output=True,
            check=True,
        )
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        (tree / place).write_bytes(told.stdout)


def environment_bytes(wheels: Path) -> int:
    """What postinst makes of the wheels, for one Python; its bytecode is as large as its source."""
    found = 0
    for wheel in wheels.glob("*.whl"):
        if "-cp311-" not in wheel.name:
            with zipfile.ZipFile(wheel) as archive:
                found += sum(
                    file.file_size * (2 if file.filename.endswith(".py") else 1)
                    for file in archive.infolist()
                )
    return found


def control(tree: Path, machine: str) -> None:
    """The control archive's files."""
    folder = tree / "DEBIAN"
    folder.mkdir()
    carried = sum(file.lstat().st_size for file in tree.rglob("*") if not file.is_dir())
    kilobytes = (carried + environment_bytes(tree / "usr/lib/trapd/wheels")) // 1024
    text = (DEBIAN / "control.in").read_text("utf-8")
    for name, value in {"VERSION": __version__, "MACHINE": machine, "SIZE": str(kilobytes)}.items():
        text = text.replace(f"@{name}@", value)
    (folder / "control").write_text(text, encoding="utf-8")
    for name in CONTROL:
        shutil.copy(DEBIAN / name, folder / name)


def settle(tree: Path, when: str) -> None:
    """Modes and times that do not depend on who builds."""
    _settle_modes(tree)
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (int(when), int(when)), follow_symlinks=False)


def _settle_modes(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.name in RUNNABLE else 0o644)


def build(machine: str, folder: Path) -> Path:
    """The package of one machine."""
    when = commit_time()
    os.environ["SOURCE_DATE_EPOCH"] = when
    file = folder / f"trapd_{__version__}_{machine}.deb"
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name) / "tree"
        tree.mkdir()
        lay_out(tree, machine, own_wheel(Path(name)))
        control(tree, machine)
        settle(tree, when)
        # Wheels are compressed already: gzip is as small as xz, and quick on a Pi.
        words = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(file)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return file


def main() -> int:
    """Build what was asked for."""
    parser = argparse.ArgumentParser(prog="scripts/package")
    parser.add_argument("machine", nargs="*", help="amd64 or arm64; both unless one is named")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="folder of the packages")
    told = parser.parse_args()
    unknown = set(told.machine) - MACHINES.keys()
    if unknown:
        parser.error(f"no such machine: {', '.join(sorted(unknown))}")
    os.umask(0o022)  # what is made on the way, the wheel's own files too, is as for everybody
    told.into.mkdir(parents=True, exist_ok=True)
    for machine in told.machine or MACHINES:
        file = build(machine, told.into)
        sys.stdout.write(f"{file} {file.stat().st_size / 1e6:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
