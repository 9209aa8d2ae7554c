"""Asking the machine to begin anew: a file in the runtime folder, which a path unit that root owns watches.

The daemon itself may not reboot anything. Control's thread, and Capture's.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_FILE = "reboot"


class Reboot:
    """`environ` names the runtime folder, as the service manager sets it.

    What was asked for before there was this one, and not done, is taken back.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        self._file = Path(folder) / _FILE if folder else None
        self.forget()

    def why_not(self) -> str:
        """Why this unit cannot; empty where it can."""
        if self._file is None:
            return "this unit has no runtime folder: it was not started by the service manager"
        if not self._file.parent.is_dir():
            return f"the runtime folder {self._file.parent} is not there"
        return ""

    def forget(self) -> None:
        """Nobody has done it: it must not happen later, when nobody expects it. Raises nothing."""
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink()

    def ask(self) -> None:
        """Ask for it; it comes within seconds. Raises OSError."""
        if self._file is not None:
            self._file.write_text("asked for\n", encoding="ascii")
