"""Small facts about the machine for heartbeats and events. Any thread; each reading costs one small file."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_celsius() -> float | None:
    """The processor's temperature; None where the machine does not tell."""
    try:
        return int(Path("/sys/class/thermal/thermal_zone0/temp").read_text()) / 1000
    except (OSError, ValueError):
        return None


def resident_bytes() -> int | None:
    """This process's resident memory; None off Linux."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def cma_free_bytes(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """What is left of the memory that the camera's buffers come from; None where the kernel keeps none."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("CmaFree:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return kib * 1024


def uptime_s() -> float | None:
    """Seconds since the machine started; None off Linux."""
    try:
        return float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def load_1min() -> float:
    """The one-minute load average."""
    return os.getloadavg()[0]


def disk_free_bytes(path: Path) -> int:
    """What an ordinary user may still write at `path`. Raises OSError."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def environment() -> dict[str, float]:
    """What stands in an event's `env`."""
    celsius = cpu_celsius()
    return {} if celsius is None else {"cpu_c": round(celsius, 1)}
