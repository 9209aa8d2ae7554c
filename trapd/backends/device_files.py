"""The device files of the hardware: which of them this process may not use, and who may. Any thread."""

from __future__ import annotations

import grp
import os
from contextlib import suppress
from pathlib import Path

DEVICES = Path("/dev")

OF_CAMERA = ("video*", "media*", "dma_heap/*")
"""A camera is found by the first two, its buffers come from the third."""

_GROUPS = {"gpiochip": "gpio"}  # as Raspberry Pi OS sets them; all others are the camera's
_NAMED = 3


def closed(patterns: tuple[str, ...], folder: Path = DEVICES) -> list[Path]:
    """Those that are there and that this process may not open, by their modes or by its service's rules."""
    return [device for pattern in patterns for device in sorted(folder.glob(pattern)) if _is_closed(device)]


def names(devices: list[Path]) -> str:
    """The first few, for a sentence."""
    more = len(devices) - _NAMED
    return ", ".join(str(device) for device in devices[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def who_may(device: Path) -> str:
    """What lets this process use `device`, as a hint."""
    with suppress(OSError, KeyError):
        group = grp.getgrgid(device.stat().st_gid).gr_name
        if group != "root":
            return f"add the user that runs trapd to the group {group} (usermod -aG {group} USER)"
    group = next((name for start, name in _GROUPS.items() if device.name.startswith(start)), "video")
    return f"its group should be {group}, as Raspberry Pi OS sets it; the user that runs trapd belongs in it"


def _is_closed(device: Path) -> bool:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError:
        return True
    except OSError:  # busy, or nothing behind it: not for want of a right
        return False
    return False
