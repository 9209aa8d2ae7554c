"""Reading photographs back. Any thread."""

from __future__ import annotations

from pathlib import Path

from trapd.errors import BadPicture
from trapd.records import Medium


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
