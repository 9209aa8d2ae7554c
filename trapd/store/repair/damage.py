"""Opening the database file, and setting a damaged one aside. Start-up only.

Nothing is ever deleted here: what cannot be read is renamed, and a new database begins.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from trapd.errors import StoreCorrupt, StoreError
from trapd.frozen import Frozen
from trapd.store.files.durable import disk_errors, file_bytes, sync_folder, write_again
from trapd.store.sqlite import schema
from trapd.store.sqlite.database import BACKUP, FILE, Database, is_damage
from trapd.store.sqlite.rows import CLEAN, EPOCH, Meta

log = logging.getLogger("trapd.store")

_SMALL_BYTES = 16_000_000  # checked at every start; a larger one only after an unclean end
DAMAGED = f"{FILE}.damaged-"
SUSPECT = f"{FILE}.suspect"
_PARTS = ("", "-wal", "-journal")


class Opened(Frozen):
    """The database, sound and of the newest version. `set_aside`: the damaged one's name, if any.

    `restored`: it is the backup.
    """

    database: Database
    set_aside: str | None
    restored: bool


def open_sound(
    root: Path, wall_ms: int, taken: frozenset[str], drawn: Iterator[str], each: Callable[[], None]
) -> Opened:
    """Open the database; a damaged one is set aside, and one that is not there replaced by its backup.

    What is restored gets the first epoch of `drawn` that is not in `taken`. `each` is called all the while.
    Raises StoreError if a newer trapd made it, or if the disk refuses.
    """
    aside = _finish_setting_aside(root, wall_ms)
    _write_log_again(root, each)
    restored = file_bytes(root / FILE) == 0 and _restore(root, taken, drawn, each)
    try:
        return Opened(_open(root, each), aside, restored)
    except StoreCorrupt as error:
        log.error("%s", error)
        aside = _set_aside(root, wall_ms)
        restored = _restore(root, taken, drawn, each)
        return Opened(_open(root, each), aside, restored)


def _restore(root: Path, taken: frozenset[str], drawn: Iterator[str], each: Callable[[], None]) -> bool:
    """See backup.restore; without one it is not imported."""
    if not (root / BACKUP).exists():
        return False
    from trapd.store.repair import backup

    return backup.restore(root, taken, drawn, each)


def suspect(root: Path) -> None:
    """Somebody met damage, or what may be: the next start looks at every page, every index and every row, and
    not only at the pages.
    """
    with disk_errors("leave a mark for the next start"):
        (root / SUSPECT).touch()
        sync_folder(root)


def _open(root: Path, each: Callable[[], None]) -> Database:
    file = root / FILE
    database = Database.open(file)
    try:
        with database.telling(each):
            if schema.refuse_strange(database) > 0:
                _check(database, file, closely=(root / SUSPECT).exists())
            schema.migrate(database)
        with disk_errors("make the database durable"):
            (root / SUSPECT).unlink(missing_ok=True)
            # SQLite syncs the folder when it begins a log, and does not say if that failed. A log whose name
            # is lost takes every transaction with it, or brings an older log back over a newer database.
            sync_folder(root)
    except BaseException:
        database.close()
        raise
    return database


def _check(database: Database, file: Path, *, closely: bool) -> None:
    """Raise StoreCorrupt if pages are damaged. Reads all of a small database, and of one that ended badly."""
    try:
        meta = Meta(database)
        whole = closely or file.stat().st_size <= _SMALL_BYTES or meta.get(CLEAN) != "1"
        lost = meta.get(EPOCH) is None and database.one("SELECT 1 FROM event LIMIT 1") is not None
        if whole:
            database.check_whole(closely=closely)
        if closely and database.number("PRAGMA user_version") == schema.VERSION:
            from trapd.store.repair import contents

            contents.check(database)
    except StoreError as error:
        if isinstance(error, StoreCorrupt) or not is_damage(error):
            raise
        raise StoreCorrupt(f"the database cannot be read: {error.message}", "it is set aside") from error
    if lost:
        raise StoreCorrupt("the database has lost its epoch", "it is set aside")


def _finish_setting_aside(root: Path, wall_ms: int) -> str | None:
    """A log without its database: the power went while both were set aside. It must not meet a new one."""
    file, log_file = root / FILE, root / f"{FILE}-wal"
    with disk_errors("look at the database"):
        stands = file.exists() and (file.stat().st_size > 0 or not _has_bytes(log_file))
        if stands or not log_file.exists():
            return None
    return _set_aside(root, wall_ms)


def _write_log_again(root: Path, each: Callable[[], None]) -> None:
    """A log is not durable for being there: SQLite would build on what a power cut takes."""
    file = root / f"{FILE}-wal"
    with disk_errors("make the database's log durable"):
        if _has_bytes(file):
            write_again(file, each)


def _has_bytes(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _set_aside(root: Path, wall_ms: int) -> str:
    """Rename the database, then its log; remove their index. Cut in between: _finish_setting_aside."""
    with disk_errors("set the damaged database aside"):
        name = _free_name(root, wall_ms)
        for suffix in _PARTS:
            file = root / f"{FILE}{suffix}"
            if file.exists():
                file.rename(root / f"{name}{suffix}")
        (root / f"{FILE}-shm").unlink(missing_ok=True)
        sync_folder(root)
    log.error("the damaged database lies in %s: keep it, something may be read from it yet", root / name)
    return name


def _free_name(root: Path, wall_ms: int) -> str:
    base = name = f"{DAMAGED}{datetime.fromtimestamp(wall_ms // 1000, UTC):%Y%m%dT%H%M%SZ}"
    number = 1
    while any((root / f"{name}{suffix}").exists() for suffix in _PARTS):
        number += 1
        name = f"{base}.{number}"
    return name
