"""What is missing on this unit, one finding at a time, each with what to do about it.

Called by the verb `doctor`. It opens each part for a moment as the daemon would, and leaves nothing behind.
While the daemon runs, camera and pins are its own: those findings then say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trapd.doctor import device, link, machine
from trapd.doctor.finding import Finding
from trapd.errors import TrapdError
from trapd.settings import Loaded, Settings

__all__ = ["LOOKS", "Finding", "examine"]

LOOKS: dict[str, Callable[[Settings], Finding | None]] = {
    "storage": machine.storage,
    "disk": machine.disk,
    "clock": machine.clock,
    "libraries": machine.libraries,
    "numpy": machine.numpy,
    "permissions": machine.permissions,
    "filter": device.model,
    "camera": device.camera,
    "sensor": device.sensor,
    "led": device.led,
    "reboot": machine.reboot,
    "credential": link.credential,
    "broker": link.broker,
}
"""In this order: what others rest on comes first, what may take long comes last."""


def examine(loaded: Loaded) -> Iterator[Finding]:
    """Look at each part in turn; a part that breaks the looking is a finding too."""
    for warning in loaded.warnings:
        yield Finding("configuration", True, f"{warning.path}: {warning.message}", warning.hint, warning=True)
    for name, look in LOOKS.items():
        try:
            found = look(loaded.settings)
        except TrapdError as error:
            found = Finding(name, False, error.message, error.hint)
        except Exception as error:
            # Whatever one part does, the others are looked at.
            found = Finding(name, False, f"{type(error).__name__}: {error}", "")
        if found is not None:
            yield found
