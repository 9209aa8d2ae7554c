"""What detectors have in common: boxes with a confidence and a class become one frame's score.

Called by the layouts that give boxes, on the classifier's thread. Every box of a class that may be worth
keeping counts; those of a class known to be nothing (COCO's bench) do not. A class whose label trapd does not
know counts as `unclassified`: it is something, and what it is nobody can say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from trapd.backends.tflite.fit import clipped
from trapd.backends.tflite.interpreter import Array
from trapd.backends.tflite.labels import CLASSES, UNCLASSIFIED, Labels
from trapd.frozen import Frozen
from trapd.records import Detection, FrameScore

if TYPE_CHECKING:
    import numpy.typing as npt

BOX_FLOOR: Final = 0.05
"""Boxes below this confidence are not given."""

_MOST_CANDIDATES: Final = 300  # before boxes of one animal are joined: the strongest ones
_MOST_BOXES: Final = 50
_OVERLAP: Final = 0.5  # intersection over union, from which two boxes are one animal's
_TOLERANCE: Final = 0.02

Floats: TypeAlias = "npt.NDArray[Any]"


class Categories(Frozen):
    """The category of each class by its number; None for one that counts for nothing.

    `beyond`: of a number that has no label. Without labels every class is `unclassified`.
    """

    names: tuple[str | None, ...]
    beyond: str | None = None

    @staticmethod
    def of(labels: Labels | None, classes: int | None = None) -> Categories:
        """For as many classes as there are labels, or as the model has where that is known."""
        if labels is None:
            return Categories((UNCLASSIFIED,) * (classes or 0), UNCLASSIFIED)
        named = (*CLASSES, UNCLASSIFIED)
        return Categories(tuple(found if found in named else None for found in labels.meanings))

    @property
    def told(self) -> frozenset[str]:
        """The classes that at least one number stands for."""
        return frozenset(name for name in self.names if name in CLASSES)

    def of_number(self, number: int) -> str | None:
        """None for a number below 0 too."""
        if 0 <= number < len(self.names):
            return self.names[number]
        return self.beyond if number >= 0 else None

    def kept_rows(self) -> npt.NDArray[np.intp] | None:
        """The numbers of the classes that count; None where all do."""
        kept = [number for number, name in enumerate(self.names) if name is not None]
        return None if len(kept) == len(self.names) else np.array(kept, np.intp)


def require_confidence(value: Any) -> None:
    """Raise ValueError for what is no confidence. Written so that NaN fails it."""
    if not -_TOLERANCE <= value <= 1 + _TOLERANCE:
        raise ValueError(f"a confidence of {value}")


def frame_score(
    found: Iterable[tuple[str, float, Sequence[float]]], best: dict[str, float] | None = None
) -> FrameScore:
    """Of (category, confidence, corners): left, top, right, bottom, relative to the input.

    `best`: the best confidence of each category where `found` does not hold all. A class that is told is left
    out where something stronger is `unclassified`: it would then speak for the whole frame.
    """
    best = dict(best or {})
    boxes: list[Detection] = []
    for category, value, corners in found:
        conf = min(1.0, max(0.0, value))
        best[category] = max(best.get(category, 0.0), conf)
        left, top, right, bottom = corners
        box = clipped(left, top, right, bottom)
        if conf >= BOX_FLOOR and box is not None and len(boxes) < _MOST_BOXES:
            boxes.append(Detection(0, category, conf, box))
    score = max(best.values(), default=0.0)
    unnamed = best.pop(UNCLASSIFIED, 0.0)
    return FrameScore(score, {} if best and unnamed >= score else best, tuple(boxes))


def score_candidates(
    categories: Categories, scores: Floats, numbers: Array, corners: Callable[[Array], Floats], *, join: bool
) -> FrameScore:
    """One frame's score from many boxes: the confidence of each, its class number, and its corners.

    `corners` gives those of the places it is asked for, [n, 4]: left, top, right, bottom, relative to the
    input. `join`: boxes that overlap a stronger one of their class go. Raises ValueError for what is no box.
    """
    if not len(scores):
        return FrameScore(0.0)
    require_confidence(float(scores.min()))
    require_confidence(float(scores.max()))
    best: dict[str, float] = {}
    for number in np.unique(numbers):
        category = categories.of_number(int(number))
        if category is not None:
            most = min(1.0, max(0.0, float(scores[numbers == number].max())))
            best[category] = max(best.get(category, 0.0), most)
    places = strongest(scores)
    boxes = corners(places)
    if not np.isfinite(boxes).all():
        raise ValueError("a box that is not a number")
    scores, numbers = scores[places], numbers[places]
    order = suppressed(boxes, numbers) if join else list(range(min(len(places), _MOST_BOXES)))
    rows, confs, classes = boxes.tolist(), scores.tolist(), numbers.tolist()
    named = ((categories.of_number(int(classes[at])), confs[at], rows[at]) for at in order)
    return frame_score(((name, conf, row) for name, conf, row in named if name is not None), best)


def suppressed(corners: Floats, numbers: Array) -> list[int]:
    """Places of the boxes that stay when those that overlap a stronger one of their class go.

    `corners` is [n, 4]: left, top, right, bottom; all are sorted, the strongest first.
    """
    corners = corners.astype(np.float64)
    areas = np.maximum(0.0, corners[:, 2] - corners[:, 0]) * np.maximum(0.0, corners[:, 3] - corners[:, 1])
    alive = np.ones(len(numbers), bool)
    kept: list[int] = []
    for place in range(len(numbers)):
        if not alive[place]:
            continue
        kept.append(place)
        if len(kept) == _MOST_BOXES:
            break
        low = np.maximum(corners[place, :2], corners[place + 1 :, :2])
        high = np.minimum(corners[place, 2:], corners[place + 1 :, 2:])
        common = np.prod(np.maximum(0.0, high - low), axis=1)
        union = areas[place] + areas[place + 1 :] - common
        same = numbers[place + 1 :] == numbers[place]
        alive[place + 1 :] &= ~(same & (common > _OVERLAP * np.maximum(union, 1e-12)))
    return kept


def strongest(scores: Floats) -> npt.NDArray[np.intp]:
    """Places of the highest scores, highest first, no more than are looked at."""
    places = np.arange(len(scores))
    if len(scores) > _MOST_CANDIDATES:
        places = np.argpartition(-scores, _MOST_CANDIDATES)[:_MOST_CANDIDATES]
    return places[np.argsort(-scores[places], kind="stable")]
