"""How good the recipe is on cameras that it has never seen: each source is left out in turn, and then judged.

A source is a `set` of the list: photographs of one project or station; sets `NAME-1`, `NAME-2` are stations
of one place. The head is fitted without any view in which something of that source is; the trunk is never
fitted. A detector of the user's choice can be judged on the same photographs. Scores of all sources are put
together; each photograph has been judged by a head that saw none of its source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.catalogue import EMPTY, Photograph
from trapd.offline import statistics

RECALL = 0.95


@dataclass(frozen=True, slots=True)
class Judged:
    """One photograph and its score. `burst`: photographs of one burst share a number."""

    photograph: Photograph
    score: float
    burst: int


Group = frozenset[str]


def folds(photographs: Sequence[Photograph]) -> dict[str, list[Group]]:
    """What is left out at once: each source, and, where a place has several stations, each place."""
    sources = sorted({one.set for one in photographs if one.trap})
    places: dict[str, set[str]] = {}
    for source in sources:
        name, _, number = source.rpartition("-")
        places.setdefault(name if name and number.isdigit() else source, set()).add(source)
    found = {"each source left out": [frozenset({source}) for source in sources]}
    if len(places) < len(sources):
        found["each place left out"] = [frozenset(stations) for stations in places.values()]
    return found


def judge_left_out(
    photographs: Sequence[Photograph],
    groups: Sequence[Group],
    fit_without: Callable[[Group], Callable[[Sequence[int]], Any]],
) -> list[Judged]:
    """`fit_without` gives, for what is left out, what scores photographs by their numbers."""
    found: dict[int, float] = {}
    for group in groups:
        numbers = [n for n, one in enumerate(photographs) if one.trap and one.set in group]
        found |= zip(numbers, map(float, fit_without(group)(numbers)), strict=True)
    bursts = burst_numbers(photographs)
    return [Judged(photographs[n], found[n], bursts[n]) for n in sorted(found)]


def judge_with(model: Path, photographs: Sequence[Photograph]) -> list[Judged]:
    """The same photographs by a model file, as trapd runs it."""
    from trapd.backends.tflite.classifier import TfliteClassifier

    classifier = TfliteClassifier(model, name=model.stem, threads=1)
    classifier.open()
    bursts = burst_numbers(photographs)
    try:
        return [
            Judged(one, classifier.judge(one.path.read_bytes()).score, bursts[n])
            for n, one in enumerate(photographs)
            if one.trap and one.path is not None
        ]
    finally:
        classifier.close()


def burst_numbers(photographs: Sequence[Photograph]) -> list[int]:
    """Photographs of one set and label with successive numbers are one burst, three at most."""
    found: list[int] = []
    last: tuple[str, str, int] | None = None
    length = 0
    for one in photographs:
        digits = "".join(filter(str.isdigit, Path(one.file).stem.split("__")[-1].split("_")[0]))
        here = (one.set, one.label, int(digits or 0))
        follows = last is not None and here[:2] == last[:2] and here[2] == last[2] + 1 and length < 3
        length = length + 1 if follows else 1
        found.append(found[-1] if follows else len(set(found)))
        last = here
    return found


def figures(judged: Sequence[Judged]) -> dict[str, Any]:
    """AUC, and the share of the empties that is kept where 95 % of the rest are; all, and by group."""
    groups: dict[str, Callable[[Photograph], bool]] = {
        "all": lambda _: True,
        "day": lambda one: not one.night,
        "night": lambda one: one.night,
        "small": lambda one: one.label == EMPTY or one.small,
        "large": lambda one: one.label == EMPTY or not one.small,
        **{
            name: lambda one, name=name: one.label == EMPTY or one.set == name  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            for name in sorted({each.photograph.set for each in judged})
        },
    }
    return {
        name: _figures([each for each in judged if holds(each.photograph)]) for name, holds in groups.items()
    }


def _figures(judged: Sequence[Judged]) -> dict[str, Any]:
    up = [(each.score, each.burst) for each in judged if each.photograph.label != EMPTY]
    down = [(each.score, each.burst) for each in judged if each.photograph.label == EMPTY]
    if not up or not down:
        return {"n_nonempty": len(up), "n_empty": len(down)}
    high, low = [score for score, _ in up], [score for score, _ in down]
    limit = float(np.quantile(high, 1 - RECALL, method="lower"))
    effect = statistics.auc_effect(up, down)
    return {
        "n_nonempty": len(up),
        "n_empty": len(down),
        "auc": statistics.auc(high, low),
        "auc_ci": statistics.auc_interval(high, low, effect=effect),
        "false_keep_at_95": sum(score >= limit for score in low) / len(low),
        "false_keep_ci": statistics.share_interval([(score >= limit, burst) for score, burst in down]),
        "threshold_at_95": limit,
    }


def table(named: dict[str, dict[str, Any]]) -> str:
    """The figures of several models side by side, in Markdown."""
    rows = ["| set | photographs | " + " | ".join(named) + " |", "|---|---|" + "---|" * len(named)]
    for group, first in next(iter(named.values())).items():
        cells = [_cell(found[group]) for found in named.values()]
        rows.append(f"| {group} | {first['n_nonempty']} / {first['n_empty']} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(found: dict[str, Any]) -> str:
    if "auc" not in found:
        return "-"
    low, high = found["auc_ci"]
    return f"{found['auc']:.3f} [{low:.3f}-{high:.3f}], {found['false_keep_at_95']:.2f}"
