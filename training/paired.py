"""Two models on the same photographs: how far they differ, and how sure one may be of it.

Photographs of one burst, and bursts of one source, are alike: whole bursts, or whole sources, are drawn again
and again (Efron's bootstrap, seeded), for both models the same ones. Few sources make wide intervals, and
honest ones.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from training.catalogue import EMPTY
from training.leave_out import RECALL, Judged

DRAWS = 2000
_SEED = 0

Values = npt.NDArray[np.float64]
Drawn = npt.NDArray[np.int64]  # how often each photograph is drawn


def scores_of(judged: Sequence[Judged]) -> dict[str, float]:
    """By photograph, as a report keeps them."""
    return {each.photograph.file: each.score for each in judged}


def differences(judged: Sequence[Judged], other: dict[str, float]) -> dict[str, Any]:
    """Ours less the other's, over the photographs that both have judged: all, by day and by night.

    Each has `auc` and `false_keep_at_95`, and their intervals by burst and by source.
    """
    both = [each for each in judged if each.photograph.file in other]
    groups: dict[str, Callable[[Judged], bool]] = {
        "all": lambda _: True,
        "day": lambda each: not each.photograph.night,
        "night": lambda each: each.photograph.night,
    }
    return {
        name: _difference([each for each in both if holds(each)], other) for name, holds in groups.items()
    }


def _difference(judged: Sequence[Judged], other: dict[str, float]) -> dict[str, Any]:
    something = np.array([each.photograph.label != EMPTY for each in judged], np.bool_)
    if something.all() or not something.any():
        return {}
    ours = _Model(np.array([each.score for each in judged]), something)
    theirs = _Model(np.array([other[each.photograph.file] for each in judged]), something)

    def less(drawn: Drawn) -> tuple[float, float]:
        return (
            ours.auc(drawn) - theirs.auc(drawn),
            ours.false_keep(drawn) - theirs.false_keep(drawn),
        )

    area, keep = less(np.ones(len(judged), np.int64))
    found: dict[str, Any] = {"auc": area, "false_keep_at_95": keep}
    kinds: dict[str, list[Hashable]] = {
        "burst": [each.burst for each in judged],
        "source": [each.photograph.set for each in judged],
    }
    for name, of in kinds.items():
        both = np.array([less(drawn) for drawn in _draws(of, something)])
        for place, figure in enumerate(("auc", "false_keep_at_95")):
            found[f"{figure}_ci_by_{name}"] = np.quantile(both[:, place], (0.025, 0.975)).tolist()
    return found


def _draws(of: Sequence[Hashable], something: npt.NDArray[np.bool_]) -> list[Drawn]:
    """How often each is drawn, draw by draw; those that leave one kind out are passed over."""
    draw = np.random.default_rng(_SEED)
    kinds = {kind: number for number, kind in enumerate(dict.fromkeys(of))}
    numbers = np.array([kinds[kind] for kind in of])
    found: list[Drawn] = []
    while len(found) < DRAWS:
        often = np.bincount(draw.integers(0, len(kinds), len(kinds)), minlength=len(kinds))[numbers]
        if often[something].any() and often[~something].any():
            found.append(often)
    return found


class _Model:
    """One model's scores, ready to be drawn from."""

    def __init__(self, scores: Values, something: npt.NDArray[np.bool_]) -> None:
        up, down = scores[something], scores[~something]
        self._something = something
        self._wins = (up[:, None] > down) + 0.5 * (up[:, None] == down)
        self._order = np.argsort(up, kind="stable")
        self._up, self._down = up, down

    def auc(self, drawn: Drawn) -> float:
        """Its AUC over what is drawn."""
        up, down = drawn[self._something], drawn[~self._something]
        return float(up @ self._wins @ down / (up.sum() * down.sum()))

    def false_keep(self, drawn: Drawn) -> float:
        """The share of the empties kept where RECALL of the rest are; as leave_out.figures has it."""
        up, down = drawn[self._something], drawn[~self._something]
        before = np.cumsum(up[self._order])
        place = np.searchsorted(before, int((1 - RECALL) * (up.sum() - 1)), side="right")
        limit = self._up[self._order[place]]
        return float((down * (self._down >= limit)).sum() / down.sum())


def words(found: dict[str, Any]) -> str:
    """One line."""
    low, high = found["auc_ci_by_burst"]
    wide_low, wide_high = found["auc_ci_by_source"]
    keep_low, keep_high = found["false_keep_at_95_ci_by_burst"]
    return (
        f"AUC {found['auc']:+.3f} [{low:+.3f} to {high:+.3f}], "
        f"by source [{wide_low:+.3f} to {wide_high:+.3f}]; "
        f"empties kept {found['false_keep_at_95']:+.2f} [{keep_low:+.2f} to {keep_high:+.2f}]"
    )
