"""Pictures to the input tensor of a model, whatever its type: uint8, int8 or float32, channels last.

One thread owns it.

Bytes go in as they are; int8 means the byte less 128, as converters calibrate it for 0..1 and for -1..1
alike. Floats run from 0 to 1, or from -1 to 1 where the layout says so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from trapd.backends.pictures import Pixels, decode_rgb
from trapd.backends.tflite_interpreter import Array
from trapd.backends.tflite_small import Geometry, Plan, geometry, needed_bytes, plan_for
from trapd.errors import BadPicture
from trapd.records import Small

Writer = Callable[[Array], None]

_MOST_PLANS = 4  # a camera gives one geometry; a hostile caller may give many


class PictureInput:
    """Writes pictures into tensors of `size` (width, height) and type `dtype`."""

    def __init__(self, size: tuple[int, int], dtype: str) -> None:
        self.size = size
        self.signed_float = False
        self._signed = dtype == "int8"
        self._bytes = np.zeros((size[1], size[0], 3), np.uint8) if dtype == "float32" else None
        self._plans: dict[Geometry, tuple[int, Plan]] = {}

    def read(self, picture: Small | bytes) -> Writer:
        """Look at one picture; the answer fills a tensor [1, height, width, 3] with it. Raises BadPicture.

        In two steps, so that nothing raises while the runtime's own memory is held: an exception that
        somebody keeps would keep that too, and the runtime then refuses to run.
        """
        if not isinstance(picture, Small):
            return partial(self.write_rgb, decode_rgb(picture, self.size))
        return partial(self._write_small, self._plan_for(picture), picture.data)

    def _write_small(self, plan: Plan, data: bytes, out: Array) -> None:
        if self._bytes is None:
            plan.write(data, out[0])
        else:
            plan.write(data, self._bytes)
            self._write_floats(self._bytes, out[0])

    def write_rgb(self, pixels: Pixels, out: Array) -> None:
        """Fill `out` with pixels of exactly its size, uint8 [height, width, 3]."""
        if self._bytes is not None:
            self._write_floats(pixels, out[0])
        elif self._signed:
            np.bitwise_xor(pixels, 0x80, out=out[0].view(np.uint8))  # the same as taking 128 away
        else:
            np.copyto(out[0], pixels)

    def _plan_for(self, small: Small) -> Plan:
        frame = geometry(small)
        known = self._plans.get(frame)
        if known is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            known = needed_bytes(small), plan_for(frame, self.size, signed=self._signed)
            self._plans[frame] = known
        needed, plan = known
        if len(small.data) < needed:
            raise BadPicture(f"the frame has {len(small.data)} bytes where {needed} are needed")
        return plan

    def _write_floats(self, pixels: Pixels, out: Array) -> None:
        scale, offset = (1 / 127.5, -1.0) if self.signed_float else (1 / 255, 0.0)
        np.multiply(pixels, np.float32(scale), out=out)
        np.add(out, np.float32(offset), out=out)
