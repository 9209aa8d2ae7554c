"""SSD detectors that end in TFLite's detection post-processing: four outputs.

Boxes [1,N,4] (top, left, bottom, right, relative, at times a little outside 0..1), scores [1,N], classes
[1,N], their number [1]. TensorFlow 1 and 2 export them in different orders: boxes and number are told by
shape, scores and classes by their values, which for classes are whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from trapd.backends.tflite_interpreter import Array
from trapd.backends.tflite_labels import meaning, told
from trapd.backends.tflite_metadata import ModelFacts
from trapd.errors import ModelUnavailable
from trapd.records import Detection, FrameScore

THRESHOLD: Final = 0.35
"""COCO SSD MobileNet v1, highest score of an animal, person or vehicle, on 183 real camera-trap photographs:
recall .86 with .10 of the empties kept; at .30 it is .95 with .27."""

BOX_FLOOR: Final = 0.05
"""Boxes below this confidence are not given."""


@dataclass(frozen=True, slots=True)
class SsdLayout:
    """Layout of SSD with post-processing. `*_at` are places among the outputs."""

    labels: tuple[str, ...] | None
    tells: frozenset[str]
    boxes_at: int
    scores_at: int
    classes_at: int
    count_at: int
    name: str = "ssd"
    threshold: float = THRESHOLD
    signed_float: bool = True

    def decode(self, outputs: Sequence[Array]) -> FrameScore:
        """See Layout."""
        if not all(np.isfinite(output).all() for output in outputs):
            raise ValueError("a value that is not a number")
        count = int(outputs[self.count_at][0])
        scores = outputs[self.scores_at][0].tolist()
        classes = outputs[self.classes_at][0].tolist()
        boxes = outputs[self.boxes_at][0].tolist()
        if not 0 <= count <= len(scores):
            raise ValueError(f"{count} boxes where at most {len(scores)} can be")
        best: dict[str, float] = {}
        found = []
        for score, number, corners in list(zip(scores, classes, boxes, strict=True))[:count]:
            if not -1e-3 <= score <= 1 + 1e-3:
                raise ValueError(f"a confidence of {score}")
            category = self._category(number)
            if category is None:
                continue
            conf = min(1.0, max(0.0, score))
            best[category] = max(best.get(category, 0.0), conf)
            box = _clipped(corners)
            if conf >= BOX_FLOOR and box is not None:
                found.append(Detection(0, category, conf, box))
        return FrameScore(max(best.values(), default=0.0), best, tuple(found))

    def _category(self, number: float) -> str | None:
        if self.labels is None or not 0 <= number < len(self.labels):
            return None
        category = meaning(self.labels[round(number)]) if round(number) < len(self.labels) else None
        return category if category in self.tells else None


def recognise(facts: ModelFacts) -> SsdLayout | None:
    """The layout, if the four outputs are there. Raises ModelUnavailable if they cannot be told apart."""
    if len(facts.outputs) != 4:
        return None
    boxes = [at for at, tensor in enumerate(facts.outputs) if len(tensor.shape) == 3 and tensor.shape[2] == 4]
    count = [at for at, tensor in enumerate(facts.outputs) if int(np.prod(tensor.shape)) == 1]
    rest = [at for at in range(4) if at not in boxes + count]
    if len(boxes) != 1 or len(count) != 1 or len(rest) != 2:
        return None
    if any(facts.outputs[at].shape != facts.outputs[boxes[0]].shape[:2] for at in rest):
        return None
    whole = [at for at in rest if all(_whole_numbers(sample[at]) for sample in facts.samples)]
    if len(whole) != 1:
        raise ModelUnavailable(
            "the model's scores cannot be told from its classes by any picture of the self-test",
            "it may be damaged, or have random weights",
        )
    scores = rest[0] if rest[1] == whole[0] else rest[1]
    labels = _zero_based(facts.metadata.labels)
    tells = told(labels) if labels else frozenset()
    if labels and not tells:
        raise ModelUnavailable(
            "none of the model's labels means an animal, a person or a vehicle",
            "give another filter.labels, or another model",
        )
    return SsdLayout(labels, tells, boxes[0], scores, whole[0], count[0])


def _zero_based(labels: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Class 0 is the first object. A list that begins with the background begins one too early."""
    if labels and meaning(labels[0]) == "empty":
        return labels[1:]
    return labels


def _whole_numbers(values: Array) -> bool:
    return bool(np.all(values == np.rint(values)))


def _clipped(corners: Sequence[float]) -> tuple[float, float, float, float] | None:
    """[x, y, width, height] within the picture; None for a box without area."""
    top, left, bottom, right = (min(1.0, max(0.0, value)) for value in corners)
    if right <= left or bottom <= top:
        return None
    return left, top, right - left, bottom - top
