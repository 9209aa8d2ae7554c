"""What start-up could not take up and Sums could not read: kept in orphans/ until space is needed.

Nobody sends it, and somebody may still want to look at it. It goes after the copies of the database and
before photographs that were not delivered. Called by Space, on Housekeep's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from trapd.frozen import Frozen
from trapd.store.files import names
from trapd.store.files.durable import disk_errors, tree_bytes
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import LAST_SEQ, count, meta_number, put_meta

log = logging.getLogger("trapd.store")


class Orphan(Frozen):
    """A file, or a folder that lay where no folder belongs."""

    path: Path
    bytes: int


def oldest(root: Path, excess_bytes: int, limit: int, *, but: Collection[Path] = ()) -> list[Orphan]:
    """At most `limit` of them, `but` those, oldest first and no more than come to `excess_bytes`.

    Raises StoreError.
    """
    with disk_errors(f"list {names.ORPHANS}"):
        there = (path for path in _list(root / names.ORPHANS) if path not in but)
        found = sorted(there, key=lambda path: (path.lstat().st_mtime, path.name))
        chosen: list[Orphan] = []
        for path in found[:limit]:
            if sum(orphan.bytes for orphan in chosen) >= excess_bytes:
                break
            chosen.append(Orphan(path, _bytes(path)))
    return chosen


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:  # somebody has removed it, and start-up makes it again
        return []


def mark(database: Database, chosen: Sequence[Orphan]) -> None:
    """Count these as gone. One transaction.

    A start finds the numbers of bursts in the names of their photographs: what goes leaves its own behind.
    """
    with database.write() as connection:
        last_seq = max(meta_number(connection, LAST_SEQ), *_seqs(chosen), 0)
        put_meta(connection, LAST_SEQ, str(last_seq))
        count(connection, "evicted.orphans", len(chosen))


def remove(chosen: Sequence[Orphan]) -> list[Orphan]:
    """Those that are gone now; one that cannot be removed is named in the log, and left."""
    import shutil

    gone = []
    for orphan in chosen:
        try:
            if orphan.path.is_dir() and not orphan.path.is_symlink():
                shutil.rmtree(orphan.path)
            else:
                orphan.path.unlink()
        except OSError as error:
            log.warning("cannot remove %s/%s: %s", names.ORPHANS, orphan.path.name, error.strerror)
            continue
        log.warning("%s/%s is removed to make room", names.ORPHANS, orphan.path.name)
        gone.append(orphan)
    return gone


def _bytes(path: Path) -> int:
    is_folder = path.is_dir() and not path.is_symlink()
    return tree_bytes(path) if is_folder else path.lstat().st_size


def _seqs(chosen: Sequence[Orphan]) -> Iterator[int]:
    for orphan in chosen:
        name = names.parse_photograph(orphan.path.name)
        if name is not None:
            yield name.seq
