"""Which photographs there are, and which of them make a burst. Main thread."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from trapd.frozen import Frozen

PHOTOGRAPHS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png"})
UNREAD = frozenset(
    {
        ".heic",
        ".heif",
        ".webp",
        ".avif",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
    }
)
"""Pictures by their names that trapd cannot decode: named, so that nobody takes them for judged."""
_BEGINS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
VIDEOS = frozenset({".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".h264"})


NO_FILE = "neither a file nor a folder: reading it could wait for ever"


class Trouble(Frozen):
    """A path that could not be looked at, and why."""

    path: Path
    why: str


class Found(Frozen):
    """What lies below the given paths, by name."""

    photographs: tuple[Path, ...]
    videos: tuple[Path, ...]
    troubles: tuple[Trouble, ...]


class Burst(Frozen):
    """Photographs that are judged together."""

    name: str
    files: tuple[Path, ...]
    video: bool = False  # then `files` is the one video


def gather(paths: Sequence[Path]) -> Found:
    """Everything below `paths`, folders in full. A file that is named itself is taken whatever its ending.

    What should have been looked at and cannot be is a Trouble: what is missing or unreadable, a link to a
    folder (following it could go round for ever), what is no regular file (reading it could wait for ever),
    pictures of a format that trapd does not decode, and photographs under the name of something else.
    What is given twice, by itself and with its folder, is taken once.
    """
    photographs: list[Path] = []
    videos: list[Path] = []
    troubles: list[Trouble] = []
    for path in paths:
        kind = kind_of(path)
        if isinstance(kind, Trouble):
            troubles.append(kind)
        elif kind == stat.S_IFDIR:
            _walk(path, photographs, videos, troubles)
        else:
            (videos if path.suffix.lower() in VIDEOS else photographs).append(path)
    return Found(_once(photographs), _once(videos), tuple(troubles))


def _once(paths: Sequence[Path]) -> tuple[Path, ...]:
    found: dict[str, Path] = {}
    for path in paths:
        found.setdefault(os.path.normpath(path.absolute()), path)
    return tuple(found.values())


def _walk(folder: Path, photographs: list[Path], videos: list[Path], troubles: list[Trouble]) -> None:
    def failed(error: OSError) -> None:
        troubles.append(Trouble(Path(error.filename or folder), error.strerror or str(error)))

    for name, folders, files in os.walk(folder, onerror=failed):
        folders[:] = sorted(found for found in folders if not found.startswith("."))
        for found in folders:
            if (path := Path(name, found)).is_symlink():
                troubles.append(Trouble(path, "a link to a folder is not followed: name that folder itself"))
        for file in sorted(files):
            path = Path(name, file)
            ending = path.suffix.lower()
            if file.startswith("."):
                continue
            if ending in UNREAD:
                troubles.append(Trouble(path, "not a JPEG or PNG: its format cannot be read"))
            elif ending in PHOTOGRAPHS or ending in VIDEOS:
                kind = kind_of(path)
                if isinstance(kind, Trouble):
                    troubles.append(kind)
                else:
                    (photographs if ending in PHOTOGRAPHS else videos).append(path)
            elif _is_photograph(path):
                troubles.append(Trouble(path, "a photograph by its content alone: name it .jpg or .png"))


def _is_photograph(path: Path) -> bool:
    """Whether a file of any other name begins as a JPEG or a PNG does."""
    if kind_of(path) != stat.S_IFREG:
        return False
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(8).startswith(_BEGINS)
    except OSError:
        return False  # whatever it is, its name promises no photograph


def folders_named(paths: Sequence[Path]) -> list[Path]:
    """The folders among `paths` that are there, and those that hold the files."""
    kinds = [(path, kind_of(path)) for path in paths]
    return [
        path if kind == stat.S_IFDIR else path.parent for path, kind in kinds if not isinstance(kind, Trouble)
    ]


def kind_of(path: Path) -> int | Trouble:
    """S_IFREG or S_IFDIR, links followed; or why it is neither."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return Trouble(path, "there is no such file or folder")
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        return Trouble(path, getattr(error, "strerror", None) or str(error))
    return kind if kind in (stat.S_IFREG, stat.S_IFDIR) else Trouble(path, NO_FILE)


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
