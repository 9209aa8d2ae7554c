"""The store of one unit: what survives a power cut. One process has it, held by a lock.

The main thread opens and closes it. Stages take a session each; Capture alone asks for sequence numbers and
burst files. Layout below storage.path: trapd.db, lock, media/, thumbs/, tmp/, orphans/.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from trapd.errors import StoreError, StoreFull, StoreOlder, UsageError
from trapd.ports import Clock
from trapd.records import Event, Medium, Moment, Trigger
from trapd.store.files import durable, lock, names, strange
from trapd.store.files.durable import disk_errors
from trapd.store.photographs import reading, thumbs
from trapd.store.photographs.burst import BurstFiles
from trapd.store.photographs.exif import ExifContext
from trapd.store.repair import damage, rebuild, recovery
from trapd.store.repair.recovery import Found, MediaFiles, Recovery
from trapd.store.room import days, reserve
from trapd.store.room.space import Space, free_bytes_at
from trapd.store.session import Session
from trapd.store.sqlite import in_place, schema
from trapd.store.sqlite.database import BACKUP, FILE, Database, database_bytes, is_damage
from trapd.store.sqlite.rows import CLEAN, REBUILT, Meta

log = logging.getLogger("trapd.store")

_BACKUP_EVERY_S = 24 * 3600.0
_THUMBS_AT_ONCE = 200
_FOLDERS = (names.ORPHANS, names.MEDIA, names.THUMBS, names.TEMP)
_FILES = (
    *(f"{file}{part}" for file in (FILE, BACKUP) for part in ("", "-wal", "-shm", "-journal")),
    damage.SUSPECT,
    reserve.RESERVE,
)


class Store:
    """Opened by `Store.open`, looked at by `Store.peek`. Its methods may be called from any thread but for
    `next_seq` and `burst_files`, which are Capture's.
    """

    def __init__(
        self,
        root: Path,
        unit: str,
        *,
        clock: Clock,
        taken: int,
        epoch: str,
        last_seq: int,
        space: Space,
        recovered: Recovery,
        folders: durable.Folders,
        database: Database,
    ) -> None:
        self.root = root
        self.unit = unit
        self.epoch = epoch
        self.space = space
        self.recovered = recovered
        self._clock = clock
        self._lock = taken
        self._folders = folders
        # While one connection is open SQLite keeps its log, whose name start-up has made durable.
        self._database = database
        self._identities = in_place.identities(root)
        self._last_seq = last_seq

    @classmethod
    def open(
        cls,
        root: Path,
        unit: str,
        *,
        clock: Clock,
        max_bytes: int,
        min_free_bytes: int,
        each: Callable[[], None] = lambda: None,
    ) -> Store:
        """Take the store, and put right whatever the last process or a power cut left behind.

        `each` is called at every step, for each file and within long queries: thousands of times where there
        is much to do, and on a slow card with some ten seconds between two where a large database is read.
        What it raises ends the opening, as a cut would.

        Raises StoreLocked when another process has it, StoreFull, or StoreError for a disk that refuses or a
        database that a newer trapd made. A damaged database is set aside and a new one begun.
        """
        folders = durable.Folders()
        with disk_errors(f"make the folders of {root}"):
            _make_folders(root, folders)
        taken = lock.take(root)
        try:
            each()
            with disk_errors("make room for the store's files"):
                for name in _FILES:
                    strange.make_file_free(root, root / name)
            temp_removed = recovery.remove_temp(root)
            database, epoch, last_seq, recovered = _recover_on_full_disk(root, clock, temp_removed, each)
            try:
                days.remove_empty(root, clock.now().wall_ms)
                reserve.keep(root, free_bytes_at(root))
                with disk_errors(f"look through {root}"):
                    # The index of the log (-shm) is memory that only looks like a file.
                    index_bytes = durable.file_bytes(root / f"{FILE}-shm")
                    files_bytes = durable.tree_bytes(root, each) - database_bytes(root / FILE) - index_bytes
            except BaseException:
                database.close()
                raise
            space = Space(root, max_bytes=max_bytes, min_free_bytes=min_free_bytes, files_bytes=files_bytes)
        except BaseException:
            os.close(taken)
            raise
        return cls(
            root,
            unit,
            clock=clock,
            taken=taken,
            epoch=epoch,
            last_seq=last_seq,
            space=space,
            recovered=recovered,
            folders=folders,
            database=database,
        )

    @classmethod
    def peek(cls, root: Path) -> Session:
        """A session that only looks, whether or not the daemon runs; takes no lock.

        Raises UsageError where trapd has never run, StoreCorrupt, StoreOlder, StoreError for the database of
        a newer trapd.
        """
        file = root / FILE
        with disk_errors(f"look into {root}"):
            is_there = file.exists()
        if not is_there:
            raise UsageError(f"there is no store in {root}", "name the storage.path that trapd run uses")
        database = Database.open_read_only(file)
        try:
            _refuse_other_version(root, database)
            return Session.reading(root, database)
        except BaseException:
            database.close()
            raise

    def next_seq(self) -> int:
        """The next burst's number: above every one ever given in this epoch that anybody may have seen."""
        self._last_seq += 1
        return self._last_seq

    def burst_files(
        self, seq: int, moment: Moment, context: ExifContext, *, trigger: Trigger, config: str
    ) -> BurstFiles:
        """The files of burst `seq`, which began at `moment`; trigger and configuration go into their EXIF."""
        if context.unit != self.unit:
            raise UsageError(f"EXIF of unit {context.unit} in the store of {self.unit}")
        name = names.PhotographName(self.unit, self.epoch, seq, 0)
        return BurstFiles(
            self.root,
            name,
            moment,
            context,
            trigger=trigger,
            config=config,
            changed=self.space.changed,
            folders=self._folders,
        )

    def session(self) -> Session:
        """A session for the calling thread; close it there."""
        database = Database.open(self.root / FILE, log=self._database.log)
        return Session(self.root, database, unit=self.unit, now=self._clock.now)

    def check(self, medium: Medium) -> None:
        """Raises BadPicture for a photograph that is not there whole, or cannot be decoded."""
        reading.check(self.root, medium)

    def read(self, medium: Medium) -> bytes:
        """A photograph's bytes. Raises BadPicture where it is evicted, missing, empty or unreadable."""
        return reading.read(self.root, medium)

    def write_thumb(self, event: Event, frame: int, max_bytes: int) -> tuple[str, int] | None:
        """Make the thumbnail of an event from its photograph number `frame`: (path, bytes) for `settle`.

        None where none fits `max_bytes`. One sync; its name is durable with the next one that the disk does,
        and a thumbnail that a power cut took is made again. Raises BadPicture, StoreFull, StoreError.
        """
        written = thumbs.write(self.root, event, frame, max_bytes)
        if written is None:
            return None
        path, size_bytes, added_bytes = written
        self.space.changed(added_bytes)
        return path, size_bytes

    def thumb(self, event: Event) -> bytes | None:
        """An event's thumbnail, made again from its photograph where the file is gone; None without both."""
        return thumbs.read(self.root, event)

    def back_up(self, session: Session, each: Callable[[], None]) -> bool:
        """Make the daily copy of the database if a day has passed since the last; True if it was made.

        `each` is called at every step; what it raises ends the copy, and the one before stays. Without room
        it is left out. Raises StoreCorrupt where the copy shows damage, StoreFull, StoreError.
        """
        from trapd.store.repair import backup

        age_s = backup.age_s(self.root, self._clock.now().wall_ms)
        if age_s is not None and age_s < _BACKUP_EVERY_S:
            return False
        if not self.space.has_room(database_bytes(self.root / FILE)):
            log.warning("no room for a backup of the database")
            return False
        self.space.changed(backup.make(self.root, session.database, each))
        return True

    def check_in_place(self, session: Session) -> None:
        """Raises StoreCorrupt where somebody has taken the database away under our hands; StoreError."""
        in_place.check(self.root, self._identities, session.database)

    def suspect(self) -> None:
        """A stage met damage in the database: the next start checks all of it. Raises StoreError."""
        damage.suspect(self.root)

    def told_rebuilt(self) -> None:
        """The operator's alert about a rebuild is in the outbox: later starts need not raise it. One sync."""
        with self.session() as session, session.database.write() as connection:
            connection.execute("DELETE FROM meta WHERE key = ?", (REBUILT,))

    def close(self, *, clean: bool) -> None:
        """Let go of the store. `clean`: every stage ended in good order; else the next start looks closer.

        Called on the thread that opened it, sessions having been closed first by theirs. May be called twice.
        """
        if self._lock < 0:
            return
        try:
            if clean:
                Meta(self._database).put(CLEAN, "1")
        except StoreError as error:
            # Then the next start takes it for a bad end, which costs a check and loses nothing.
            log.warning("the store was not closed cleanly: %s", error)
        finally:
            self._database.close()
            os.close(self._lock)
            self._lock = -1


def _make_folders(root: Path, folders: durable.Folders) -> None:
    for folder in reversed([root, *root.parents]):
        if folder.is_mount():
            continue  # its name is no entry of its own disk
        try:
            folders.make(folder)
        except PermissionError:
            if not folder.is_dir():
                raise  # else somebody else made it, in a folder that we may not even read
    for name in _FOLDERS:
        strange.make_folder_free(root, root / name)
        folders.make(root / name)
    strange.make_file_free(root, root / lock.LOCK)


def _refuse_other_version(root: Path, database: Database) -> None:
    version = schema.refuse_strange(database)
    if version == 0:
        raise UsageError(f"the store in {root} is empty", "start trapd run once")
    if version < schema.VERSION:
        if lock.in_use(root):
            raise StoreOlder("the store is being made, or of an older trapd", "ask again in a moment")
        raise StoreOlder("the store is of an older trapd", "trapd run brings it forward as it starts")


def _recover_on_full_disk(
    root: Path, clock: Clock, temp_removed: int, each: Callable[[], None]
) -> tuple[Database, str, int, Recovery]:
    """Recovery needs to write a little. Give up for it, one after another, what can be made again."""
    for make_room in (reserve.release, _remove_backup, _remove_thumbs):
        try:
            return _recover_sound(root, clock, temp_removed, each)
        except StoreFull as error:
            log.error("no room to open the store: %s", error)
            make_room(root)
    return _recover_sound(root, clock, temp_removed, each)


def _remove_backup(root: Path) -> None:
    with disk_errors("remove the backup"):
        (root / BACKUP).unlink(missing_ok=True)


def _remove_thumbs(root: Path) -> None:
    """A thumbnail is made again from its photograph when it is sent."""
    with disk_errors("remove thumbnails"):
        for file in sorted((root / names.THUMBS).iterdir())[:_THUMBS_AT_ONCE]:
            file.unlink()


def _recover_sound(
    root: Path, clock: Clock, temp_removed: int, each: Callable[[], None]
) -> tuple[Database, str, int, Recovery]:
    try:
        return _recover(root, clock, temp_removed, each)
    except (StoreError, ValueError, KeyError, IndexError) as error:
        if isinstance(error, StoreError) and not is_damage(error):
            raise
        # A large database that ended in good order was not read at first, and of no other every row. Now all
        # of it is.
        log.error("the store cannot be opened: %s; looking closely", error)
        damage.suspect(root)
        return _recover(root, clock, temp_removed, each)


def _recover(
    root: Path, clock: Clock, temp_removed: int, each: Callable[[], None]
) -> tuple[Database, str, int, Recovery]:
    found = recovery.look(root, each)
    opened = damage.open_sound(root, clock.now().wall_ms, found.epochs(), _random_epochs(), each)
    try:
        return opened.database, *_reconcile(root, opened, found, temp_removed, each)
    except BaseException:
        opened.database.close()
        raise


def _reconcile(
    root: Path, opened: damage.Opened, found: Found, temp_removed: int, each: Callable[[], None]
) -> tuple[str, int, Recovery]:
    database, set_aside = opened.database, opened.set_aside
    files = MediaFiles(root, database, found, each)
    remains = set_aside is not None or bool(found.files) or any(root.glob(f"{damage.DAMAGED}*"))
    epoch = rebuild.begin_epoch(database, found.epochs(), _random_epochs(), takes_place=remains)
    last_seq = max(rebuild.highest_seq(database), *found.seqs(), 0)
    clean = recovery.begin(database) and set_aside is None and not opened.restored
    epoch = files.reconcile(epoch, _random_epochs())
    thumbs_removed = recovery.remove_lost_thumbs(root, database, each)
    recovered = Recovery(
        clean=clean,
        set_aside=set_aside,
        temp_removed=temp_removed,
        evictions_finished=files.evictions_finished,
        media_missing=files.media_missing,
        adopted=files.adopted,
        orphaned=files.orphaned,
        thumbs_removed=thumbs_removed,
        waiting=database.number("SELECT value FROM tally WHERE name = 'event.captured'"),
        give_up=recovery.given_up(database),
        rebuilt=rebuild.note_rebuilt(database, found.seqs(), set_aside),
    )
    if recovered.adopted or recovered.orphaned or recovered.media_missing or not clean:
        log.warning("recovered after a bad end: %s", recovered.told())
    return epoch, last_seq, recovered


def _random_epochs() -> Iterator[str]:
    while True:
        yield os.urandom(2).hex()
