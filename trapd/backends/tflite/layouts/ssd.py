"""Detectors that end in TFLite's detection post-processing, SSD and EfficientDet-Lite: four outputs.

Boxes [1,N,4] (top, left, bottom, right, relative, at times a little outside 0..1), scores [1,N], classes
[1,N], their number [1]. TensorFlow 1 and 2 export them in different orders: boxes and number are told by
shape, scores and classes by their values, which for classes are whole numbers. Where the self-test's pictures
do not tell (nothing was found in them), the outputs' names do, then the two usual orders.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from trapd.backends.tflite.boxes import Categories, frame_score, require_confidence
from trapd.backends.tflite.facts import ModelFacts
from trapd.backends.tflite.fit import STRETCH
from trapd.backends.tflite.interpreter import Array, real
from trapd.backends.tflite.pixels import SIGNED
from trapd.errors import ModelUnavailable
from trapd.frozen import Frozen
from trapd.records import FrameScore

THRESHOLD: Final = 0.35
"""COCO SSD MobileNet v1, highest score of an animal, person or vehicle, on 183 real camera-trap photographs:
recall .86 with .10 of the empties kept; at .30 it is .95 with .27."""

_NAMED_SCORES: Final = re.compile(r"score|PostProcess:2$|Call:1$|output_1$", re.IGNORECASE)
_NAMED_CLASSES: Final = re.compile(r"class|categor|PostProcess:1$|Call:2$|output_2$", re.IGNORECASE)


class SsdLayout(Frozen):
    """Layout of SSD with post-processing. `*_at` are places among the outputs."""

    labels: tuple[str, ...] | None
    categories: Categories
    boxes_at: int
    scores_at: int
    classes_at: int
    count_at: int
    name: str = "ssd"
    threshold: float = THRESHOLD
    pixels: str = SIGNED
    fit: str = STRETCH
    raw: bool = False
    note: str = ""

    @property
    def tells(self) -> frozenset[str]:
        """See Layout."""
        return self.categories.told if self.labels else frozenset()

    def decode(self, outputs: Sequence[Array]) -> FrameScore:
        """See Layout."""
        # Plain numbers: for ten boxes numpy's calls would cost more than the sums.
        scores = outputs[self.scores_at].reshape(-1).tolist()
        classes = outputs[self.classes_at].reshape(-1).tolist()
        boxes = outputs[self.boxes_at].reshape(-1, 4).tolist()
        number_of = outputs[self.count_at].item()
        if not math.isfinite(sum(scores) + sum(classes) + sum(map(sum, boxes)) + number_of):
            raise ValueError("a value that is not a number")
        count = round(number_of)
        if not 0 <= count <= len(scores):
            raise ValueError(f"{count} boxes where at most {len(scores)} can be")
        found = []
        for score, number, corners in list(zip(scores, classes, boxes, strict=True))[:count]:
            require_confidence(score)
            category = self.categories.of_number(round(number))
            if category is not None:
                top, left, bottom, right = corners
                found.append((category, score, (left, top, right, bottom)))
        return frame_score(found)


def recognise(facts: ModelFacts) -> SsdLayout | None:
    """The layout, if the four outputs are there. Raises ModelUnavailable if they cannot be told apart."""
    if len(facts.outputs) != 4:
        return None
    shapes = [tensor.shape for tensor in facts.outputs]
    boxes = [at for at, shape in enumerate(shapes) if len(shape) in (2, 3) and shape[-1] == 4]
    boxes = [at for at in boxes if len(shapes[at]) == 3] or boxes
    if len(boxes) != 1 or shapes[boxes[0]][:-2] not in ((), (1,)):
        return None
    places = shapes[boxes[0]][-2]
    row = shapes[boxes[0]][:-1]
    rest = [at for at in range(4) if at != boxes[0] and shapes[at] == row]
    count = [at for at in range(4) if at != boxes[0] and int(np.prod(shapes[at])) == 1]
    if places == 1:  # all three hold one number: the count has the fewest axes
        count.sort(key=lambda at: len(shapes[at]))
        if len(count) > 1 and len(shapes[count[0]]) == len(shapes[count[1]]):
            raise ModelUnavailable(
                "the model gives a single box, whose score cannot be told from its class and from the count",
                "export it with more boxes: max_detections of 10 or more",
            )
        count = count[:1]
    rest = [at for at in rest if at not in count]
    if len(count) != 1 or len(rest) != 2 or places < 1:
        return None
    scores, classes = _told_apart(facts, rest, boxes[0], count[0])
    for at in (boxes[0], scores):
        facts.require_scale(at)
    labels = facts.labels()
    if labels and (labels.meanings[0] == "empty" or labels.names[0].strip() == "???"):
        # Class 0 is the first object. A list that begins with the background begins one too early.
        labels = labels.without_first()
    return SsdLayout(
        labels.names if labels else None, Categories.of(labels), boxes[0], scores, classes, count[0]
    )


def _told_apart(facts: ModelFacts, rest: Sequence[int], boxes_at: int, count_at: int) -> tuple[int, int]:
    """Scores and classes among the two outputs `rest`."""
    values = {at: _values(facts, at) for at in rest}
    for first, second in (rest, rest[::-1]):
        if all(map(_confidences, values[first])) and not all(map(_confidences, values[second])):
            if all(map(_whole_numbers, values[second])):
                return first, second
        elif all(map(_whole_numbers, values[second])) and not all(map(_whole_numbers, values[first])):
            return first, second
    for first, second in (rest, rest[::-1]):
        names = facts.outputs[first].name, facts.outputs[second].name
        if _NAMED_SCORES.search(names[0]) and _NAMED_CLASSES.search(names[1]):
            return first, second
    usual = {(0, 3): (2, 1), (1, 2): (0, 3), (3, 0): (1, 2)}
    if (found := usual.get((boxes_at, count_at))) is not None and _nothing_found(facts, rest):
        return found
    raise ModelUnavailable(
        "the model's scores cannot be told from its classes by any picture of the self-test",
        "it may be damaged, or have random weights",
    )


def _nothing_found(facts: ModelFacts, rest: Sequence[int]) -> bool:
    """Whether the usual order is all there is to go by: both are zero for every picture."""
    return all(not values.any() for at in rest for values in _values(facts, at))


def _values(facts: ModelFacts, at: int) -> list[Array]:
    """Classes may be whole numbers as they are; scores may not."""
    return [real(sample[at], facts.outputs[at]) for sample in facts.samples]


def _confidences(values: Array) -> bool:
    return bool(values.min() >= -0.02 and values.max() <= 1.02)


def _whole_numbers(values: Array) -> bool:
    return bool(np.all(np.abs(values - np.rint(values)) < 1e-3))
