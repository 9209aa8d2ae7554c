"""Small pictures of photographs, to travel before the photographs do. Pure but for Pillow; any thread."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from trapd.errors import BadPicture
from trapd.store.photographs import exif, jpeg

if TYPE_CHECKING:
    from PIL import Image

_LONG_EDGES = (640, 480, 320, 240, 160, 96)  # pixels; width is given up last, after quality
_QUALITIES = (80, 70, 55, 40)
_MOST_PIXELS = 178_956_970  # what Pillow itself takes for an attack
_IN_MEMORY_PIXELS = 25_000_000  # of a JPEG in several scans, which its decoder holds whole: 3 bytes each


def make(data: bytes, max_bytes: int) -> bytes | None:
    """The largest and best JPEG of at most `max_bytes` that shows the photograph `data`.

    Stepped down through size and quality from 640 pixels and quality 80; upright; without metadata. None when
    `max_bytes` is 0 or too small for any picture. Decodes at a reduced scale: a 12-megapixel photograph costs
    a few megabytes. Raises BadPicture for what cannot be decoded.
    """
    if max_bytes <= 0:
        return None
    picture = _decode(data)
    for edge in _LONG_EDGES:
        picture.thumbnail((edge, edge))
        for quality in _QUALITIES:
            small = _encode(picture, quality)
            if len(small) <= max_bytes:
                return small
    return None


def check(data: bytes) -> None:
    """Raises BadPicture for a photograph that cannot be decoded; the picture itself is made of few pixels."""
    picture = _open(data, 1)
    try:
        picture.load()
    except Exception as error:
        raise _undecodable(error) from error


def _decode(data: bytes) -> Image.Image:
    from PIL import Image

    picture: Image.Image = _open(data, _LONG_EDGES[0])
    turned = exif.orientation(data)
    try:
        picture.load()  # as small as it was opened; thumbnail() would ask for twice that
        if picture.mode not in ("L", "RGB"):
            picture = picture.convert("RGB")
        picture.thumbnail((_LONG_EDGES[0], _LONG_EDGES[0]))
    except Exception as error:
        raise _undecodable(error) from error
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(turned)
    return picture if turn is None else picture.transpose(turn)


def _encode(picture: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, optimize=True, comment=b"")  # not the photograph's own
    return out.getvalue()


def _open(data: bytes, edge: int) -> Image.Image:
    """The photograph, not decoded yet; at the smallest scale whose longer side has `edge` pixels.

    Raises BadPicture.
    """
    from PIL import JpegImagePlugin

    width, height = jpeg.size(data)
    if width * height > _MOST_PIXELS:
        raise BadPicture(f"the photograph has {width} x {height} pixels: too many to decode")
    if width * height > _IN_MEMORY_PIXELS and jpeg.scans(data) > 1:
        raise BadPicture(f"a progressive JPEG of {width} x {height} pixels would fill the memory")
    try:
        # Not Image.open: other formats, and its warnings about size, have no place here.
        picture = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        longer = max(width, height)
        # In whole numbers, at least 1: libjpeg takes the smallest scale that has both.
        picture.draft("RGB", (max(1, width * edge // longer), max(1, height * edge // longer)))
    except Exception as error:
        raise _undecodable(error) from error
    return picture


def _undecodable(error: Exception) -> BadPicture:
    """Pillow lets nearly every exception through on a damaged file: OSError, SyntaxError, struct.error..."""
    return BadPicture(f"the photograph cannot be decoded: {error}")
