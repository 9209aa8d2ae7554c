"""Reading photographs back. Any thread."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from trapd.errors import BadPicture
from trapd.records import Medium
from trapd.store import jpeg

log = logging.getLogger("trapd.store")

_HEAD_BYTES = 262_144  # EXIF, a profile and tables: four of a JPEG's longest segments
_TAIL_BYTES = 4096  # some cameras write more behind the end
_END = b"\xff\xd9"


def has_whole(root: Path, medium: Medium) -> bool:
    """Whether it lies there with all its bytes, from a JPEG's begin to its end. Names one in the log that
    does not; what was missing at start was named then. Nothing is decoded.
    """
    if medium.path is None:
        return False
    try:
        with (root / medium.path).open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            head = file.read(_HEAD_BYTES)
            file.seek(max(size_bytes - _TAIL_BYTES, 0))
            tail = file.read(_TAIL_BYTES)
    except OSError as error:
        log.warning("photograph %s cannot be read: %s", medium.id, error.strerror)
        return False
    if size_bytes != medium.bytes:
        log.warning("photograph %s has %d bytes, and had %d", medium.id, size_bytes, medium.bytes)
        return False
    try:
        jpeg.size(head)
    except BadPicture as error:
        log.warning("photograph %s: %s", medium.id, error)
        return False
    if _END not in tail:
        log.warning("photograph %s: damaged JPEG: it does not end", medium.id)
    return _END in tail


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
