"""Reading photographs back. Any thread."""

from __future__ import annotations

import logging
from pathlib import Path

from trapd.errors import BadPicture
from trapd.records import Medium

log = logging.getLogger("trapd.store")


def has_whole(root: Path, medium: Medium) -> bool:
    """Whether it lies there with all its bytes; one that does not is named in the log, or was at start."""
    if medium.path is None:
        return False
    try:
        size_bytes = (root / medium.path).stat().st_size
    except OSError as error:
        log.warning("photograph %s cannot be read: %s", medium.id, error.strerror)
        return False
    if size_bytes != medium.bytes:
        log.warning("photograph %s has %d bytes, and had %d", medium.id, size_bytes, medium.bytes)
    return size_bytes == medium.bytes


def read(root: Path, medium: Medium) -> bytes:
    """A photograph's bytes. Raises BadPicture where it is evicted, missing, empty or unreadable."""
    if medium.path is None:
        raise BadPicture(f"photograph {medium.id} was evicted")
    try:
        data = (root / medium.path).read_bytes()
    except OSError as error:
        raise BadPicture(f"photograph {medium.id} cannot be read: {error.strerror}") from error
    if not data:
        raise BadPicture(f"photograph {medium.id} is empty")
    return data
