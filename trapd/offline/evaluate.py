"""How good a model is on labelled photographs: recall, false-keep, AUC, by class and by day and night.

Main thread; owns the classifier. Each photograph counts by itself.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trapd.errors import BadPicture, UsageError
from trapd.offline import statistics
from trapd.offline.gather import PHOTOGRAPHS, Trouble, gather, kind_of
from trapd.offline.replay import judge_file
from trapd.ports import Classifier

LABELS = ("animal", "person", "vehicle", "empty")
EMPTY = "empty"
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True, slots=True)
class Labelled:
    """One photograph: what it shows, when it was taken, and what the model says."""

    path: Path
    label: str
    night: bool
    score: float


def photographs(folder: Path) -> tuple[list[tuple[str, Path]], tuple[Trouble, ...]]:
    """Label and path of every photograph below `folder`'s four sub-folders, and what is not among them.

    Whatever else lies in `folder` is a Trouble: a misspelt label must not vanish. Raises UsageError where
    there is nothing to judge, and nothing else to say.
    """
    found: list[tuple[str, Path]] = []
    troubles: list[Trouble] = []
    entries = _entries(folder)
    present = [label for label in LABELS if folder / label in entries]
    if not present:
        raise UsageError(
            f"{folder} has none of the folders {', '.join(LABELS)}", "sort labelled photographs into them"
        )
    for label in present:
        below = gather([folder / label])
        found += [(label, path) for path in below.photographs]
        troubles += below.troubles
        troubles += [Trouble(path, "a video: only photographs are evaluated") for path in below.videos]
    strays = [path for path in entries if path.name not in LABELS and not path.name.startswith(".")]
    troubles += [Trouble(path, why) for path in strays if (why := _stray(path))]
    if not found and not troubles:
        raise UsageError(f"no photograph below {folder}", "sort labelled photographs into its sub-folders")
    return found, tuple(troubles)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be read: {error.strerror}",
            f"name a folder that holds {', '.join(LABELS)}",
        ) from error


def _stray(path: Path) -> str:
    """Why what lies beside the labelled folders is left out; empty for what is no photograph."""
    kind = kind_of(path)
    if isinstance(kind, Trouble):
        return kind.why
    if kind == stat.S_IFDIR:
        return f"left out: not one of the folders {', '.join(LABELS)}"
    if path.suffix.lower() in PHOTOGRAPHS:
        return f"left out: in none of the folders {', '.join(LABELS)}"
    return ""


def evaluate(
    found: Sequence[tuple[str, Path]], classifier: Classifier, is_night: Callable[[bytes], bool]
) -> Iterator[Labelled | Trouble]:
    """Judge each photograph in turn; one that cannot be judged is a Trouble, and the rest goes on."""
    for label, path in found:
        judged = judge_file(classifier, path)
        if judged.score is None:
            yield Trouble(path, judged.failure)
            continue
        try:
            yield Labelled(path, label, is_night(path.read_bytes()), judged.score.score)
        except (BadPicture, OSError) as error:
            yield Trouble(path, str(error))


def report(judged: Sequence[Labelled], *, recall: float, threshold: float) -> dict[str, Any]:
    """The figures as `trapd evaluate --json` prints them. `threshold`, the model's own, is listed too."""
    positive = [one.score for one in judged if one.label != EMPTY]
    negative = [one.score for one in judged if one.label == EMPTY]
    recommended = statistics.threshold_for(positive, recall)
    listed = sorted(
        {*THRESHOLDS, round(threshold, 4)} | ({recommended} if recommended is not None else set())
    )
    groups: dict[str, list[Labelled]] = {
        "day": [one for one in judged if not one.night],
        "night": [one for one in judged if one.night],
    }
    for label in LABELS:
        if label != EMPTY and any(one.label == label for one in judged):
            # Each class against all empties.
            groups[label] = [one for one in judged if one.label in (label, EMPTY)]
    return {
        **_area(positive, negative),
        "by": {name: _group(members, threshold) for name, members in groups.items()},
        "thresholds": [_at(positive, negative, limit) for limit in listed],
        "threshold": threshold,
        "recall": recall,
        "recommended": recommended,
    }


def _group(members: Sequence[Labelled], threshold: float) -> dict[str, Any]:
    positive = [one.score for one in members if one.label != EMPTY]
    negative = [one.score for one in members if one.label == EMPTY]
    return {**_area(positive, negative), **_at(positive, negative, threshold)}


def _area(positive: Sequence[float], negative: Sequence[float]) -> dict[str, Any]:
    return {
        "auc": _rounded(statistics.auc(positive, negative)),
        "auc_ci": _rounded_pair(statistics.auc_interval(positive, negative)),
        "n_nonempty": len(positive),
        "n_empty": len(negative),
    }


def _at(positive: Sequence[float], negative: Sequence[float], threshold: float) -> dict[str, Any]:
    found = sum(score >= threshold for score in positive)
    kept = sum(score >= threshold for score in negative)
    return {
        "threshold": threshold,
        "recall": _share(found, len(positive)),
        "recall_ci": _rounded_pair(statistics.wilson(found, len(positive))),
        "false_keep": _share(kept, len(negative)),
        "false_keep_ci": _rounded_pair(statistics.wilson(kept, len(negative))),
    }


def _share(count: int, total: int) -> float | None:
    return _rounded(count / total) if total else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _rounded_pair(pair: tuple[float, float] | None) -> list[float] | None:
    return None if pair is None else [round(pair[0], 4), round(pair[1], 4)]
