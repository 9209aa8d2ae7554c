"""How good the recipe is on cameras that it has never seen: each source is left out in turn, and then judged.

A source is a `set` of the list: photographs of one project or station; sets `NAME-1`, `NAME-2` are stations
of one place. The head is fitted without any view in which something of that source is; the trunk is never
fitted. A detector of the user's choice can be judged on the same photographs. Scores of all sources are put
together; each photograph has been judged by a head that saw none of its source. `by burst` is what the unit
would make of whole bursts: best frame, and what changes from frame to frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.catalogue import EMPTY, Photograph
from trapd.backends.scene import Scene
from trapd.frozen import replace
from trapd.offline import statistics
from trapd.records import FrameScore, Look
from trapd.rules import burst_score

RECALL = 0.95
_ALONE = 10  # of both kinds a place has so many photographs: it is shown by itself too


@dataclass(frozen=True, slots=True)
class Judged:
    """One photograph and its score. `burst`: photographs of one burst share a number.

    `embedding`: float32, as the model gives it; empty for a model without one.
    """

    photograph: Photograph
    score: float
    burst: int
    embedding: bytes = b""


Group = frozenset[str]


def folds(photographs: Sequence[Photograph]) -> dict[str, list[Group]]:
    """What is left out at once: each source, and, where a place has several stations, each place."""
    sources = sorted({one.set for one in photographs if one.trap})
    places: dict[str, set[str]] = {}
    for one in photographs:
        if one.trap:
            places.setdefault(place_of(one), set()).add(one.set)
    found = {"each source left out": [frozenset({source}) for source in sources]}
    if len(places) < len(sources):
        found["each place left out"] = [frozenset(stations) for _, stations in sorted(places.items())]
    return found


def judge_left_out(
    photographs: Sequence[Photograph],
    groups: Sequence[Group],
    fit_without: Callable[[Group], Callable[[Sequence[int]], Any]],
    embeddings: Sequence[bytes] | None = None,
) -> list[Judged]:
    """`fit_without` gives, for what is left out, what scores photographs by their numbers."""
    found: dict[int, float] = {}
    for group in groups:
        numbers = [n for n, one in enumerate(photographs) if one.trap and one.set in group]
        found |= zip(numbers, map(float, fit_without(group)(numbers)), strict=True)
    bursts = burst_numbers(photographs)
    seen = embeddings or [b""] * len(photographs)
    return [Judged(photographs[n], found[n], bursts[n], seen[n]) for n in sorted(found)]


def judge_with(model: Path, photographs: Sequence[Photograph]) -> list[Judged]:
    """The same photographs by a model file, as trapd runs it."""
    from trapd.backends.tflite.classifier import TfliteClassifier

    classifier = TfliteClassifier(model, name=model.stem, threads=1)
    classifier.open()
    bursts = burst_numbers(photographs)
    try:
        found = [
            (one, classifier.judge(one.path.read_bytes()), bursts[n])
            for n, one in enumerate(photographs)
            if one.trap and one.path is not None
        ]
    finally:
        classifier.close()
    return [Judged(one, score.score, burst, score.embedding) for one, score, burst in found]


def whole_bursts(judged: Sequence[Judged]) -> list[Judged]:
    """Each burst as the unit judges it, with its first photograph in its place."""
    scene = Scene()
    members: dict[int, list[Judged]] = {}
    for each in judged:
        members.setdefault(each.burst, []).append(each)
    found = []
    for burst, frames in members.items():
        look = Look()
        files = [each.photograph.path for each in frames if each.photograph.path is not None]
        if len(files) > 1:
            shift = scene.shift([FrameScore(each.score, embedding=each.embedding) for each in frames])
            look = replace(scene.look([file.read_bytes() for file in files]), shift=shift)
        score = burst_score(max(each.score for each in frames), look)
        found.append(Judged(frames[0].photograph, score, burst))
    return found


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
    """AUC, and the share of the empties that is kept where 95 % of the rest are; all, and by group.

    A set's row has all empties; `alone` is a place's own animals against its own empties.
    """
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
    found = {
        name: _figures([each for each in judged if holds(each.photograph)]) for name, holds in groups.items()
    }
    found["by burst"] = _figures(whole_bursts(judged))
    places: dict[str, list[Judged]] = {}
    for each in judged:
        places.setdefault(place_of(each.photograph), []).append(each)
    for name, members in places.items():
        alone = _figures(members)
        if min(alone["n_nonempty"], alone["n_empty"]) >= _ALONE:
            found[f"{name}, alone"] = alone
            found[f"{name}, alone, by burst"] = _figures(whole_bursts(members))
    return found


def place_of(one: Photograph) -> str:
    """The set without its station's number."""
    name, _, number = one.set.rpartition("-")
    return name if name and number.isdigit() else one.set


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
