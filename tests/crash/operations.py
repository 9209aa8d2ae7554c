"""What a process did to a disk: the few system calls that change files and folders, one record each.

Paths are relative to the recorded folder, "" being that folder itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Opened:
    """A descriptor. `create`: the file is made where it is missing; `append`: each write goes to its end."""

    fd: int
    path: str
    create: bool = False
    truncate: bool = False
    append: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    fd: int


@dataclass(frozen=True, slots=True)
class Sought:
    """The position of `fd` is now `offset`."""

    fd: int
    offset: int


@dataclass(frozen=True, slots=True)
class Written:
    """`offset` None: at the descriptor's position."""

    fd: int
    data: bytes
    offset: int | None


@dataclass(frozen=True, slots=True)
class Resized:
    fd: int
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """fsync or fdatasync of a file or a folder. `ok` False: it gave an error."""

    fd: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Linked:
    path: str
    new_path: str


@dataclass(frozen=True, slots=True)
class Renamed:
    path: str
    new_path: str


@dataclass(frozen=True, slots=True)
class Unlinked:
    path: str


@dataclass(frozen=True, slots=True)
class FolderMade:
    path: str


@dataclass(frozen=True, slots=True)
class FolderRemoved:
    path: str


@dataclass(frozen=True, slots=True)
class Said:
    """A word of the process (tests.crash.promises)."""

    word: dict[str, Any]

    @property
    def kept(self) -> bool:
        """Whether it is of something done, which a crash may not undo."""
        return bool(self.word["tense"] == "did")


Operation = (
    Opened
    | Closed
    | Sought
    | Written
    | Resized
    | Synced
    | Linked
    | Renamed
    | Unlinked
    | FolderMade
    | FolderRemoved
    | Said
)


def end_of_life(operations: Sequence[Operation], life: int) -> int:
    """How many operations there are until a process that works on the store ends for the `life`-th time."""
    ends = [
        number
        for number, each in enumerate(operations, 1)
        if isinstance(each, Said) and each.word["deed"] == "close"
    ]
    return ends[life - 1]
