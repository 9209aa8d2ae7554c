"""The daily copy of the database: made by Housekeep beside everything else, used where the original fails.

Made in small steps under a temporary name, checked, synced, and renamed over the one before: cut at any line
there is a whole backup or a temporary file that the next start removes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from trapd.errors import StoreCorrupt, StoreError
from trapd.store.files import names
from trapd.store.files.durable import disk_errors, file_bytes, sync_file, sync_folder
from trapd.store.repair import contents, rebuild
from trapd.store.sqlite import schema
from trapd.store.sqlite.database import BACKUP, FILE, Database, is_damage
from trapd.store.sqlite.rows import CLEAN, Meta

log = logging.getLogger("trapd.store")


def age_s(root: Path, wall_ms: int) -> float | None:
    """Seconds between the last backup and now, whichever way the clock went; None without any."""
    try:
        return abs(wall_ms / 1000 - (root / BACKUP).stat().st_mtime)
    except OSError:
        return None


def make(root: Path, database: Database, each: Callable[[], None]) -> int:
    """Copy the database as it is now; by how many bytes backups have grown. `each` is called at every step.

    Whatever `each` raises ends the copy and is raised again. Raises StoreCorrupt for a database whose copy is
    not sound (the older backup stays), StoreFull, StoreError.
    """
    temp, final = root / names.TEMP / BACKUP, root / BACKUP
    with disk_errors("write the backup of the database"):
        temp.unlink(missing_ok=True)
        try:
            database.copy_to(temp, each)
            _check(temp, each)
            sync_file(temp)
            grown_bytes = file_bytes(temp) - file_bytes(final)
            temp.rename(final)
            sync_folder(root)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
    return grown_bytes


def restore(root: Path, taken: frozenset[str], drawn: Iterator[str], each: Callable[[], None]) -> bool:
    """Let the backup take the place of a database that is gone; False without a sound one.

    In one transaction within the backup it gets a new epoch, for nobody knows which numbers were given after
    it was made; then it is renamed. Cut in between, all of it is done again. `each` is called all the while.
    Raises StoreFull, StoreError.
    """
    file = root / BACKUP
    if not file.exists():
        return False
    try:
        _begin_epoch(file, taken, drawn, each)
    except StoreError as error:
        if not is_damage(error):
            raise
        log.error("the backup is of no use: %s", error)
        return False
    with disk_errors("bring the backup back"):
        if file_bytes(file.with_name(f"{BACKUP}-wal")):
            raise StoreError("the backup's log did not come to its end", "look at the disk and its log")
        sync_file(file)
        file.rename(root / FILE)
        for suffix in ("-wal", "-shm"):
            file.with_name(BACKUP + suffix).unlink(missing_ok=True)
        sync_folder(root)
    return True


def _begin_epoch(file: Path, taken: frozenset[str], drawn: Iterator[str], each: Callable[[], None]) -> None:
    database = Database.open(file)
    try:
        if schema.refuse_strange(database) == 0:
            raise StoreCorrupt("it is empty")
        with database.telling(each):
            database.check_whole(closely=True)
            schema.migrate(database)
            contents.check(database)
        used = rebuild.used_epochs(database) | taken
        Meta(database).put(CLEAN, "1")
        rebuild.begin_anew(database, next(candidate for candidate in drawn if candidate not in used))
    finally:
        database.close()


def _check(file: Path, each: Callable[[], None]) -> None:
    copy = Database.open_read_only(file, immutable=True)
    try:
        copy.check_whole(each)
    finally:
        copy.close()
