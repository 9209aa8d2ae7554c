"""A camera's low-resolution frame (planar 4:2:0) to the pixels of the filter's input, fast.

Called by the classifier's thread for every frame; each plan belongs to one classifier and reuses its scratch
arrays. Full-range BT.601 colour (JFIF), centre-sited chroma. Pixels are RGB, or, for a model that takes them
so, luma and chroma as the frame has them (`ycc`): that is half the work.

Three plans do the same thing. `HalvingPlan` serves a frame exactly twice as wide as the input, the ordinary
case (640 wide for an input of 320): pairs of pixels are averaged across, rows are weighed by a triangle, all
in 16-bit integers over contiguous rows. `SamplingPlan` (`sampling`) serves nearly every other size the
same way. `ResamplingPlan` serves the rest, frames many times as large as the input, through Pillow's
antialiased resize, slowly. The tests hold them to the photograph decoded by Pillow.

All of it may cost a twentieth of the network's own run, so every call into numpy, and every array that is not
in the cache, counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from trapd.backends.pictures import Pixels
from trapd.backends.tflite.sampling import SamplingPlan, put
from trapd.backends.tflite.taps import taps_of, whole_rows
from trapd.errors import BadPicture
from trapd.records import Small

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

_PAIR: Final = np.dtype("<u2")  # two neighbouring bytes, the left one low
_INT16: Final = np.dtype("<i2")
_WEIGHT_BITS: Final = 7  # a pair of pixels (510) times 128 just fits into 16 bits without a sign
_LUMA_BITS: Final = 1 + _WEIGHT_BITS
_TINT_BITS: Final = 6  # 255 times 113 fits
_MOST_SHRINK: Final = 4.0  # rows of the frame per row of the input; beyond it the taps grow too many

Geometry = tuple[str, int, int, int]
"""Layout, width, height, stride."""

# What Cb and Cr add to luma, in 1/64 (ITU-T T.871): red 1.402 Cr, green -.3441 Cb - .7141 Cr, blue 1.772 Cb.
_BLUE_AND_RED_TINTS: Final = np.array([113, 90], np.int16).reshape(2, 1, 1)
_GREEN_TINTS: Final = np.array([-22, -46], np.int16).reshape(2, 1, 1)
_TINT_CONSTANTS: Final = np.array([-90 * 128, 68 * 128, -113 * 128], np.int16).reshape(3, 1, 1) + np.int16(48)
"""What grey (128) adds, taken away; and rounding, together with luma's, which is only cut off."""


# The bare ufunc: np.clip comes to it through three Python functions, and just after the network has run, with
# nothing of Python in the processor's caches, those cost more than the clipping.
_core: Any = getattr(np, "_core", None) or np.core
_clip: Final = _core.umath.clip


class Plan(Protocol):
    """Turns frames of one geometry into pixels of one size."""

    def write(self, data: bytes, out: npt.NDArray[Any]) -> None:
        """Fill `out`, [height, width, 3] of uint8, or of int8 meaning the value less 128.

        `data` holds at least `needed_bytes` of the plan's geometry.
        """


def geometry(small: Small) -> Geometry:
    """What a plan depends on: layout, width, height, stride."""
    return small.layout, small.width, small.height, small.stride


def needed_bytes(small: Small) -> int:
    """How many bytes such a frame has. Raises BadPicture for a geometry that contradicts itself."""
    sound = (
        small.layout in ("i420", "nv12")
        and small.width > 0
        and small.height > 0
        and small.width % 2 == 0
        and small.height % 2 == 0
        and small.stride >= small.width
    )
    if not sound:
        raise BadPicture(
            f"a frame of {small.width} x {small.height}, stride {small.stride}, {small.layout} is not 4:2:0"
        )
    chroma_stride = small.stride if small.layout == "nv12" else 2 * (small.stride // 2)
    return small.stride * small.height + chroma_stride * (small.height // 2)


def plan_for(frame: Geometry, size: tuple[int, int], *, signed: bool, ycc: bool = False) -> Plan:
    """The fastest sound plan for frames of this geometry; `size` is the input's width and height."""
    _, width, height, _ = frame
    if width == 2 * size[0] and height <= _MOST_SHRINK * size[1]:
        return HalvingPlan(frame, size, signed=signed, ycc=ycc)
    if width <= 2 * _MOST_SHRINK * size[0] and height <= _MOST_SHRINK * size[1]:
        return SamplingPlan(frame, size, signed=signed, ycc=ycc)
    return ResamplingPlan(frame, size, signed=signed, ycc=ycc)


class HalvingPlan:
    """Frames exactly twice as wide as the input."""

    def __init__(self, frame: Geometry, size: tuple[int, int], *, signed: bool, ycc: bool = False) -> None:
        self._layout, self._width, self._height, self._stride = frame
        columns, rows = size
        half = self._height // 2
        self._lowest, self._highest = (-128, 127) if signed else (0, 255)
        taps = taps_of(self._height, rows, _WEIGHT_BITS) or whole_rows(rows, _WEIGHT_BITS)
        self._taps = [(places, weights.view(np.uint16)) for places, weights in taps]
        self._chroma_rows = ((np.arange(rows) + 0.5) * half / rows).astype(np.intp)
        self._constants = _TINT_CONSTANTS - ((128 << _TINT_BITS) if signed else 0)
        # Few arrays, used again and again: what limits the speed is memory, not sums.
        most = max(self._height, rows)
        one, two, three = (np.empty((most + extra, columns), _INT16) for extra in (0, 0, half))
        self._pairs, self._odd = (each[: self._height].view(np.uint16) for each in (one, two))
        self._luma = two[:rows].view(np.uint16)
        self._tap = three[:rows].view(np.uint16)
        self._chroma = one[: 2 * half].reshape(2, half, columns)
        self._tints = three[: 3 * half].reshape(3, half, columns)
        self._row = one[:rows]
        # A value clipped to 8 bits: its low bytes are all there is. Of luma the high ones.
        self._low = self._row.view(np.int8 if signed else np.uint8)[:, ::2]
        self._high = self._luma.view(np.uint8)[:, 1::2]
        self._flip = 0x80 if signed else 0  # of a byte: the same as taking 128 away
        chroma = one.reshape(-1).view(np.uint8)[: 3 * half * columns].reshape(half, columns, 3)
        self._grown = chroma if ycc else None

    def write(self, data: bytes, out: npt.NDArray[Any]) -> None:
        """See Plan."""
        self._read_luma(data)
        if self._grown is not None:
            self._write_planes(data, self._grown, out)
            return
        self._read_chroma(data)
        np.right_shift(self._luma, _LUMA_BITS, out=self._luma)
        row, luma = self._row, self._luma.view(_INT16)
        for channel in range(3):
            self._tints[channel].take(self._chroma_rows, axis=0, out=row, mode="clip")
            np.add(row, luma, out=row)
            _clip(row, self._lowest, self._highest, out=row)
            np.copyto(out[..., channel], self._low)

    def _write_planes(self, data: bytes, grown: Pixels, out: npt.NDArray[Any]) -> None:
        """`grown`: chroma in its place among the pixels, but only as many rows as the frame has of it."""
        for number, plane in enumerate(self._chroma_planes(data), 1):
            np.copyto(grown[..., number], plane)
        into = out.view(np.uint8)
        grown.take(self._chroma_rows, axis=0, out=into, mode="clip")
        np.copyto(into[..., 0], self._high)
        if self._flip:
            np.bitwise_xor(into, self._flip, out=into)

    def _read_luma(self, data: bytes) -> None:
        """Luma in the high bytes, the rest behind the point."""
        plane = np.frombuffer(data, np.uint8, self._height * self._stride).reshape(self._height, self._stride)
        pairs, luma = self._pairs, self._luma
        _split(plane[:, : self._width], pairs, self._odd)
        np.add(pairs, self._odd, out=pairs)
        for number, (rows, weights) in enumerate(self._taps):
            into = self._tap if number else luma
            pairs.take(rows, axis=0, out=into, mode="clip")
            np.multiply(into, weights, out=into)
            if number:
                np.add(luma, into, out=luma)

    def _read_chroma(self, data: bytes) -> None:
        """What red, green and blue add to luma, at chroma's own resolution."""
        chroma, tints = self._chroma, self._tints
        if self._layout == "nv12":
            _split(self._both(data), chroma[0].view(np.uint16), chroma[1].view(np.uint16))
        else:
            np.copyto(chroma, self._chroma_planes(data))
        np.multiply(chroma, _BLUE_AND_RED_TINTS, out=tints[2::-2])
        np.multiply(chroma, _GREEN_TINTS, out=chroma)
        np.add(chroma[0], chroma[1], out=tints[1])
        np.add(tints, self._constants, out=tints)
        np.right_shift(tints, _TINT_BITS, out=tints)

    def _both(self, data: bytes) -> Pixels:
        """Both planes of nv12, interleaved."""
        half, start = self._height // 2, self._height * self._stride
        both = np.frombuffer(data, np.uint8, half * self._stride, start).reshape(half, self._stride)
        return both[:, : self._width]

    def _chroma_planes(self, data: bytes) -> Pixels:
        """[2, rows, columns]: Cb and Cr."""
        half, start = self._height // 2, self._height * self._stride
        if self._layout == "nv12":
            return self._both(data).reshape(half, -1, 2).transpose(2, 0, 1)
        stride = self._stride // 2
        planes = np.frombuffer(data, np.uint8, 2 * half * stride, start).reshape(2, half, stride)
        return planes[..., : self._width // 2]


def _split(plane: Pixels, left: npt.NDArray[np.uint16], right: npt.NDArray[np.uint16]) -> None:
    """The left and the right one of each pair of neighbouring bytes."""
    pairs = plane.view(_PAIR)
    np.bitwise_and(pairs, 0xFF, out=left)
    np.right_shift(pairs, 8, out=right)


class ResamplingPlan:
    """Frames of any size, through Pillow."""

    def __init__(self, frame: Geometry, size: tuple[int, int], *, signed: bool, ycc: bool = False) -> None:
        self._layout, self._width, self._height, self._stride = frame
        self._size = size
        self._signed = signed
        self._ycc = ycc

    def write(self, data: bytes, out: npt.NDArray[Any]) -> None:
        """See Plan."""
        from PIL import Image

        planes = [plane.resize(self._size, Image.Resampling.BILINEAR) for plane in self._planes(data)]
        whole = Image.merge("YCbCr", planes)
        put(np.asarray(whole if self._ycc else whole.convert("RGB")), out, signed=self._signed)

    def _planes(self, data: bytes) -> list[Image.Image]:
        from PIL import Image

        luma = self._stride * self._height
        width, height = self._width // 2, self._height // 2
        planes = [_grey(data, 0, (self._width, self._height), self._stride)]
        if self._layout == "nv12":
            both = np.frombuffer(data, np.uint8, height * self._stride, luma).reshape(height, self._stride)
            planes += [Image.fromarray(both[:, start : 2 * width : 2]) for start in (0, 1)]
        else:
            stride = self._stride // 2
            planes += [_grey(data, luma + part * height * stride, (width, height), stride) for part in (0, 1)]
        return planes


def _grey(data: bytes, start: int, size: tuple[int, int], stride: int) -> Image.Image:
    from PIL import Image

    plane = np.frombuffer(data, np.uint8, stride * size[1], start)
    return Image.frombuffer("L", size, plane, "raw", "L", stride, 1)
