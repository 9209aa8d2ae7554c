"""What lies where a file or folder of the store belongs, and is of the other sort: left by a hand, a tool or
a repaired file system. It is moved to orphans/ and named in the log, never deleted. Start-up, and Capture for
the folders that it needs.

A link stays, wherever it leads: somebody has put it there, and the disk behind it may come back.
"""

from __future__ import annotations

import logging
from pathlib import Path

from trapd.store.files import names

log = logging.getLogger("trapd.store")


def make_folder_free(root: Path, folder: Path) -> None:
    """Whatever is no folder goes from where `folder` belongs. Raises OSError."""
    if folder.exists() and not folder.is_dir():
        move_aside(root, folder)


def make_file_free(root: Path, file: Path) -> None:
    """Whatever is no file goes from where `file` belongs. Raises OSError."""
    if file.exists() and not file.is_file():
        move_aside(root, file)


def move_aside(root: Path, stranger: Path) -> Path:
    """Move it to orphans/ under a name that is free there; gives its new place. Raises OSError."""
    orphans = root / names.ORPHANS
    if stranger == orphans:
        stranger = orphans.rename(_free(root, f"{names.ORPHANS}.strange"))
    orphans.mkdir(exist_ok=True)
    aside = stranger.rename(_free(orphans, stranger.name))
    log.error("%s does not belong there: moved to %s/%s", stranger, names.ORPHANS, aside.name)
    return aside


def _free(folder: Path, name: str) -> Path:
    """`folder/name`, or with a number where that is taken."""
    free, number = folder / name, 1
    while free.exists() or free.is_symlink():
        number += 1
        free = folder / f"{name}.{number}"
    return free
