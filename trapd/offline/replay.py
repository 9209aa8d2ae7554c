"""Judge bursts of photographs as Screen does, one after another. Main thread; owns the classifier."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trapd.errors import BadPicture, ModelUnavailable
from trapd.frozen import Frozen, replace
from trapd.offline.gather import NO_FILE, Burst
from trapd.offline.video import frames
from trapd.ports import Classifier, Scene
from trapd.records import FrameScore, Look, ModelInfo, Verdict
from trapd.rules import judge_burst, unjudged

CLASSES = ("animal", "person", "vehicle")
_LOOKED_AT = 8  # photographs of a burst that are held against each other
_LARGEST_FILE_BYTES = 300_000_000  # more is no photograph


class Judged(Frozen):
    """One photograph: its score, or why it has none."""

    path: Path
    score: FrameScore | None
    failure: str = ""
    video_frame: int | None = None  # its number, where the photograph is a frame of a video
    frame_rate: float | None = None


class Result(Frozen):
    """One burst, judged."""

    burst: Burst
    verdict: Verdict
    frames: tuple[Judged, ...]

    def line(self) -> dict[str, Any]:
        """The burst as `trapd replay` prints it."""
        verdict = self.verdict
        return {
            "burst": self.burst.name,
            "files": [str(file) for file in self.burst.files],
            "verdict": verdict.verdict,
            "score": None if verdict.score is None else round(verdict.score, 3),
            "detections": [
                {
                    "frame": box.frame,
                    "category": box.category,
                    "conf": round(box.conf, 3),
                    "bbox": [round(value, 4) for value in box.bbox],
                }
                for box in verdict.detections
            ],
            "kept": verdict.keep,
            "ms": verdict.ms,
        }


def replay(
    bursts: Iterable[Burst],
    classifier: Classifier,
    info: ModelInfo,
    *,
    threshold: float | None,
    scene: Scene | None = None,
) -> Iterator[Result]:
    """Judge each burst, see `judge`."""
    for burst in bursts:
        yield judge(burst, classifier, info, threshold=threshold, scene=scene)


def judge(
    burst: Burst,
    classifier: Classifier,
    info: ModelInfo,
    *,
    threshold: float | None,
    scene: Scene | None = None,
) -> Result:
    """Judge one burst. A photograph that cannot be judged keeps its burst as unknown.

    `scene` adds what the photographs of a burst show together, as on the unit; of a video it does not. The
    model's embeddings end here: of a season they would be most of the memory.
    """
    begin_s = time.monotonic()
    if burst.video:
        judged, look = _judge_video(classifier, burst.files[0]), Look()
    else:
        judged = tuple(judge_file(classifier, path) for path in burst.files)
        look = look_at(scene, judged)
    verdict = _verdict(judged, info, threshold, look)
    frames = tuple(
        frame if frame.score is None else replace(frame, score=replace(frame.score, embedding=b""))
        for frame in judged
    )
    return Result(burst, replace(verdict, ms=round((time.monotonic() - begin_s) * 1000)), frames)


def look_at(scene: Scene | None, judged: Sequence[Judged]) -> Look:
    """What the photographs of a burst show together: those that could be judged, one at a time in memory."""
    if scene is None:
        return Look()
    sound = [frame for frame in judged if frame.score is not None]
    step = max(1, -(-len(sound) // _LOOKED_AT))
    look = scene.look(_pictures(sound[::step]))
    return replace(look, shift=scene.shift([frame.score for frame in sound]))


def _pictures(judged: Sequence[Judged]) -> Iterator[bytes]:
    for frame in judged:
        with suppress(OSError):
            yield frame.path.read_bytes()


def judge_file(classifier: Classifier, path: Path) -> Judged:
    """One photograph from disk; whatever is wrong with it is said, not raised."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return Judged(path, None, NO_FILE)
        if found.st_size > _LARGEST_FILE_BYTES:
            return Judged(path, None, "the file is too large to be a photograph")
        return Judged(path, classifier.judge(path.read_bytes()))
    except OSError as error:
        return Judged(path, None, error.strerror or str(error))
    except (BadPicture, ModelUnavailable) as error:
        return Judged(path, None, str(error))


def _judge_video(classifier: Classifier, path: Path) -> tuple[Judged, ...]:
    judged: list[Judged] = []
    try:
        for frame in frames(path):
            score = classifier.judge(frame.jpeg)
            judged.append(Judged(path, score, "", frame.number, frame.frame_rate))
    except (BadPicture, ModelUnavailable) as error:
        # What was judged before the damage counts; the rest keeps the burst.
        judged.append(Judged(path, None, str(error)))
    return tuple(judged)


def _verdict(frames: Sequence[Judged], info: ModelInfo, threshold: float | None, look: Look) -> Verdict:
    scores = [frame.score for frame in frames]
    failures = [frame.failure for frame in frames if frame.score is None]
    if len(failures) == len(frames):
        return unjudged("; ".join(failures), info)
    verdict = judge_burst(scores, info, threshold=threshold, classes=CLASSES, look=look)
    if failures and not verdict.keep:
        return unjudged("; ".join(failures), info)
    if look.hidden and not verdict.keep:
        return unjudged(f"nothing can be seen: {look.hidden}", info)
    return verdict
