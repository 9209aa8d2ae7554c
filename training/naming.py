"""Whether what the trunk sees could name animals, persons and vehicles: a linear guess, each source left out.

The figures that "it names nothing" rests on. Of each photograph with something on it only what lies in its
boxes is looked at, as if the head had found it without fault: a head can do no better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from training.catalogue import EMPTY, Box, Photograph
from trapd.offline.statistics import wilson

NAMES = ("animal", "person", "vehicle")
CONFUSION = 0.05
_RIDGE = 30.0

Values = npt.NDArray[np.float64]


def named(photographs: Sequence[Photograph], maps: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Of each name: how many of its photographs get it while CONFUSION of the others do.

    For all, and for those of camera traps. `maps`: the coarse map [cells,1280] of each photograph.
    """
    chosen = [n for n, one in enumerate(photographs) if one.label != EMPTY and any(b.sure for b in one.boxes)]
    values = np.stack([_within(maps[n], photographs[n].boxes) for n in chosen])
    labels = np.array([NAMES.index(photographs[n].label) for n in chosen])
    sets = np.array([photographs[n].set for n in chosen])
    scores = np.zeros((len(chosen), len(NAMES)))
    for left_out in sorted(set(sets)):
        of_it = sets == left_out
        scores[of_it] = _guessed(values[~of_it], labels[~of_it], values[of_it])
    trap = np.array([photographs[n].trap for n in chosen])
    return {
        "all": _figures(scores, labels),
        "camera traps": _figures(scores[trap], labels[trap]),
    }


def _within(found: Any, boxes: Sequence[Box]) -> Values:
    """The mean of the cells in the boxes."""
    rows = int(len(found) ** 0.5)
    middle = (np.arange(rows) + 0.5) / rows
    held = np.zeros((rows, rows), bool)
    for box in boxes:
        if box.sure:
            down = np.abs(middle - (box.top + box.bottom) / 2) <= max((box.bottom - box.top) / 2, 0.5 / rows)
            across = np.abs(middle - (box.left + box.right) / 2) <= max(
                (box.right - box.left) / 2, 0.5 / rows
            )
            held |= np.outer(down, across)
    return np.asarray(np.asarray(found, np.float64)[held.ravel()].mean(0))


def _guessed(seen: Values, labels: Any, asked: Values) -> Values:
    """Ridge regression on which name it is, each name weighing the same."""
    middle, spread = seen.mean(0), seen.std(0) + 0.05
    seen, asked = (seen - middle) / spread, (asked - middle) / spread
    wanted = np.eye(len(NAMES))[labels]
    weights = 1 / np.maximum(1, wanted.sum(0))[labels]
    weights = weights / weights.mean()
    kernel = seen @ seen.T / seen.shape[1]
    solved = np.linalg.solve(kernel + np.diag(_RIDGE / seen.shape[1] / weights), wanted - wanted.mean(0))
    return np.asarray(asked @ seen.T / seen.shape[1] @ solved + wanted.mean(0))


def _figures(scores: Values, labels: Any) -> dict[str, Any]:
    found = {}
    for number, name in enumerate(NAMES):
        rival = scores[:, number] - np.delete(scores, number, axis=1).max(1)
        of_it, others = rival[labels == number], rival[labels != number]
        if not len(of_it) or not len(others):
            continue
        limit = float(np.quantile(others, 1 - CONFUSION, method="higher"))
        hits = int((of_it > limit).sum())
        found[name] = {"n": len(of_it), "recall": hits / len(of_it), "recall_ci": wilson(hits, len(of_it))}
    return found
