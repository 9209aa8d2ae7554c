"""Plain classifiers: one output [1, C], one value a class, no boxes.

The values are probabilities (softmax or sigmoid, quantised or not) or logits; which, the self-test's
pictures tell: a value outside 0..1 on any of them makes them logits. A frame's score is 1 - p(empty), so a
label has to say which class is the empty one; without labels the model can be loaded and tested, but judges
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from trapd.backends.tflite_interpreter import Array
from trapd.backends.tflite_labels import CLASSES, EMPTY, meaning, told
from trapd.backends.tflite_metadata import ModelFacts
from trapd.errors import ModelUnavailable
from trapd.records import FrameScore

THRESHOLD: Final = 0.5
"""More likely not empty than empty."""

_TOLERANCE: Final = 0.02


@dataclass(frozen=True, slots=True)
class ClassifierLayout:
    """Layout of a plain classifier."""

    labels: tuple[str, ...] | None
    tells: frozenset[str]
    logits: bool
    name: str = "classifier"
    threshold: float = THRESHOLD
    signed_float: bool = False

    def decode(self, outputs: Sequence[Array]) -> FrameScore:
        """See Layout."""
        values = outputs[0][0].astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("a value that is not a number")
        if self.logits:
            powers = np.exp(values - values.max())
            values = powers / powers.sum()
        if not (values.min() >= -_TOLERANCE and values.max() <= 1 + _TOLERANCE):
            raise ValueError("probabilities outside 0 to 1")
        by_meaning: dict[str, float] = {}
        for label, value in zip(self.labels or (), values.tolist(), strict=False):
            if (found := meaning(label)) is not None:
                by_meaning[found] = min(1.0, by_meaning.get(found, 0.0) + max(0.0, value))
        score = 1.0 - by_meaning[EMPTY] if EMPTY in by_meaning else 0.0
        return FrameScore(score, {name: by_meaning[name] for name in CLASSES if name in self.tells})


def recognise(facts: ModelFacts) -> ClassifierLayout | None:
    """The layout, if there is one row of values and nothing else. Raises ModelUnavailable for odd labels."""
    if len(facts.outputs) != 1 or len(facts.outputs[0].shape) != 2 or facts.outputs[0].shape[1] < 2:
        return None
    labels = facts.metadata.labels
    if labels is not None:
        if len(labels) != facts.outputs[0].shape[1]:
            raise ModelUnavailable(
                f"the model has {facts.outputs[0].shape[1]} classes, but {len(labels)} labels",
                "check filter.labels",
            )
        if not any(meaning(label) == EMPTY for label in labels):
            raise ModelUnavailable(
                "none of the model's labels means an empty picture",
                "name that class `empty` in filter.labels, or take another model",
            )
    logits = any(
        bool(np.any(sample[0] < -_TOLERANCE) or np.any(sample[0] > 1 + _TOLERANCE))
        for sample in facts.samples
    )
    return ClassifierLayout(labels, told(labels) if labels else frozenset(), logits)
