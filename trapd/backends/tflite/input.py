"""Pictures to the input tensor of a model, whatever its type and order: uint8, int8 or float32, NHWC or NCHW.

One thread owns it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trapd.backends.pictures import Pixels, decode_fitted
from trapd.backends.tflite.fit import STRETCH, Placed, place
from trapd.backends.tflite.interpreter import Array, Tensor
from trapd.backends.tflite.pixels import Normalisation
from trapd.backends.tflite.small import Geometry, Plan, geometry, needed_bytes, plan_for
from trapd.errors import BadPicture
from trapd.frozen import Frozen
from trapd.records import Small

if TYPE_CHECKING:
    import numpy.typing as npt

Writer = Callable[[Array], None]

PAD: Final = 114
"""The grey around a letterboxed picture, as YOLO's makers have it."""

_MOST_PLANS = 4  # a camera gives one geometry; a hostile caller may give many


class Reading(Frozen):
    """One picture, looked at: `write` fills a tensor with it, `placed` is where it lies there.

    `whole`: it fills the tensor, no more and no less.
    """

    write: Writer
    placed: Placed
    whole: bool


class PictureInput:
    """Writes pictures into tensors of one shape ([1, height, width, 3] or [1, 3, height, width]) and type.

    `fit` and `norm` may be changed between two pictures, once the model's layout is known. `colours`: RGB, or
    YCbCr for a model that takes luma and chroma.
    """

    def __init__(
        self, size: tuple[int, int], tensor: Tensor, norm: Normalisation, colours: str = "RGB"
    ) -> None:
        self.size = size
        self._colours = colours
        self.planar = tensor.shape[1] == 3 and tensor.shape[-1] != 3
        self._dtype = tensor.dtype
        self._fit = STRETCH
        self._plans: dict[Geometry, tuple[int, Plan, Placed, bool]] = {}
        self._set(norm)

    def use(self, norm: Normalisation, fit: str) -> None:
        """From now on."""
        self._fit = fit
        self._plans.clear()
        self._set(norm)

    def read(self, picture: Small | bytes) -> Reading:
        """Look at one picture; the writer of the answer fills a tensor with it. Raises BadPicture.

        In two steps, so that nothing raises while the runtime's own memory is held: an exception that
        somebody keeps would keep that too, and the runtime then refuses to run.
        """
        if not isinstance(picture, Small):
            pixels, size = decode_fitted(picture, self._inner, self._colours)
            placed = place(size, self.size, self._fit)
            write = partial(self._write, partial(_copy, pixels), placed)
            return Reading(write, placed, placed.fills(self.size))
        plan, placed, whole = self._plan_for(picture)
        return Reading(partial(self._write, partial(plan.write, picture.data), placed), placed, whole)

    def plan_of(self, picture: Small) -> Plan | None:
        """What fills the whole tensor, channels last, as it is; None where there is more to do.

        The ordinary case, without a step too many: just after the network has run, each one is felt. Raises
        BadPicture.
        """
        if not self._direct or self.planar:
            return None
        plan, _, whole = self._plan_for(picture)
        return plan if whole else None

    def write_pixels(self, pixels: Pixels, out: Array) -> None:
        """Fill `out` with pixels of exactly its size, uint8 [height, width, 3], in the colours it takes."""
        self._write(partial(_copy, pixels), Placed(0, 0, *self.size), out)

    def _set(self, norm: Normalisation) -> None:
        self._norm = norm
        self._direct = self._dtype != "float32" and norm.exact
        self._bytes: Pixels | None = None
        if not self._direct:
            width, height = self.size
            shape = (3, height, width) if self.planar else (height, width, 3)
            self._bytes = self._last(np.zeros(shape, np.uint8))
        grey = np.full((1, 1, 3), PAD, np.uint8)
        pad = np.zeros((1, 1, 3), self._dtype)
        (_copy if self._direct else self._convert)(grey, pad)
        same = bool((pad == pad[0, 0, 0]).all())
        self._pad: Any = pad[0, 0, 0] if same else pad[0, 0]  # one number is filled in far faster than three

    def _inner(self, size: tuple[int, int]) -> tuple[int, int]:
        placed = place(size, self.size, self._fit)
        return placed.width, placed.height

    def _last(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The same, channels last."""
        return array.transpose(1, 2, 0) if self.planar else array

    def _write(self, fill: Writer, placed: Placed, out: Array) -> None:
        """`fill` writes the picture, channels last, into what it is given: bytes, or int8 less 128."""
        if self._bytes is not None:
            fill = partial(self._through_bytes, fill, self._bytes)
        _lay(fill, placed, self._last(out[0]), self._pad)

    def _through_bytes(self, fill: Writer, whole: Pixels, out: Array) -> None:
        height, width = out.shape[:2]
        fits = height <= whole.shape[0] and width <= whole.shape[1]
        pixels = whole[:height, :width] if fits else np.empty((height, width, 3), np.uint8)
        fill(pixels)
        self._convert(pixels, out)

    def _convert(self, pixels: Pixels, out: Array) -> None:
        norm = self._norm
        if self._dtype != "float32":
            if norm.table is None:
                _copy(pixels, out)
                return
            into = out.view(np.uint8)
            for colour in range(3):
                into[..., colour] = norm.table[colour].take(pixels[..., colour])
        elif norm.plain and not self.planar:
            _scale(pixels, norm.mean[0], norm.std[0], out)
        else:
            for colour, (mean, std) in enumerate(
                zip(np.resize(norm.mean, 3), np.resize(norm.std, 3), strict=True)
            ):
                _scale(pixels[..., colour], mean, std, out[..., colour])

    def _plan_for(self, small: Small) -> tuple[Plan, Placed, bool]:
        frame = geometry(small)
        known = self._plans.get(frame)
        if known is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            needed = needed_bytes(small)
            placed = place((small.width, small.height), self.size, self._fit)
            signed = self._direct and self._dtype == "int8"
            size = placed.width, placed.height
            plan = plan_for(frame, size, signed=signed, ycc=self._colours == "YCbCr")
            known = needed, plan, placed, placed.fills(self.size)
            self._plans[frame] = known
        needed, plan, placed, whole = known
        if len(small.data) < needed:
            raise BadPicture(f"the frame has {len(small.data)} bytes where {needed} are needed")
        return plan, placed, whole


def _copy(pixels: Pixels, out: Array) -> None:
    if out.dtype == np.int8:
        np.bitwise_xor(pixels, 0x80, out=out.view(np.uint8))  # the same as taking 128 away
    else:
        np.copyto(out, pixels)


def _scale(pixels: Pixels, mean: float, std: float, out: Array) -> None:
    np.multiply(pixels, np.float32(1 / std), out=out)
    if mean:
        np.subtract(out, np.float32(mean / std), out=out)


def _lay(fill: Writer, placed: Placed, out: Array, pad: Any) -> None:
    """The picture where it belongs in `out`, grey around it: all is written, for the runtime uses it too."""
    height, width = out.shape[:2]
    if placed.fills((width, height)):
        fill(out)
        return
    if placed.left < 0 or placed.top < 0:
        whole = np.empty((placed.height, placed.width, 3), out.dtype)
        fill(whole)
        np.copyto(out, whole[-placed.top : height - placed.top, -placed.left : width - placed.left])
        return
    bottom, right = placed.top + placed.height, placed.left + placed.width
    out[: placed.top] = pad
    out[bottom:] = pad
    out[placed.top : bottom, : placed.left] = pad
    out[placed.top : bottom, right:] = pad
    fill(out[placed.top : bottom, placed.left : right])
