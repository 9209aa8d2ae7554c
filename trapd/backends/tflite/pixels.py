"""From bytes to the numbers that a model's input takes: the range it was trained on, and its quantisation.

Pure, on any thread; decided once when a model is loaded.

A quantised input says by its scale which real numbers it stands for. Where these are 0 to 1, -1 to 1 or 0 to
255 the byte goes in as it is (int8: less 128); where they are wider than -1 to 1, as ImageNet's mean and
deviation make them, each byte goes through a table. An input of floats says nothing: what the metadata says
holds, else what the user says, else what models of its layout are trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from trapd.backends.tflite.interpreter import Tensor
from trapd.frozen import Frozen

if TYPE_CHECKING:
    import numpy.typing as npt

UNIT: Final = "0..1"
SIGNED: Final = "-1..1"
BYTES: Final = "0..255"
IMAGENET: Final = "imagenet"

_OF_BYTES: Final[dict[str, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    UNIT: ((0.0,), (255.0,)),
    SIGNED: ((127.5,), (127.5,)),
    BYTES: ((0.0,), (1.0,)),
    IMAGENET: ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
"""Mean and deviation, of bytes."""

RANGES: Final = tuple(_OF_BYTES)
"""What a user may say of a model's input."""

_NEAR: Final = 1.5  # of a byte: converters calibrate on what they saw, a little less than everything


class Normalisation(Frozen):
    """What goes in is (byte - mean) / std, one value or one for each colour.

    `table` is for a quantised input that needs one: [3, 256], what each byte becomes. `exact`: bytes go in
    as they are. `name` is for people.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    exact: bool = True
    table: npt.NDArray[np.uint8] | None = None

    @property
    def plain(self) -> bool:
        """One factor and one offset for all colours."""
        return len(self.mean) == 1 and len(self.std) == 1


def normalisation(
    tensor: Tensor, *, pixels: str | None, mean: tuple[float, ...], std: tuple[float, ...], usual: str
) -> Normalisation:
    """For this input. `usual`: the range where nobody says one."""
    if mean:
        said = Normalisation(f"(byte - {_words(mean)}) / {_words(std)}", mean, std)
    else:
        name = pixels or usual
        said = Normalisation(name if pixels else f"{name} (assumed)", *_OF_BYTES[name])
    if tensor.dtype == "float32":
        return said
    return _quantised(tensor, said if mean or pixels else None)


def _quantised(tensor: Tensor, said: Normalisation | None) -> Normalisation:
    offset = 128 if tensor.dtype == "int8" else 0
    if not tensor.scale:
        return Normalisation("bytes as they are", (0.0,), (1.0,))
    if said is None:
        said = _by_scale(tensor, offset)
    if said is None:
        return Normalisation("bytes as they are", (0.0,), (1.0,))
    table = _table(tensor, said)
    plain = np.arange(256) - offset
    if float(np.abs(table - plain).max()) <= _NEAR:
        return Normalisation(said.name, said.mean, said.std)
    dtype = np.int8 if offset else np.uint8
    return Normalisation(said.name, said.mean, said.std, False, table.astype(dtype).view(np.uint8))


def _table(tensor: Tensor, said: Normalisation) -> npt.NDArray[np.float64]:
    lowest, highest = (-128, 127) if tensor.dtype == "int8" else (0, 255)
    mean, std = (np.resize(np.array(values, np.float64), 3)[:, None] for values in (said.mean, said.std))
    real = (np.arange(256) - mean) / std
    table: npt.NDArray[np.float64] = np.clip(
        np.rint(real / tensor.scale) + tensor.zero_point, lowest, highest
    )
    return table


def _by_scale(tensor: Tensor, offset: int) -> Normalisation | None:
    """What the real numbers that this input can hold stand for."""
    low = (0 - offset - tensor.zero_point) * tensor.scale
    high = (255 - offset - tensor.zero_point) * tensor.scale
    if low < -1.6 and 1.8 < high < 4:
        return Normalisation(IMAGENET, *_OF_BYTES[IMAGENET])
    for name in (UNIT, SIGNED, BYTES):
        mean, std = _OF_BYTES[name]
        ends = -mean[0] / std[0], (255 - mean[0]) / std[0]
        if all(
            abs(end - found) <= 0.06 * (ends[1] - ends[0])
            for end, found in zip(ends, (low, high), strict=True)
        ):
            return Normalisation(name, mean, std)
    return None


def _words(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
