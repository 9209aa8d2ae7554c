"""MegaDetector's batch output, format 1.6: what Timelapse and other tools of the field read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trapd.offline.replay import Judged, Result
from trapd.records import FrameScore, ModelInfo

FORMAT_VERSION = "1.6"
CATEGORIES = {"1": "animal", "2": "person", "3": "vehicle", "4": "unclassified"}
_BOXLESS = "classifier"
_NUMBER_OF = {name: number for number, name in CATEGORIES.items()}


def document(
    results: Iterable[Result],
    info: ModelInfo,
    *,
    threshold: float,
    finished: datetime,
    root: Path | None = None,
) -> dict[str, Any]:
    """The whole batch. Paths are relative to `root`, else to the folder that all photographs share, with
    forward slashes.
    """
    # A video is one entry, whatever the number of its frames.
    entries = [
        (result, frame)
        for result in results
        for frame in (result.frames[:1] if result.burst.video else result.frames)
    ]
    root = root or shared_folder([frame.path.parent for _, frame in entries])
    return {
        "info": {
            "format_version": FORMAT_VERSION,
            "detector": info.title or Path(info.name).name,
            "detection_completion_time": finished.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "detector_metadata": {
                "sha256": info.sha256,
                "typical_detection_threshold": round(threshold, 4),
                "conservative_detection_threshold": round(threshold / 2, 4),
            },
        },
        "detection_categories": CATEGORIES,
        "images": [_image(result, frame, root, info) for result, frame in entries],
    }


def _image(result: Result, frame: Judged, root: Path, info: ModelInfo) -> dict[str, Any]:
    if result.burst.video:
        return _video(result, root, info)
    if frame.score is None:
        return {"file": _relative(frame.path, root), "failure": frame.failure, "detections": None}
    return {"file": _relative(frame.path, root), "detections": _boxes(frame.score, info)}


def _video(result: Result, root: Path, info: ModelInfo) -> dict[str, Any]:
    file = _relative(result.burst.files[0], root)
    judged = [frame for frame in result.frames if frame.score is not None]
    failures = [frame.failure for frame in result.frames if frame.score is None]
    if failures:
        return {"file": file, "failure": "; ".join(failures), "detections": None}
    boxes = [
        {**box, "frame_number": frame.video_frame}
        for frame in judged
        if frame.score is not None
        for box in _boxes(frame.score, info)
    ]
    return {
        "file": file,
        "frame_rate": judged[0].frame_rate if judged else 0,
        "frames_processed": [frame.video_frame for frame in judged],
        "detections": boxes,
    }


def _boxes(score: FrameScore, info: ModelInfo) -> list[dict[str, Any]]:
    boxes = [
        {
            "category": _NUMBER_OF.get(box.category, _NUMBER_OF["unclassified"]),
            "conf": round(box.conf, 3),
            "bbox": [round(value, 4) for value in box.bbox],
        }
        for box in score.detections
    ]
    if not boxes and score.score > 0 and (info.layout == _BOXLESS or not score.by_class):
        # A model without boxes: its score holds for the whole picture.
        number = _NUMBER_OF[_name(score)]
        boxes = [{"category": number, "conf": round(score.score, 3), "bbox": [0.0, 0.0, 1.0, 1.0]}]
    return boxes


def _name(score: FrameScore) -> str:
    """Of the class that makes up the most of the score; `unclassified` where none does."""
    name, most = max(score.by_class.items(), key=lambda item: item[1], default=("", 0.0))
    return name if name in _NUMBER_OF and most > score.score / 2 else "unclassified"


def _relative(path: Path, root: Path) -> str:
    # Not resolved: a link is an entry under its own name, which is the one that other tools look for.
    return Path(os.path.relpath(path.absolute(), root)).as_posix()


def shared_folder(folders: Sequence[Path]) -> Path:
    """The one below which all these lie."""
    if not folders:
        return Path()
    return Path(os.path.commonpath([os.path.normpath(folder.absolute()) for folder in folders]))
