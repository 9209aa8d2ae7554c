"""Which rows of a plane make a row of a smaller or larger one, and how much of each. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

Taps: TypeAlias = "list[tuple[npt.NDArray[np.intp], npt.NDArray[np.int16]]]"
"""Per tap: which row of the source, and its weight, for every row of the target."""


def taps_of(source: int, target: int, bits: int) -> Taps | None:
    """A triangle as wide as the shrinkage, as Pillow's bilinear resize has it; below 1.25 two taps do.

    Weights are in 1 / 2**bits. None where nothing changes.
    """
    if source == target:
        return None
    scale = source / target
    reach = scale if scale > 1.25 else 1.0
    centres = (np.arange(target) + 0.5) * scale - 0.5
    taps = math.ceil(2 * reach)
    first = np.floor(centres - reach).astype(np.intp) + 1
    rows = first[:, None] + np.arange(taps)
    exact = np.maximum(0.0, 1.0 - np.abs(rows - centres[:, None]) / reach)
    exact *= (rows >= 0) & (rows < source)
    exact *= (1 << bits) / exact.sum(axis=1, keepdims=True)
    weights = np.rint(exact).astype(np.int16)
    # Rounding must not change the sum: the heaviest tap takes the difference.
    heaviest = weights.argmax(axis=1)
    weights[np.arange(target), heaviest] += (1 << bits) - weights.sum(axis=1, dtype=np.int16)
    rows = np.clip(rows, 0, source - 1)
    return [(rows[:, tap], weights[:, tap : tap + 1]) for tap in range(taps) if weights[:, tap].any()]


def lengthened(taps: Taps, extra: int) -> Taps:
    """The same, with its last row so many times more."""
    return [
        (np.pad(rows, (0, extra), mode="edge"), np.pad(weights, ((0, extra), (0, 0)), mode="edge"))
        for rows, weights in taps
    ]


def whole_rows(rows: int, bits: int) -> Taps:
    """One tap, for as many rows as there are."""
    return [(np.arange(rows, dtype=np.intp), np.full((rows, 1), 1 << bits, np.int16))]
