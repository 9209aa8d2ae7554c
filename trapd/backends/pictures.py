"""JPEG bytes to what the filter looks at, in bounded memory.

Called by the classifier (photographs from disk), the replay camera and the offline verbs, on their own
threads; nothing here is shared. Whatever the bytes are, the answer is a picture or BadPicture.

A JPEG is decoded at a fraction of its size: libjpeg scales in the DCT domain by 1/2, 1/4 or 1/8, and the rest
of the way is an antialiased resize. So 100 megapixels cost a little time and no memory. What has to be held
whole (PNG, and JPEG in more than one scan, such as progressive ones) is refused by its header above
IN_MEMORY_PIXELS. EXIF orientation is honoured: boxes are relative to the upright picture, as in MegaDetector.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from trapd.errors import BadPicture
from trapd.records import Small

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image, ImageFile

Pixels: TypeAlias = "npt.NDArray[np.uint8]"

MOST_PIXELS: Final = 200_000_000
"""Of any picture: beyond this even counting its bits takes too long."""
IN_MEMORY_PIXELS: Final = 25_000_000
"""Of a picture that must be held whole while it is decoded: 3 to 6 bytes each."""
MOST_SMALL_PIXELS: Final = 8_000_000
"""Of a small frame, which keeps its width whatever the picture's aspect."""
MOST_SCANS: Final = 100
"""Of a progressive JPEG: each one is a pass over the whole picture. Cameras write about ten."""

_ORIENTATION_TAG: Final = 0x0112
_TURNS: Final = {3: 2, 6: 3, 8: 1}
"""EXIF orientation to quarter turns against the clock. Mirrored ones come from no camera."""

_JPEG_BEGINS: Final = b"\xff\xd8"
_PNG_BEGINS: Final = b"\x89PNG\r\n\x1a\n"
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = b"\xff\xd9"


def decode_rgb(data: bytes, size: tuple[int, int]) -> Pixels:
    """A JPEG or PNG, told by its content, stretched to `size` (width, height).

    Returns uint8 [height, width, 3], upright. Raises BadPicture.
    """
    return decode_fitted(data, lambda _: size)[0]


def decode_fitted(
    data: bytes, sized: Callable[[tuple[int, int]], tuple[int, int]], mode: str = "RGB"
) -> tuple[Pixels, tuple[int, int]]:
    """The same in the size that `sized` gives for the upright picture's own; and this.

    `mode`: RGB, or YCbCr, which is what a JPEG holds: full range, chroma around 128.
    """
    image = _opened(data)
    turns = _quarter_turns(image)
    turned = turns % 2 == 1
    upright = (image.size[1], image.size[0]) if turned else (image.size[0], image.size[1])
    size = sized(upright)
    small = _scaled(image, None if mode == "RGB" else mode, (size[1], size[0]) if turned else size)
    if small.mode != mode:
        small = small.convert("RGB") if mode == "RGB" else small.convert("RGB").convert(mode)
    pixels = np.asarray(small)
    return np.rot90(pixels, turns) if turns else pixels, upright


def small_of(jpeg: bytes, filter_size: tuple[int, int]) -> tuple[Small, int, int]:
    """The small frame a camera would have given beside this JPEG, and the JPEG's own width and height.

    The small frame is `filter_size[0]` wide, keeps the photograph's own aspect (height rounded to even) and
    is upright. Layout i420, no padding. Raises BadPicture.
    """
    image = _opened(jpeg)
    width, height = image.size
    turns = _quarter_turns(image)
    upright = (width, height) if turns % 2 == 0 else (height, width)
    across = filter_size[0]
    wanted = (across & ~1, max(2, 2 * round(across * upright[1] / upright[0] / 2)))
    if wanted[0] * wanted[1] > MOST_SMALL_PIXELS:
        raise BadPicture(f"the picture is too long and thin for a small frame ({width} x {height})")
    size = wanted if turns % 2 == 0 else (wanted[1], wanted[0])
    decoded = _decoded(image, "YCbCr", size)
    del image  # what was decoded is the largest: it goes as soon as it can
    if decoded.mode != "YCbCr":
        decoded = _resized(decoded, size).convert("RGB").convert("YCbCr")
    bands = decoded.split()
    del decoded
    # One after the other: to bring all of them to their size at once takes twice the memory.
    luma, blue, red = (_resized(band, size) for band in bands)
    planes = [np.asarray(plane) for plane in (luma, blue.reduce(2), red.reduce(2))]
    data = b"".join(np.rot90(plane, turns).tobytes() for plane in planes)
    return Small(data, wanted[0], wanted[1], wanted[0], "i420"), width, height


def _opened(data: bytes) -> ImageFile.ImageFile:
    """The header read, nothing decoded; refused if decoding would take too much."""
    if not data:
        raise BadPicture("the file is empty (0 bytes)")
    try:
        image = _plugin(data)
    except BadPicture:
        raise
    except Exception as error:  # a decoder fed hostile bytes raises almost anything
        raise BadPicture(f"the picture's header cannot be read: {_sentence(error)}") from error
    width, height = image.size
    if width < 1 or height < 1:
        raise BadPicture(f"the picture is {width} x {height} pixels")
    if width * height > MOST_PIXELS:
        raise BadPicture(
            f"the picture has {width * height // 1_000_000} megapixels",
            f"at most {MOST_PIXELS // 1_000_000} are taken",
        )
    if width * height > IN_MEMORY_PIXELS and (why := _held_whole(image, data)):
        raise BadPicture(
            f"{why} of {width * height // 1_000_000} megapixels would have to be held in memory whole",
            f"at most {IN_MEMORY_PIXELS // 1_000_000} are; save it as a baseline JPEG",
        )
    return image


def _plugin(data: bytes) -> ImageFile.ImageFile:
    # Imported with the first picture: a start does without. And not Image.open: it warns or raises at limits
    # of its own, for the whole process.
    if data.startswith(_JPEG_BEGINS):
        from PIL import JpegImagePlugin

        _refuse_many_scans(data)
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    if data.startswith(_PNG_BEGINS):
        from PIL import PngImagePlugin

        return PngImagePlugin.PngImageFile(io.BytesIO(data))
    raise BadPicture("the file is neither a JPEG nor a PNG by its content")


def _held_whole(image: ImageFile.ImageFile, data: bytes) -> str:
    """What kind of picture it is, if its decoder holds all of it; else empty."""
    if image.format != "JPEG":
        return "a PNG"
    return "a JPEG in several scans (progressive)" if _scans(data) > 1 else ""


def _refuse_many_scans(data: bytes) -> None:
    if (scans := _scans(data)) > MOST_SCANS:
        raise BadPicture(f"the JPEG has {scans} scans", f"at most {MOST_SCANS} are taken")


def _scans(data: bytes) -> int:
    """Passes over the picture. Between scans no other marker looks like a start of scan (ISO 10918-1, B)."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == _START_OF_SCAN:
            end = data.find(_END_OF_IMAGE, at)
            return data.count(bytes((0xFF, _START_OF_SCAN)), at, end if end > 0 else len(data))
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0


def _quarter_turns(image: ImageFile.ImageFile) -> int:
    if "exif" not in image.info:
        return 0
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1), 0)
    except Exception:  # damaged EXIF, of any kind, does not spoil the pixels: taken as upright
        return 0


def _scaled(image: ImageFile.ImageFile, mode: str | None, size: tuple[int, int]) -> Image.Image:
    """Decoded at no less than `size` where it is that large, then brought to exactly `size`."""
    return _resized(_decoded(image, mode, size), size)


def _decoded(image: ImageFile.ImageFile, mode: str | None, size: tuple[int, int]) -> Image.Image:
    """In one of the plain modes, at no less than `size` where it is that large."""
    image.draft(mode, size)
    width, height = image.size
    if width * height > IN_MEMORY_PIXELS:
        raise BadPicture(f"the picture is too long and thin to be scaled ({width} x {height} at least)")
    try:
        image.load()
        return image if image.mode in _PLAIN_MODES else image.convert("RGB")
    except Exception as error:  # a decoder fed hostile bytes raises almost anything
        raise BadPicture(f"the picture cannot be decoded: {_sentence(error)}") from error


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    from PIL import Image

    if picture.size == size:
        return picture
    try:
        return picture.resize(size, Image.Resampling.BILINEAR)
    except Exception as error:  # such as a size that takes more memory than there is
        raise BadPicture(f"the picture cannot be scaled: {_sentence(error)}") from error


_PLAIN_MODES: Final = frozenset({"RGB", "YCbCr", "L", "CMYK"})
"""Modes that can be resized as they are: no palette, no transparency, 8 bits."""


def _sentence(error: Exception) -> str:
    return str(error) or type(error).__name__
