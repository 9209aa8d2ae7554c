"""How good a model is on labelled photographs: recall, false-keep, AUC, by class and by day and night.

Main thread; owns the classifier. Each photograph counts; how sure one may be follows from the bursts.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trapd.errors import BadPicture, UsageError
from trapd.frozen import Frozen
from trapd.offline import statistics
from trapd.offline.gather import PHOTOGRAPHS, Trouble, gather, kind_of
from trapd.offline.replay import Judged, judge_file, look_at
from trapd.ports import Classifier, Scene
from trapd.records import Look
from trapd.rules import burst_score

LABELS = ("animal", "person", "vehicle", "empty")
EMPTY = "empty"
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


class Labelled(Frozen):
    """One photograph: what it shows, when it was taken, and what the model says."""

    path: Path
    label: str
    night: bool
    score: float
    burst: int = 0


class Whole(Frozen):
    """One burst, judged as on the unit: its best frame and what changes between its frames."""

    label: str
    night: bool
    score: float
    burst: int


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
    bursts: Iterable[Sequence[tuple[str, Path]]],
    classifier: Classifier,
    is_night: Callable[[bytes], bool],
    scene: Scene | None = None,
) -> Iterator[Labelled | Whole | Trouble]:
    """Judge each photograph in turn, and each burst as a whole behind its photographs.

    A photograph that cannot be judged is a Trouble, and the rest goes on.
    """
    for number, burst in enumerate(bursts):
        sound: list[tuple[Judged, Labelled]] = []
        for label, path in burst:
            judged = judge_file(classifier, path)
            if judged.score is None:
                yield Trouble(path, judged.failure)
                continue
            try:
                one = Labelled(path, label, is_night(path.read_bytes()), judged.score.score, number)
            except (BadPicture, OSError) as error:
                yield Trouble(path, str(error))
                continue
            sound.append((judged, one))
            yield one
        if sound:
            look = look_at(scene, [judged for judged, _ in sound]) if len(sound) > 1 else Look()
            best = max(one.score for _, one in sound)
            yield Whole(sound[0][1].label, sound[0][1].night, burst_score(best, look), number)


def report(
    judged: Sequence[Labelled], *, recall: float, threshold: float, whole: Sequence[Whole] = ()
) -> dict[str, Any]:
    """The figures as `trapd evaluate --json` prints them. `threshold`, the model's own, is listed too.

    `bursts` has those of whole bursts, judged as on the unit.
    """
    recommended = statistics.threshold_for([one.score for one in judged if one.label != EMPTY], recall)
    listed = sorted(
        {*THRESHOLDS, round(threshold, 4)} | ({recommended} if recommended is not None else set())
    )
    found: dict[str, Any] = {
        **_area(judged),
        "n_bursts": len({one.burst for one in judged}),
        "by": {name: _group(members, threshold) for name, members in _groups(judged).items()},
        "thresholds": [_at(judged, limit) for limit in listed],
        "threshold": threshold,
        "recall": recall,
        "recommended": recommended,
    }
    if whole:
        found["bursts"] = {
            **_group(whole, threshold),
            "recommended": statistics.threshold_for(
                [one.score for one in whole if one.label != EMPTY], recall
            ),
        }
    return found


def _groups(judged: Sequence[Labelled]) -> dict[str, list[Labelled]]:
    """By light, by class (each against all empties), and by both."""
    lights = {"day": False, "night": True}
    groups = {name: [one for one in judged if one.night is night] for name, night in lights.items()}
    for label in LABELS:
        if label == EMPTY or not any(one.label == label for one in judged):
            continue
        members = [one for one in judged if one.label in (label, EMPTY)]
        groups[label] = members
        for name, night in lights.items():
            groups[f"{label}, {name}"] = [one for one in members if one.night is night]
    return groups


def _group(members: Sequence[Labelled | Whole], threshold: float) -> dict[str, Any]:
    return {**_area(members), **_at(members, threshold)}


def _scored(members: Sequence[Labelled | Whole], *, empty: bool) -> list[statistics.Scored]:
    return [(one.score, one.burst) for one in members if (one.label == EMPTY) is empty]


def _area(members: Sequence[Labelled | Whole]) -> dict[str, Any]:
    positive, negative = _scored(members, empty=False), _scored(members, empty=True)
    ups, downs = [score for score, _ in positive], [score for score, _ in negative]
    effect = statistics.auc_effect(positive, negative)
    return {
        "auc": _rounded(statistics.auc(ups, downs)),
        "auc_ci": _rounded_pair(statistics.auc_interval(ups, downs, effect=effect)),
        "n_nonempty": len(ups),
        "n_empty": len(downs),
    }


def _at(members: Sequence[Labelled | Whole], threshold: float) -> dict[str, Any]:
    found = [(score >= threshold, burst) for score, burst in _scored(members, empty=False)]
    kept = [(score >= threshold, burst) for score, burst in _scored(members, empty=True)]
    return {
        "threshold": threshold,
        "recall": _share(found),
        "recall_ci": _rounded_pair(statistics.share_interval(found)),
        "false_keep": _share(kept),
        "false_keep_ci": _rounded_pair(statistics.share_interval(kept)),
    }


def _share(hits: Sequence[tuple[bool, int]]) -> float | None:
    return _rounded(sum(hit for hit, _ in hits) / len(hits)) if hits else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _rounded_pair(pair: tuple[float, float] | None) -> list[float] | None:
    return None if pair is None else [round(pair[0], 4), round(pair[1], 4)]
