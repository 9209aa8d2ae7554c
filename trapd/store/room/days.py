"""The folders of days below media/: those of days that are over go once nothing is in them.

Never one of yesterday, today or tomorrow, which is today in any time zone: Capture would make it anew for its
next burst, with one more sync. Where its clock has jumped to another day all the same, and the folder goes
between making and using it, Capture makes it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

from trapd.store.files import names
from trapd.store.files.durable import disk_errors


def remove_empty(root: Path, wall_ms: int) -> None:
    """At start: all of them. Raises StoreError where the folders cannot be listed."""
    with disk_errors("list the folders of days"):
        remove_if_empty((root / names.MEDIA).iterdir(), wall_ms)


def remove_if_empty(folders: Iterable[Path], wall_ms: int) -> None:
    """Remove those of these folders that are days', over, and empty; others stay.

    Cut at any line, or not synced: an empty folder is there, and goes at the next start.
    """
    today = datetime.fromtimestamp(wall_ms // 1000, UTC).date()
    for folder in folders:
        day = _day(folder)
        if day is not None and abs((day - today).days) > 1:
            # Not empty, no folder, or a disk that refuses: nothing is lost by its staying.
            with suppress(OSError):
                folder.rmdir()


def _day(folder: Path) -> date | None:
    try:
        return date.fromisoformat(folder.name)
    except ValueError:
        return None
