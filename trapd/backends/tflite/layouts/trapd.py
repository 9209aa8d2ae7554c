"""trapd's own models: scores, an embedding and a heat map, described by the trapd.json in the file.

The card says when to keep a frame: 1 - p(empty) >= threshold. It also says that animal, person and vehicle
are not told apart reliably, so no class is read from it: what is found is `unclassified`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from trapd.backends.tflite.facts import ModelFacts
from trapd.backends.tflite.fit import STRETCH
from trapd.backends.tflite.interpreter import Array
from trapd.backends.tflite.pixels import UNIT
from trapd.errors import ModelUnavailable
from trapd.frozen import Frozen
from trapd.records import Detection, FrameScore

BOX_FLOOR: Final = 0.05
"""Below this score no box is given."""

_SUM_TOLERANCE: Final = 0.02


class TrapdLayout(Frozen):
    """Layout of trapd's own models."""

    threshold: float
    labels: tuple[str, ...]
    empty_at: int
    scores_at: int
    heat_at: int
    name: str = "trapd"
    tells: frozenset[str] = frozenset()
    pixels: str = UNIT
    fit: str = STRETCH
    raw: bool = False
    note: str = ""
    embedding_at: int | None = None

    def decode(self, outputs: Sequence[Array]) -> FrameScore:
        """See Layout."""
        values = outputs[self.scores_at].tolist()[0]
        # Written so that NaN fails it.
        if not (abs(sum(values) - 1.0) <= _SUM_TOLERANCE and min(values) >= -_SUM_TOLERANCE):
            raise ValueError(f"scores of {values} are no probabilities")
        score = min(1.0, max(0.0, 1.0 - values[self.empty_at]))
        if score < BOX_FLOOR:
            return FrameScore(score, embedding=self._embedding(outputs))
        box = hot_box(outputs[self.heat_at].tolist()[0])
        return FrameScore(score, {}, (Detection(0, "unclassified", score, box),), self._embedding(outputs))

    def _embedding(self, outputs: Sequence[Array]) -> bytes:
        return b"" if self.embedding_at is None else outputs[self.embedding_at].tobytes()


def recognise(facts: ModelFacts) -> TrapdLayout | None:
    """The layout, if the file carries trapd's card. Outputs are told apart by shape."""
    card = facts.metadata.card
    if card is None:
        return None
    scores = [at for at, tensor in enumerate(facts.outputs) if tensor.shape == (1, len(card.labels))]
    heat = [at for at, tensor in enumerate(facts.outputs) if len(tensor.shape) == 3 and tensor.shape[0] == 1]
    if len(scores) != 1 or len(heat) != 1:
        raise ModelUnavailable(
            "the model's outputs are not those that its trapd.json describes", "install it again"
        )
    rest = [
        at
        for at, tensor in enumerate(facts.outputs)
        if at not in (scores[0], heat[0]) and len(tensor.shape) == 2 and tensor.dtype == "float32"
    ]
    return TrapdLayout(
        card.threshold,
        card.labels,
        card.labels.index("empty"),
        scores[0],
        heat[0],
        embedding_at=rest[0] if len(rest) == 1 else None,
    )


def hot_box(logits: list[list[float]]) -> tuple[float, float, float, float]:
    """The box around the hottest place of a heat map of logits.

    It holds the cells joined to the hottest one, side by side, by cells of at least half its probability.
    """
    rows, columns = len(logits), len(logits[0])
    if not math.isfinite(sum(map(sum, logits))):
        raise ValueError("the heat map holds a value that is not a number")
    tops = [max(line) for line in logits]
    hottest = max(tops)
    row = tops.index(hottest)
    peak = row, logits[row].index(hottest)
    limit = _logit(_probability(hottest) / 2)
    found, edge = {peak}, [peak]
    while edge:
        y, x = edge.pop()
        for cell in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= cell[0] < rows and 0 <= cell[1] < columns
            if inside and cell not in found and logits[cell[0]][cell[1]] >= limit:
                found.add(cell)
                edge.append(cell)
    top, left = min(y for y, _ in found), min(x for _, x in found)
    bottom, right = max(y for y, _ in found) + 1, max(x for _, x in found) + 1
    return left / columns, top / rows, (right - left) / columns, (bottom - top) / rows


def _probability(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit))))


def _logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))
