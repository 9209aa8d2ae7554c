"""A file that only takes room, for the moment when there is none left: given up, it lets the database note
what goes. Made again when there is space. Any thread, one at a time.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from trapd.errors import StoreError
from trapd.store.files import durable, names

log = logging.getLogger("trapd.store")

RESERVE = "reserve"
_BYTES = 1_000_000
_PLENTY_BYTES = 3 * _BYTES


def release(root: Path) -> int:
    """Give it up; the bytes that are free now."""
    file = root / RESERVE
    try:
        size_bytes = file.stat().st_size
        file.unlink()
    except OSError:
        return 0
    log.warning("no space left: the reserve of %d bytes is given up", size_bytes)
    return size_bytes


def keep(root: Path, free_bytes: int) -> int:
    """Make it where it is missing and there is plenty of room; the bytes that it newly takes."""
    file = root / RESERVE
    if file.exists() or free_bytes < _PLENTY_BYTES:
        return 0
    temp = root / names.TEMP / RESERVE
    try:
        with durable.disk_errors("make the reserve"):
            temp.unlink(missing_ok=True)
            # Noise: a file system that packs or leaves out zeros would reserve nothing.
            durable.write_new(temp, os.urandom(_BYTES))
            temp.rename(file)
    except StoreError as error:
        log.warning("no reserve: %s", error)
        durable.remove_if_possible(temp)
        return 0
    return _BYTES
