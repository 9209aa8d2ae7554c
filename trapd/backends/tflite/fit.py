"""How a picture is laid into the input of a model: stretched, letterboxed or cropped.

Pure sums, on any thread. Boxes come back relative to the input; `Placed.box_of_picture` makes them relative
to the picture.
"""

from __future__ import annotations

from typing import Final

from trapd.frozen import Frozen

STRETCH: Final = "stretch"
LETTERBOX: Final = "letterbox"
CROP: Final = "crop"
FITS: Final = (STRETCH, LETTERBOX, CROP)

_MOST_CROPPED: Final = 8.0  # a strip that is longer would be enlarged beyond all measure: it is stretched

Box = tuple[float, float, float, float]


class Placed(Frozen):
    """Where the whole picture lies, in pixels of the input; beyond its edges where it is cropped."""

    left: int
    top: int
    width: int
    height: int

    def fills(self, size: tuple[int, int]) -> bool:
        """Whether it is the input, all of it and no more."""
        return (self.left, self.top, self.width, self.height) == (0, 0, *size)

    def box_of_picture(self, box: Box, size: tuple[int, int]) -> Box | None:
        """The box [x, y, width, height], relative to the input of `size`, relative to the picture.

        Clipped to it; None where nothing is left.
        """
        left = (box[0] * size[0] - self.left) / self.width
        top = (box[1] * size[1] - self.top) / self.height
        right = left + box[2] * size[0] / self.width
        bottom = top + box[3] * size[1] / self.height
        return clipped(left, top, right, bottom)


def clipped(left: float, top: float, right: float, bottom: float) -> Box | None:
    """[x, y, width, height] within 0 to 1; None for a box without area."""
    left, top, right, bottom = (min(1.0, max(0.0, value)) for value in (left, top, right, bottom))
    if right <= left or bottom <= top:
        return None
    return left, top, right - left, bottom - top


def place(picture: tuple[int, int], size: tuple[int, int], fit: str) -> Placed:
    """Lay a picture of (width, height) into an input of `size`. Letterboxed and cropped ones are centred."""
    ratios = size[0] / picture[0], size[1] / picture[1]
    if fit == STRETCH or (fit == CROP and max(ratios) > _MOST_CROPPED * min(ratios)):
        return Placed(0, 0, *size)
    ratio = min(ratios) if fit == LETTERBOX else max(ratios)
    width, height = (max(1, round(length * ratio)) for length in picture)
    return Placed((size[0] - width) // 2, (size[1] - height) // 2, width, height)
