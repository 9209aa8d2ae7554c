"""A low-resolution frame brought to any size by numpy alone, in 16-bit integers.

`SamplingPlan` is for sizes that are not exactly half the frame's: see `small`, which chooses and which
says what a plan promises. Every row of the result is a weighed sum of whole rows, which costs nearly nothing;
columns are made the same way, on the transposed picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from trapd.backends.tflite.taps import Taps, lengthened, taps_of, whole_rows

if TYPE_CHECKING:
    import numpy.typing as npt

Geometry = tuple[str, int, int, int]

_INT16: Final = np.dtype("<i2")
_PAIR: Final = np.dtype("<u2")
_BITS: Final = 6  # of a weight; a byte, or the sum of two, times 64 fits into 16 bits
_FINE: Final = 2  # bits that are kept behind the point between the two passes
_COLUMN_BITS: Final = 5  # of a weight of the second pass: a byte, two bits and these fit
_TINT_BITS: Final = 6
_SPREAD: Final = 8
_NEAREST: Final = (0.4, 1.5)  # chroma's size, over the result's, between which the nearest value does

Int16: TypeAlias = "npt.NDArray[np.int16]"

_TINTS: Final = ((0, 90), (-22, -46), (113, 0))
"""What Cb and Cr, less 128, add to luma for red, green and blue, in 1/64 (ITU-T T.871)."""

_core: Any = getattr(np, "_core", None) or np.core
_clip: Final = _core.umath.clip


class SamplingPlan:
    """Frames of one geometry to pixels of one size (width, height)."""

    def __init__(self, frame: Geometry, size: tuple[int, int], *, signed: bool, ycc: bool = False) -> None:
        self._layout, self._width, self._height, self._stride = frame
        columns, wanted_rows = size
        # Columns of a round number of bytes fall on the same few lines of the processor's cache, and turning
        # the picture takes twice as long: a few rows more, which nobody reads, keep them apart.
        rows = wanted_rows + (_SPREAD if wanted_rows % 64 == 0 else 0)
        self._signed = signed
        self._ycc = ycc
        self._wanted_rows = wanted_rows
        # Two neighbours are added first where that still leaves enough columns.
        self._paired = self._width >= 2 * columns
        luma = self._height, self._width // 2 if self._paired else self._width
        chroma = self._height // 2, self._width // 2
        near = all(
            _NEAREST[0] * wanted <= given <= _NEAREST[1] * wanted
            for given, wanted in zip(chroma, (rows, columns), strict=True)
        )
        scratch = _Scratch(max(luma[0], rows) * max(luma[1], columns))
        self._left, self._right = scratch.view(0, luma), scratch.view(1, luma)
        target, extra = (wanted_rows, columns), rows - wanted_rows
        self._luma = _Resized(luma, target, scratch, extra=extra, more=int(self._paired))
        self._chroma: _Nearest | _Averaged = (_Nearest if near else _Averaged)(chroma, target, scratch, extra)
        self._tints = np.empty((2, columns, rows), _INT16)
        self._bright = np.empty((columns, rows), _INT16)
        self._total, self._part = (scratch.view(number, (columns, rows)) for number in range(2))
        # A value clipped to 8 bits: its low bytes are all there is.
        self._low = self._total.view(np.int8 if signed else np.uint8)[:, ::2].T[:wanted_rows]

    def write(self, data: bytes, out: npt.NDArray[Any]) -> None:
        """See Plan."""
        self._luma.write(self._luma_rows(data), self._bright)
        self._chroma.write(self._chroma_rows(data), self._tints)
        if self._ycc:
            for channel, plane in enumerate((self._bright, *self._tints)):
                low = plane.view(np.uint8)[:, ::2].T[: self._wanted_rows]
                put(low, out[..., channel], signed=self._signed)
            return
        np.subtract(self._tints, 128, out=self._tints)
        if self._signed:
            np.subtract(self._bright, 128, out=self._bright)
        lowest, highest = (-128, 127) if self._signed else (0, 255)
        for channel, (blue, red) in enumerate(_TINTS):
            self._tint(blue, red)
            np.add(self._total, self._bright, out=self._total)
            _clip(self._total, lowest, highest, out=self._total)
            np.copyto(out[..., channel], self._low)

    def _tint(self, blue: int, red: int) -> None:
        """What one colour adds to luma."""
        total, part = self._total, self._part
        if blue and red:
            np.multiply(self._tints[0], blue, out=total)
            np.multiply(self._tints[1], red, out=part)
            np.add(total, part, out=total)
        else:
            np.multiply(self._tints[0 if blue else 1], blue or red, out=total)
        np.add(total, 1 << (_TINT_BITS - 1), out=total)
        np.right_shift(total, _TINT_BITS, out=total)

    def _luma_rows(self, data: bytes) -> npt.NDArray[Any]:
        plane = np.frombuffer(data, np.uint8, self._height * self._stride).reshape(self._height, self._stride)
        plane = plane[:, : self._width]
        if not self._paired:
            return plane
        pairs = plane.view(_PAIR)
        np.bitwise_and(pairs, 0xFF, out=self._left.view(_PAIR))
        np.right_shift(pairs, 8, out=self._right.view(_PAIR))
        np.add(self._left, self._right, out=self._left)
        return self._left

    def _chroma_rows(self, data: bytes) -> npt.NDArray[np.uint8]:
        """[2, rows, columns]: Cb and Cr."""
        start, rows, columns = self._height * self._stride, self._height // 2, self._width // 2
        if self._layout == "nv12":
            both = np.frombuffer(data, np.uint8, rows * self._stride, start).reshape(rows, self._stride)
            return both[:, : 2 * columns].reshape(rows, columns, 2).transpose(2, 0, 1)
        stride = self._stride // 2
        planes = np.frombuffer(data, np.uint8, 2 * rows * stride, start).reshape(2, rows, stride)
        return planes[..., :columns]


def put(values: npt.NDArray[np.uint8], out: npt.NDArray[Any], *, signed: bool) -> None:
    """Bytes into `out`: as they are, or less 128."""
    if signed:
        np.bitwise_xor(values, 0x80, out=out.view(np.uint8))  # the same as taking 128 away
    else:
        np.copyto(out, values)


class _Scratch:
    """Three arrays that every step uses again and again: what limits the speed is memory, not sums."""

    def __init__(self, most: int) -> None:
        self._arrays = [np.empty(most, _INT16) for _ in range(3)]

    def view(self, number: int, shape: tuple[int, int]) -> Int16:
        return self._arrays[number][: shape[0] * shape[1]].reshape(shape)


class _Nearest:
    """Both planes of chroma to [2, columns, rows], each the nearest value: colour needs no more."""

    def __init__(
        self, source: tuple[int, int], target: tuple[int, int], scratch: _Scratch, extra: int
    ) -> None:
        self._rows, self._columns = (
            ((np.arange(wanted) + 0.5) * given / wanted).astype(np.intp)
            for given, wanted in zip(source, target, strict=True)
        )
        self._rows = np.pad(self._rows, (0, extra), mode="edge")
        self._turned = scratch.view(0, (source[1], target[0] + extra))

    def write(self, planes: npt.NDArray[np.uint8], out: Int16) -> None:
        for plane, chroma in zip(planes, out, strict=True):
            np.copyto(self._turned, plane[self._rows].T)
            self._turned.take(self._columns, axis=0, out=chroma, mode="clip")


class _Averaged:
    """The same where much is shrunk or enlarged, and neighbours must be weighed."""

    def __init__(
        self, source: tuple[int, int], target: tuple[int, int], scratch: _Scratch, extra: int
    ) -> None:
        self._each = _Resized(source, target, scratch, extra=extra, more=0)

    def write(self, planes: npt.NDArray[np.uint8], out: Int16) -> None:
        for plane, chroma in zip(planes, out, strict=True):
            self._each.write(plane, chroma)


class _Resized:
    """One plane, which may lie in the first array, to [columns, rows], transposed.

    `more`: bits by which its values exceed a byte. `extra`: rows that nobody reads.
    """

    def __init__(
        self,
        source: tuple[int, int],
        target: tuple[int, int],
        scratch: _Scratch,
        *,
        extra: int,
        more: int,
    ) -> None:
        self._down = taps_of(source[0], target[0], _BITS)
        if extra:
            self._down = lengthened(self._down or whole_rows(target[0], _BITS), extra)
        self._across = taps_of(source[1], target[1], _COLUMN_BITS)
        self._more = more
        rows = target[0] + extra
        between = rows, source[1]
        self._first, self._tap = scratch.view(2, between), scratch.view(1, between)
        self._turned = scratch.view(0, between[::-1])
        self._column_tap = scratch.view(1, (target[1], rows))

    def write(self, plane: npt.NDArray[Any], out: Int16) -> None:
        first, turned = self._first, self._turned
        if self._down is None:
            np.left_shift(plane, _FINE - self._more, out=first, dtype=_INT16)
        else:
            _weigh(plane, self._down, first, self._tap)
            np.right_shift(first, _BITS + self._more - _FINE, out=first)
        np.copyto(turned, first.T)
        bits = _FINE
        if self._across is None:
            np.copyto(out, turned)
        else:
            _weigh(turned, self._across, out, self._column_tap)
            bits += _COLUMN_BITS
        np.add(out, 1 << (bits - 1), out=out)
        np.right_shift(out, bits, out=out)


def _weigh(plane: npt.NDArray[Any], taps: Taps, out: Int16, tap: Int16) -> None:
    """`out` becomes the weighed sum of rows of `plane`."""
    whole = plane.dtype == _INT16 and plane.flags.c_contiguous
    for number, (rows, weights) in enumerate(taps):
        into = tap if number else out
        if whole:
            plane.take(rows, axis=0, out=into, mode="clip")
            np.multiply(into, weights, out=into)
        else:
            np.multiply(plane[rows], weights, out=into)
        if number:
            np.add(out, into, out=out)
