"""Which labelled photographs were taken in one go: frames of a burst are not independent. Main thread.

By folder where that is asked for; else by trapd's own file names, or by the times in the EXIF of one camera's
photographs in one folder. What has neither counts by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from trapd.offline.quiet import without_size_warning

_OWN_NAME = re.compile(r"(.+__[0-9a-f]{4}-\d+)_\d+\.jpe?g", re.IGNORECASE)
_GAP_S = 10.0
_MODEL, _DATE_TIME, _EXIF, _ORIGINAL, _SERIAL = 0x0110, 0x0132, 0x8769, 0x9003, 0xA431

Photograph = tuple[str, Path]
"""Label and path."""


def bursts(found: Sequence[Photograph], *, by_folder: bool) -> list[list[Photograph]]:
    """The same photographs, those of one burst together, in the order in which they came."""
    groups: dict[object, list[Photograph]] = {}
    timed: dict[tuple[str, Path, str], list[tuple[float, Photograph]]] = {}
    for label, path in found:
        own = _OWN_NAME.fullmatch(path.name)
        if by_folder:
            groups.setdefault((label, path.parent), []).append((label, path))
        elif own is not None:
            groups.setdefault((label, path.parent, own[1]), []).append((label, path))
        elif (taken := _taken(path)) is not None:
            camera, at_s = taken
            timed.setdefault((label, path.parent, camera), []).append((at_s, (label, path)))
        else:
            groups[(label, path)] = [(label, path)]
    for key, photographs in timed.items():
        last_s, number = -1e18, 0
        for at_s, photograph in sorted(photographs):
            number += at_s - last_s > _GAP_S
            groups.setdefault((key, number), []).append(photograph)
            last_s = at_s
    return list(groups.values())


def _taken(path: Path) -> tuple[str, float] | None:
    """Camera and time, as its EXIF has them; None for what has none."""
    try:
        with without_size_warning(), Image.open(path) as picture:
            exif = picture.getexif()
            details = exif.get_ifd(_EXIF)
            text = str(details.get(_ORIGINAL) or exif.get(_DATE_TIME))
            camera = f"{exif.get(_MODEL)} {details.get(_SERIAL)}"
            at = datetime.strptime(text.strip("\0 "), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except Exception:  # a decoder fed hostile bytes raises almost anything; it is named when it is judged
        return None
    return camera, at.timestamp()
