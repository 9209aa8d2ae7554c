"""A model of a disk that loses, at a power cut, whatever was not synced.

It keeps POSIX's word and not a line more. fsync of a file makes its bytes and size durable, not its name.
fsync of a folder makes the folder's names durable: created, linked, renamed, removed. Nothing else is ever
durable by itself, and nothing keeps its order: of unsynced names any set may have reached the disk, of
unsynced pages any set, of a page any sectors. A sync that failed has given its pages up: a later one that
succeeds does not bring them.

Real file systems are kinder, each in its own way, and all of them lie within what is tried here:
ext4 writes names in the order they were made (`Way.ORDERED`), makes a new file's name durable with its fsync,
and with data=ordered never shows a size whose bytes it has not written; with data=writeback it may show old
bytes of another file there (`garbage`). XFS shows zeros instead (`Way.NAMES_ONLY`), btrfs and F2FS may make
one file durable without its neighbours made earlier (`Way.ANY`). On all of them a rename is one step; FAT,
which cards come with, may lose it half-way (`Way.HALVES`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.crash import operations as op
from tests.crash.contents import Contents

_TOP = 0


class Way(Enum):
    """Which of the states that a cut at one point can leave."""

    SYNCED = "only what was synced"
    ALL = "everything, as after kill -9"
    NAMES_ONLY = "all names and sizes, no unsynced bytes"
    BYTES_ONLY = "all bytes, no unsynced names"
    ORDERED = "names up to some moment, any bytes"
    ANY = "any names, any bytes"
    HALVES = "any halves of renames, any bytes"


MIXED = (Way.ORDERED, Way.ANY, Way.HALVES)
Names = dict[str, int]


@dataclass(frozen=True, slots=True)
class _Edit:
    """In this folder this name stands for this file (None: for nothing)."""

    folder: int
    name: str
    target: int | None


@dataclass(slots=True, eq=False)
class _Step:
    """What one call does to names; a rename does two things at once."""

    time: int
    edits: list[_Edit]


@dataclass(slots=True)
class _Handle:
    target: int
    append: bool
    position: int = 0


@dataclass(slots=True)
class State:
    """What the disk holds when the power comes back. `files`: by number, so that hard links stay links."""

    folders: dict[int, Names]
    files: dict[int, bytes]

    def write(self, to: Path) -> None:
        """Lay it out below `to`, which exists and is empty."""
        written: dict[int, Path] = {}
        waiting = [(_TOP, to)]
        while waiting:
            folder, path = waiting.pop()
            for name, target in self.folders[folder].items():
                if target in self.folders:
                    (path / name).mkdir()
                    waiting.append((target, path / name))
                elif target in written:
                    os.link(written[target], path / name)
                else:
                    (path / name).write_bytes(self.files[target])
                    written[target] = path / name


class Disk:
    """Begins empty and durable, or with what `load` finds."""

    def __init__(self) -> None:
        self.time = 0
        self.synced = 0  # how often something became durable
        self._numbers = 0
        self._now: dict[int, Names] = {_TOP: {}}
        self._durable: dict[int, Names] = {_TOP: {}}
        self._steps: list[_Step] = []
        self._files: dict[int, Contents] = {}
        self._handles: dict[int, _Handle] = {}

    @classmethod
    def load(cls, folder: Path) -> Disk:
        """Everything below `folder`, durable."""
        disk = cls()
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_dir():
                disk._make(name, is_folder=True)
            else:
                data = path.read_bytes()
                disk._files[disk._make(name)] = Contents(bytearray(data), data)
        disk._durable = {number: dict(names) for number, names in disk._now.items()}
        disk._steps.clear()
        return disk

    def apply(self, operation: op.Operation) -> bool:
        """Let it happen; True if a cut right after it may find what one before it could not."""
        self.time += 1
        match operation:
            case op.Opened():
                return self._open(operation)
            case op.Closed(fd):
                del self._handles[fd]
                return False
            case op.Sought(fd, offset):
                self._handles[fd].position = offset
                return False
            case op.Written(fd, data, offset):
                self._write(self._handles[fd], data, offset)
            case op.Resized(fd, size):
                self._files[self._handles[fd].target].resize(self.time, size)
            case op.Synced(fd, ok):
                self._sync(self._handles[fd].target, ok)
            case op.Linked(path, new_path):
                self._step((new_path, self._find(path)))
            case op.Renamed(path, new_path):
                self._step((new_path, self._find(path)), (path, None))
            case op.Unlinked(path) | op.FolderRemoved(path):
                self._find(path)
                self._step((path, None))
            case op.FolderMade(path):
                self._make(path, is_folder=True)
            case op.Said():
                return False
        return True

    def replay(self, operations: Iterable[op.Operation]) -> None:
        """Let all of them happen."""
        for operation in operations:
            self.apply(operation)

    @property
    def unsynced(self) -> bool:
        """Whether there is anything to lose."""
        return bool(self._steps) or any(contents.unsynced for contents in self._files.values())

    def cut(self, way: Way, drawn: random.Random) -> State:
        """The power goes now."""
        mixed, garbage = way in MIXED, drawn.random() < 0.5
        files = {
            number: contents.mixed(drawn, garbage=garbage)
            if mixed
            else contents.sized_only()
            if way is Way.NAMES_ONLY
            else bytes(contents.now)
            if way in (Way.ALL, Way.BYTES_ONLY)
            else contents.durable
            for number, contents in self._files.items()
        }
        return State(self._names(way, drawn), files)

    def _names(self, way: Way, drawn: random.Random) -> dict[int, Names]:
        names = {folder: dict(entries) for folder, entries in self._durable.items()}
        moment = drawn.choice([0, self.time, *(step.time for step in self._steps)])
        for step in self._steps:
            match way:
                case Way.SYNCED | Way.BYTES_ONLY:
                    chosen = []
                case Way.ALL | Way.NAMES_ONLY:
                    chosen = step.edits
                case Way.ORDERED:
                    chosen = step.edits if step.time <= moment else []
                case Way.ANY:
                    chosen = step.edits if drawn.random() < 0.5 else []
                case Way.HALVES:
                    chosen = [edit for edit in step.edits if drawn.random() < 0.5]
            for edit in chosen:
                _enter(names, edit)
        return names

    def _open(self, opened: op.Opened) -> bool:
        folder, name = self._place(opened.path)
        target = _TOP if opened.path == "" else self._now[folder].get(name)
        is_new = target is None
        if target is None:
            if not opened.create:
                raise FileNotFoundError(opened.path)
            target = self._make(opened.path)
        elif opened.truncate:
            self._files[target].resize(self.time, 0)
        self._handles[opened.fd] = _Handle(target, opened.append)
        return is_new or opened.truncate

    def _write(self, handle: _Handle, data: bytes, offset: int | None) -> None:
        contents = self._files[handle.target]
        at = offset
        if at is None or handle.append:
            at = len(contents.now) if handle.append else handle.position
            handle.position = at + len(data)
        contents.write(self.time, at, data)

    def _sync(self, target: int, ok: bool) -> None:
        self.synced += 1
        if target not in self._now:
            contents = self._files[target]
            return contents.sync() if ok else contents.fail_sync()
        if ok:
            for step in [step for step in self._steps if any(edit.folder == target for edit in step.edits)]:
                self._make_durable(step)
        return None

    def _make_durable(self, step: _Step) -> None:
        """A rename becomes durable with either folder: every file system's log has both or neither."""
        for edit in step.edits:
            _enter(self._durable, edit)
            for earlier in self._steps[: self._steps.index(step)]:
                earlier.edits = [e for e in earlier.edits if (e.folder, e.name) != (edit.folder, edit.name)]
        step.edits = []
        self._steps = [step for step in self._steps if step.edits]

    def _make(self, path: str, *, is_folder: bool = False) -> int:
        self._numbers += 1
        if is_folder:
            self._now[self._numbers] = {}
            self._durable[self._numbers] = {}
        else:
            self._files[self._numbers] = Contents()
        self._step((path, self._numbers))
        return self._numbers

    def _step(self, *changes: tuple[str, int | None]) -> None:
        edits = [_Edit(*self._place(path), target) for path, target in changes]
        for edit in edits:
            _enter(self._now, edit)
        self._steps.append(_Step(self.time, edits))

    def _find(self, path: str) -> int:
        folder, name = self._place(path)
        return self._now[folder][name]

    def _place(self, path: str) -> tuple[int, str]:
        """The folder that holds this path, and the name there."""
        *above, name = path.split("/")
        folder = _TOP
        for part in above:
            folder = self._now[folder][part]
        return folder, name


def _enter(names: dict[int, Names], edit: _Edit) -> None:
    if edit.target is None:
        names[edit.folder].pop(edit.name, None)
    else:
        names[edit.folder][edit.name] = edit.target
