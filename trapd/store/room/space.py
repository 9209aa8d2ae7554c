"""Room on the disk: what may still be written, and what goes first when it gets tight.

Capture asks `admit` before each burst, on its thread: a sum in memory and one statvfs. Housekeep calls `tidy`
on its own; what goes in which order stands in eviction.py. Between what is due to nobody any more and what
was not delivered yet go databases that were set aside, the backup, and orphans.

Deleting runs the other way round than writing: first the row says that the file is gone, then the file goes.
Cut between the two, start-up finds a file that its row has given up, and removes it; nobody ever looks for a
file that is no longer there.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from trapd.errors import StoreFull
from trapd.frozen import Frozen
from trapd.records import Event
from trapd.store.files.durable import disk_errors, file_bytes
from trapd.store.photographs import thumbs
from trapd.store.repair.damage import DAMAGED
from trapd.store.room import days, eviction, orphans, reserve
from trapd.store.room.eviction import Step, Tombstones, Victim
from trapd.store.session import Session
from trapd.store.sqlite.database import BACKUP, FILE, database_bytes, log_bytes

log = logging.getLogger("trapd.store")

_TRANSACTION_EVENTS = 20
_MARGIN_BYTES = 64_000_000  # room made beyond the limits, so that the next bursts find it ready
_CHECKPOINT_BYTES = 1_000_000
_PAGE_BYTES = 4096
_MANY_PAGES = 256
_FEW_BURSTS = 4
_TIGHT_BURSTS = 3  # a trigger a second must not find the room gone that the last look has made
_LAST_BYTES = 200_000
_PAGES_AT_ONCE = 250  # a megabyte: a burst that waits for it waits for milliseconds
_SMALL_DATABASE_BYTES = 1_500_000
_DROPPED = Step("dropped", "", media=True, thumb=True)


class Evicted(Frozen):
    """What one `tidy` removed. `events`: how many bursts lost their files, copies and orphans counted in."""

    events: int = 0
    files: int = 0
    bytes: int = 0


class Disk(Frozen):
    """How much room there is. `used_bytes`: everything below storage.path."""

    used_bytes: int
    free_bytes: int
    max_bytes: int
    min_free_bytes: int


class Space:
    """Quota and free-space floor of one storage.path. Thread-safe.

    `tight` is set by a burst behind which there is room for few more, and cleared by `tidy`.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int,
        min_free_bytes: int,
        files_bytes: int,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._free_bytes = free_bytes or (lambda: free_bytes_at(root))
        self._lock = threading.Lock()
        self._files_bytes = files_bytes  # all but the database
        self._wanted_bytes = 0
        self.tight = threading.Event()
        self._stuck: set[Path] = set()  # orphans that do not let themselves be removed

    def admit(self, bytes_wanted: int) -> bool:
        """Whether so much may be written without crossing quota or floor."""
        with self._lock:
            self._wanted_bytes = bytes_wanted
        disk = self.disk()
        if not _has_room(disk, _TIGHT_BURSTS * bytes_wanted):
            self.tight.set()
        return _has_room(disk, bytes_wanted)

    def has_room(self, bytes_wanted: int) -> bool:
        """As `admit`, for something that is not a burst: what bursts need is made for bursts alone."""
        return _has_room(self.disk(), bytes_wanted)

    def disk(self) -> Disk:
        """The state now. Raises StoreError where the disk does not answer."""
        with disk_errors("look at the disk of storage.path"):
            database, free = database_bytes(self._root / FILE), self._free_bytes()
        with self._lock:
            return Disk(self._files_bytes + database, free, self._max_bytes, self._min_free_bytes)

    def changed(self, by_bytes: int) -> None:
        """Files were written or removed."""
        with self._lock:
            self._files_bytes += by_bytes

    def tidy(self, session: Session, limit: int, tombstones: Tombstones | None = None) -> Evicted:
        """Evict from at most `limit` bursts, as long as space is short, in short transactions.

        Without `tombstones` only what is due to nobody any more. Also brings a long write-ahead log back into
        the database, gives its free pages back to the disk, and looks after the reserve. Raises StoreError.
        """
        self.tight.clear()  # before the look: a burst that comes meanwhile sets it again
        if log_bytes(self._root / FILE) > _CHECKPOINT_BYTES:
            session.database.checkpoint()
        if self._free_bytes() < _LAST_BYTES:
            self.release_reserve()  # for the alert, for counts and answers: they need little
        self._give_back(session)
        done = Evicted()
        while done.events < limit and self._excess_bytes() > 0:
            evicted = self._evict_some(session, min(_TRANSACTION_EVENTS, limit - done.events), tombstones)
            if evicted.events == 0:
                break
            done = _sum(done, evicted)
        if self._excess_bytes() == 0:
            self.changed(reserve.keep(self._root, self._free_bytes()))
        return done

    def release_reserve(self) -> bool:
        """There is no room left, not even for what the database must note: True if there is some now."""
        freed_bytes = reserve.release(self._root)
        self.changed(-freed_bytes)
        return freed_bytes > 0

    def drop(self, session: Session, event: Event) -> Evicted:
        """Remove the files of one event now, whatever space there is. Raises StoreError."""
        rows = session.database.all("SELECT row, id, thumb FROM event WHERE id = ?", (event.id,))
        return self._evict(session, [eviction.victim(session.database, row, _DROPPED) for row in rows])

    def _evict_some(self, session: Session, limit: int, tombstones: Tombstones | None) -> Evicted:
        database = session.database
        if victims := eviction.victims(database, eviction.DUE_TO_NOBODY, limit):
            return self._evict(session, _enough(self._root, victims, self._excess_bytes()))
        # What is still due to somebody goes for the next few bursts only, not for comfort.
        excess = self._excess_bytes(bursts=_FEW_BURSTS)
        if tombstones is None or excess == 0:
            return Evicted()
        if copies := self._remove_copies():
            return copies
        if chosen := orphans.oldest(self._root, excess, limit, but=self._stuck):
            removed = self._note_then_remove(
                lambda: orphans.mark(database, chosen), lambda: self._remove_orphans(chosen)
            )
            if removed.events:
                return removed
        if victims := eviction.victims(database, eviction.UNDELIVERED, limit):
            victims = _enough(self._root, victims, excess)
            self._secure_thumbs(session, victims)
            return self._evict(session, victims, tombstones)
        return self._give_up_rows(session, tombstones)

    def _secure_thumbs(self, session: Session, victims: Sequence[Victim]) -> None:
        """Without its photograph a thumbnail cannot be made again."""
        stay = [victim.id for victim in victims if not victim.step.thumb]
        events = (session.events.get(event_id) for event_id in stay)
        if stay:
            self.changed(thumbs.secure(self._root, [event for event in events if event is not None]))

    def _remove_copies(self) -> Evicted | None:
        """Databases that were set aside, and the backup: before anything that nobody has seen yet."""
        for pattern in (f"{DAMAGED}*", BACKUP):
            for file in sorted(self._root.glob(pattern)):
                removed_bytes = self._unlink_one(file.name)
                if removed_bytes:
                    log.warning("%s is removed to make room", file.name)
                    self.changed(-removed_bytes)
                    return Evicted(1, 1, removed_bytes)
        return None

    def _remove_orphans(self, chosen: Sequence[orphans.Orphan]) -> Evicted:
        gone = orphans.remove(chosen)
        self._stuck |= {orphan.path for orphan in chosen} - {orphan.path for orphan in gone}
        removed_bytes = sum(orphan.bytes for orphan in gone)
        self.changed(-removed_bytes)
        return Evicted(len(gone), len(gone), removed_bytes)

    def _give_up_rows(self, session: Session, tombstones: Tombstones) -> Evicted:
        """Rows last, and only while they take more room than a database must."""
        free, pages = session.database.free_pages()
        if (pages - free) * _PAGE_BYTES < _SMALL_DATABASE_BYTES:
            return Evicted()
        given_up = eviction.give_up_rows(session.database, session.now(), tombstones)
        free, _ = session.database.free_pages()
        session.database.give_back(min(free, 4 * _PAGES_AT_ONCE))
        session.database.checkpoint()
        return Evicted(given_up, 0, 0)

    def _give_back(self, session: Session) -> None:
        """Free pages of the database go back to the disk by and by, when they are many or space is short."""
        free, pages = session.database.free_pages()
        if free > _MANY_PAGES and (free > pages // 4 or self._excess_bytes() > 0):
            session.database.give_back(_PAGES_AT_ONCE)
            session.database.checkpoint()

    def _excess_bytes(self, *, bursts: int | None = None) -> int:
        """What has to go until limits are kept, and a margin: for so many bursts, or a comfortable one."""
        disk = self.disk()
        with self._lock:
            wanted = self._wanted_bytes
        margin = max(_MARGIN_BYTES, 2 * wanted) if bursts is None else bursts * wanted
        # Never more than a quarter of the quota: a small one would be emptied for the sake of its margin.
        margin = min(margin, disk.max_bytes // 4)
        return max(
            disk.used_bytes + margin - disk.max_bytes, disk.min_free_bytes + margin - disk.free_bytes, 0
        )

    def _evict(
        self, session: Session, victims: Sequence[Victim], tombstones: Tombstones | None = None
    ) -> Evicted:
        done = self._note_then_remove(
            lambda: eviction.mark(session.database, victims, session.now(), tombstones),
            lambda: self._unlink(victims),
        )
        folders = {(self._root / file).parent for victim in victims for file in victim.files}
        days.remove_if_empty(folders, session.now().wall_ms)
        return done

    def _note_then_remove(self, note: Callable[[], None], remove: Callable[[], Evicted]) -> Evicted:
        with suppress(StoreFull):
            note()
            return remove()
        if self.release_reserve():
            with suppress(StoreFull):
                note()
                return remove()
        # Not even the note finds room. The other way round then: start-up takes a missing file for evicted,
        # and the room of these files lets the note be written.
        done = remove()
        note()
        return done

    def _unlink(self, victims: Sequence[Victim]) -> Evicted:
        files = removed_bytes = 0
        for victim in victims:
            for file in victim.files:
                removed = self._unlink_one(file)
                files += removed is not None
                removed_bytes += removed or 0
        self.changed(-removed_bytes)
        return Evicted(len(victims), files, removed_bytes)

    def _unlink_one(self, file: str) -> int | None:
        path = self._root / file
        try:
            size_bytes = path.stat().st_size
            path.unlink()
        except OSError as error:
            # Its row has given it up: the next start tries again.
            log.warning("cannot remove %s: %s", file, error.strerror)
            return None
        return size_bytes


def _has_room(disk: Disk, bytes_wanted: int) -> bool:
    return (
        disk.used_bytes + bytes_wanted <= disk.max_bytes
        and disk.free_bytes - bytes_wanted >= disk.min_free_bytes
    )


def free_bytes_at(folder: Path) -> int:
    """Bytes that this process may still write on the folder's disk."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _enough(root: Path, victims: list[Victim], excess_bytes: int) -> list[Victim]:
    """The first of these whose files come to `excess_bytes`: no more is evicted than must be."""
    total = 0
    for count, victim in enumerate(victims, 1):
        total += sum(file_bytes(root / file) for file in victim.files)
        if total >= excess_bytes:
            return victims[:count]
    return victims


def _sum(first: Evicted, second: Evicted) -> Evicted:
    return Evicted(first.events + second.events, first.files + second.files, first.bytes + second.bytes)
