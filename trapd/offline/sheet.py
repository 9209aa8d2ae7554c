"""A burst on one sheet: its photographs below one another, for a person to look at. Main thread."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from trapd.offline.quiet import without_size_warning

_WIDTH = 1000
_MOST = 6  # photographs on a sheet


def sheet(photographs: Sequence[bytes]) -> bytes | None:
    """A JPEG of what can be decoded of them; None where nothing can."""
    pictures = [picture for data in photographs[:_MOST] if (picture := _opened(data)) is not None]
    if not pictures:
        return None
    whole = Image.new("RGB", (_WIDTH, sum(picture.height for picture in pictures)))
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    out = io.BytesIO()
    whole.save(out, "JPEG", quality=85)
    return out.getvalue()


def _opened(data: bytes) -> Image.Image | None:
    try:
        with without_size_warning():
            picture: Image.Image = Image.open(io.BytesIO(data))
        picture.draft("RGB", (_WIDTH, _WIDTH))
        height = max(1, min(4 * _WIDTH, round(picture.height * _WIDTH / picture.width)))
        return picture.convert("RGB").resize((_WIDTH, height))
    except Exception:  # a decoder fed a damaged photograph raises almost anything; the others are shown
        return None
