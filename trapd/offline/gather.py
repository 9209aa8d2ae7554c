"""Which photographs there are, and which of them make a burst. Main thread."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PHOTOGRAPHS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png"})
VIDEOS = frozenset({".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".h264"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """A path that could not be looked at, and why."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """What lies below the given paths, by name."""

    photographs: tuple[Path, ...]
    videos: tuple[Path, ...]
    troubles: tuple[Trouble, ...]


@dataclass(frozen=True, slots=True)
class Burst:
    """Photographs that are judged together."""

    name: str
    files: tuple[Path, ...]
    video: bool = False  # then `files` is the one video


def gather(paths: Sequence[Path]) -> Found:
    """Everything below `paths`, folders in full. A file that is named itself is taken whatever its ending."""
    photographs: list[Path] = []
    videos: list[Path] = []
    troubles: list[Trouble] = []
    for path in paths:
        if path.is_dir():
            _walk(path, photographs, videos, troubles)
        elif path.is_file():
            (videos if path.suffix.lower() in VIDEOS else photographs).append(path)
        else:
            troubles.append(Trouble(path, "there is no such file or folder"))
    return Found(tuple(photographs), tuple(videos), tuple(troubles))


def _walk(folder: Path, photographs: list[Path], videos: list[Path], troubles: list[Trouble]) -> None:
    def failed(error: OSError) -> None:
        troubles.append(Trouble(Path(error.filename or folder), error.strerror or str(error)))

    for name, folders, files in os.walk(folder, onerror=failed):
        folders[:] = sorted(found for found in folders if not found.startswith("."))
        for file in sorted(files):
            path = Path(name, file)
            if file.startswith("."):
                continue
            if path.suffix.lower() in PHOTOGRAPHS:
                photographs.append(path)
            elif path.suffix.lower() in VIDEOS:
                videos.append(path)


def bursts(found: Found, *, size: int, by_folder: bool) -> list[Burst]:
    """`by_folder`: a burst for each folder. Else `size` photographs of one folder in a row make one.

    A video is a burst by itself.
    """
    folders: dict[Path, list[Path]] = {}
    for path in found.photographs:
        folders.setdefault(path.parent, []).append(path)
    made: list[Burst] = []
    for folder, files in folders.items():
        if by_folder:
            made.append(Burst(str(folder), tuple(files)))
            continue
        for begin in range(0, len(files), size):
            group = files[begin : begin + size]
            made.append(Burst(str(group[0].with_suffix("")), tuple(group)))
    return made + [Burst(str(path.with_suffix("")), (path,), video=True) for path in found.videos]
