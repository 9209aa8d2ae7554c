"""The machine: its card, its clock, its libraries, what this user may, and whether it can be rebooted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from trapd.backends.device_files import OF_CAMERA, who_may
from trapd.doctor.finding import Finding
from trapd.host.clock import SystemClock
from trapd.records import TsQuality
from trapd.settings import Settings

_IMPORT_WITHIN_S = 60.0
_REBOOT_UNIT = "trapd-reboot.path"
_UNITS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))
_DEVICES = Path("/dev")
_APT = {"picamera2": "python3-picamera2", "gpiozero": "python3-gpiozero", "lgpio": "python3-lgpio"}


def storage(settings: Settings) -> Finding:
    path = Path(settings.storage.path)
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    try:
        # A real entry: permissions do not tell of a disk that is read-only, or a folder of the kernel's.
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".doctor-"):
            pass
    except OSError as error:
        return Finding(
            "storage",
            False,
            f"{existing} cannot be written: {error.strerror}",
            "run as the unit's user, or set storage.path",
        )
    return Finding("storage", True, f"{path} can be written")


def disk(settings: Settings) -> Finding:
    path = Path(settings.storage.path)
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    usage = shutil.disk_usage(existing)
    floor = settings.storage.min_free_bytes
    message = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB"
    if usage.free <= floor:
        return Finding("disk", False, message, "free some space, or lower storage.min_free_bytes")
    if settings.storage.max_bytes > usage.total:
        return Finding("disk", True, message, "storage.max_bytes is more than the disk; the floor holds")
    return Finding("disk", True, message)


def clock(_: Settings) -> Finding:
    quality = SystemClock().quality()
    hints = {
        TsQuality.UNSET: "times are wrong until the network or a clock module sets them; events say so",
        TsQuality.ESTIMATED: "no time server and no clock module: times may be off; events say so",
    }
    return Finding("clock", True, f"the time is {quality}", hints.get(quality, ""))


def libraries(settings: Settings) -> Finding:
    """What the configured camera, sensor, LED and filter need beyond trapd's own."""
    wanted = []
    if settings.camera.backend == "picamera2":
        wanted.append("picamera2")
    if settings.sensor.backend == "gpiozero" or settings.indicator.led_pin is not None:
        wanted += ["gpiozero", "lgpio"]
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        packages = " ".join(_APT[name] for name in missing)
        return Finding(
            "libraries",
            False,
            f"not here: {', '.join(missing)}",
            f"apt install {packages}; an environment of its own needs --system-site-packages",
        )
    if settings.filter.backend == "tflite":
        if find_spec("ai_edge_litert") is None and find_spec("tflite_runtime") is None:
            return Finding("libraries", False, "not here: LiteRT", "it has wheels for 64-bit systems only")
        wanted.append("LiteRT")
    return Finding("libraries", True, f"{', '.join(wanted) or 'none needed beyond its own'}: here")


def numpy(settings: Settings) -> Finding:
    """A numpy from the index over the system's breaks what apt compiled against the system's."""
    version = metadata.version("numpy")
    if settings.camera.backend != "picamera2" or find_spec("simplejpeg") is None:
        return Finding("numpy", True, f"numpy {version}; nothing of the system's is compiled against it")
    # In a process of its own: what does not fit may do worse than raise.
    command = [sys.executable, "-c", "import numpy, simplejpeg"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_IMPORT_WITHIN_S)
        said = done.stderr.strip().splitlines()
        fault = "" if done.returncode == 0 else (said[-1] if said else f"it ended with {done.returncode}")
    except subprocess.TimeoutExpired:
        fault = f"no answer within {_IMPORT_WITHIN_S:.0f} s"
    if fault:
        return Finding(
            "numpy",
            False,
            f"numpy {version} and the system's simplejpeg do not fit: {fault}",
            "install the numpy that python3-numpy has: pip install numpy==VERSION (dpkg -s python3-numpy)",
        )
    return Finding("numpy", True, f"numpy {version} and simplejpeg fit")


def permissions(settings: Settings) -> Finding:
    """The device files of what is configured. Root may use all: then nothing is said of the unit's user."""
    wanted = []
    if settings.camera.backend == "picamera2":
        wanted += [device for pattern in OF_CAMERA for device in sorted(_DEVICES.glob(pattern))]
    if settings.sensor.backend == "gpiozero" or settings.indicator.led_pin is not None:
        wanted += sorted(_DEVICES.glob("gpiochip*"))
    refused = [device for device in wanted if not os.access(device, os.R_OK | os.W_OK)]
    if refused:
        names = ", ".join(str(device) for device in refused[:4])
        return Finding("permissions", False, f"this user may not use {names}", who_may(refused[0]))
    if wanted and os.geteuid() == 0:
        hint = "run it as the unit's user: sudo -u trapd trapd doctor"
        return Finding("permissions", True, "root may use every device", hint, warning=True)
    if not wanted:
        return Finding("permissions", True, "no device of camera or pins is needed, or here")
    return Finding("permissions", True, f"{len(wanted)} devices of camera and pins may be used")


def reboot(_: Settings) -> Finding:
    """Whether the command `reboot`, and a camera stack that stays dead, can reboot the machine."""
    if any((folder / _REBOOT_UNIT).exists() for folder in _UNITS):
        enabled = _UNITS[0] / "multi-user.target.wants" / _REBOOT_UNIT
        if enabled.is_symlink() or enabled.exists():
            return Finding("reboot", True, "the unit can be rebooted from afar")
        hint = f"systemctl enable --now {_REBOOT_UNIT}"
        return Finding("reboot", True, f"{_REBOOT_UNIT} is not enabled: no reboot", hint, warning=True)
    hint = "it comes with the package, or from the folder systemd/ of the source"
    return Finding("reboot", True, f"{_REBOOT_UNIT} is not here: no reboot from afar", hint, warning=True)
