"""Reading photographs back. Any thread."""

from __future__ import annotations

from pathlib import Path

from trapd.errors import BadPicture
from trapd.records import Medium
from trapd.store.photographs import thumbnail

_TAIL_BYTES = 4096  # some cameras write more behind the end
_END = b"\xff\xd9"


def check(root: Path, medium: Medium) -> None:
    """Raises BadPicture for one that does not lie there with all its bytes, or cannot be decoded.

    Decodes it at its smallest scale: half of what a thumbnail costs.
    """
    data = read(root, medium)
    if len(data) != medium.bytes:
        raise BadPicture(f"photograph {medium.id} has {len(data)} bytes, and had {medium.bytes}")
    if _END not in data[-_TAIL_BYTES:]:
        raise BadPicture("damaged JPEG: it does not end")
    thumbnail.check(data)


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
