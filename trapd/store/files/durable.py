"""Files that survive a power cut. Any thread.

Each function says what start-up finds if the power goes at one of its lines. Errors are StoreFull for a full
disk and StoreError for everything else the disk refuses.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trapd.errors import StoreError, StoreFull, StoreUnwritable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_AGAIN_BYTES = 1_000_000
# What a card says that is read-only, failing or gone, and a file system that has found itself damaged.
_UNWRITABLE = frozenset(
    {
        errno.EROFS,
        errno.EIO,
        errno.EUCLEAN,
        errno.EBADMSG,
        errno.ENODEV,
        errno.ENXIO,
        errno.ENOMEDIUM,
        errno.EREMOTEIO,
        errno.ESTALE,
    }
)


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn an OSError into StoreFull or StoreError; `doing` completes "cannot ..."."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, doing) from error


def disk_error(error: OSError, doing: str) -> StoreError:
    """The StoreError that says what the disk refused."""
    if error.errno in _FULL:
        return StoreFull(f"cannot {doing}: no space left", "free space on the disk that holds storage.path")
    kind = StoreUnwritable if error.errno in _UNWRITABLE else StoreError
    return kind(
        f"cannot {doing}: {error.strerror or error}", "look at the disk, its mount options and permissions"
    )


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable: created, linked and removed names."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(file: Path) -> None:
    """Make a file's bytes durable."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Folders:
    """The folders whose names this process has made durable. One thread at a time.

    A folder that is there is not durable for that: a process may have been killed, or refused by the disk,
    between making it and syncing its name. Whatever were built in it would be lost with it.
    """

    def __init__(self) -> None:
        self._durable: set[Path] = set()

    def make(self, folder: Path) -> None:
        """Make one folder, durably, below a folder that is; one sync, none the next time.

        Cut before the sync: the folder may be missing, and is made again.
        """
        if folder in self._durable and folder.is_dir():
            return
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
        self._durable.add(folder)


def write_new(file: Path, data: bytes) -> None:
    """Write a file that must not exist yet, and sync its bytes; one sync.

    Its name is not durable yet. Cut at any line: a temporary file, whole or not, that start-up removes.
    """
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def write_again(file: Path, each: Callable[[], None] = lambda: None) -> None:
    """Write every byte of a file over itself, and sync it. Cut at any line: the same bytes are there.

    `each` is called for each megabyte.

    A sync that fails gives its pages up: they are still read back, and no later sync brings them to the disk.
    Only writing them again does.
    """
    fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        offset = 0
        while data := os.pread(fd, _AGAIN_BYTES, offset):
            offset += os.pwrite(fd, data, offset)
            each()
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_if_possible(file: Path) -> None:
    """Tidy up behind an error, which is the one to be told; what stays is removed by the next start."""
    with suppress(OSError):
        file.unlink(missing_ok=True)


def file_bytes(file: Path) -> int:
    """The file's size; 0 where there is none."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def tree_bytes(folder: Path, each: Callable[[], None] = lambda: None) -> int:
    """Bytes of all files below `folder`; what vanishes meanwhile counts nothing, nor does what is shut to us,
    as a disk's own lost+found is. `each`: for each file.
    """
    total = 0
    folders = [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    each()
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    else:
                        total += _bytes_of(entry)
        except (FileNotFoundError, PermissionError):
            continue
    return total


def _bytes_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
