"""Start-up: bring files and rows back together, whatever the power cut left. Called by Store.open only.

Every step may itself be cut: it is found half done at the next start and done again. Nothing that may be a
photograph is deleted; what cannot be taken up is moved to orphans/.

What is found                             What becomes of it
a temporary file                          removed: its burst was never promised
photographs without a row, sound          adopted as a captured burst with their own id; summed later
thumbnails of events that have no verdict a new epoch: the database has lost its newest part (rebuild.py)
a file under media/ that is not one       moved to orphans/
a folder or a file in the other's place   moved to orphans/ (strange.py)
a file that its row has given up          removed: its eviction is finished
a row whose photograph is gone            the photograph is marked evicted, the event stays
an empty folder of a day that is over     removed (days.py)
a thumbnail without a row                 removed: it is made again from the photograph
the oldest captured event, after an       one attempt more; at two it is given up: kept unjudged
unclean end
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from trapd.errors import BadPicture, StoreError, StoreFull, StoreUnwritable
from trapd.frozen import Frozen
from trapd.records import Medium
from trapd.store.bursts.event_rows import Burst, insert_burst
from trapd.store.files import names, strange
from trapd.store.files.durable import disk_errors, sync_folder
from trapd.store.photographs import exif
from trapd.store.repair import rebuild
from trapd.store.repair.rebuild import Rebuilt
from trapd.store.sqlite.database import Database
from trapd.store.sqlite.rows import CLEAN, Meta, count, put_meta

log = logging.getLogger("trapd.store")

_MOST_ATTEMPTS = 2
_TRANSACTION_BURSTS = 50
_NAMED = 20  # files in the log, one by one
# Our EXIF stands first and has a few hundred bytes; what a stranger's photograph has besides may be long. To
# read more of ten thousand than must be takes a card most of the time that a rebuild has.
_HEADS_BYTES = (8192, 128_000)


class Recovery(Frozen):
    """What start-up found. Counts are of files, but for `adopted` and `waiting`: of bursts."""

    clean: bool  # the last process ended in good order
    set_aside: str | None  # a damaged database, under this name
    temp_removed: int
    evictions_finished: int
    media_missing: int
    adopted: int
    orphaned: int
    thumbs_removed: int
    waiting: int  # captured, not judged yet
    give_up: tuple[str, ...]  # ids of events whose judging has ended two processes
    rebuilt: Rebuilt | None = None  # the database had to be made anew, and nobody has been told yet

    def told(self) -> str:
        """What was found, for a person: counts that are 0 left out."""
        counts = {
            "bursts not judged yet": self.waiting,
            "bursts adopted from their photographs": self.adopted,
            "bursts given up, unjudged": len(self.give_up),
            "photographs that are gone": self.media_missing,
            "files put into orphans": self.orphaned,
            "temporary files removed": self.temp_removed,
            "thumbnails removed": self.thumbs_removed,
            "evictions finished": self.evictions_finished,
        }
        found = [f"{count} {what}" for what, count in counts.items() if count]
        if self.set_aside:
            found.append(f"the damaged database is kept as {self.set_aside}")
        return ", ".join(found) or "nothing was amiss"


def remove_temp(root: Path) -> int:
    """Empty the folder of temporary files."""
    removed = 0
    with disk_errors("remove temporary files"):
        for file in (root / names.TEMP).iterdir():
            removed += _remove(root, file)
    return removed


def begin(database: Database) -> bool:
    """Note that a process uses the store now; True if the last one ended in good order.

    After an unclean end the oldest captured event has one attempt more: Screen judges strictly in order, so
    it is the one that may have ended the process.
    """
    last_end = Meta(database).get(CLEAN)
    with database.write() as connection:
        if last_end == "0":
            connection.execute(
                "UPDATE event SET attempts = attempts + 1 WHERE row ="
                " (SELECT row FROM event WHERE state = 'captured' ORDER BY row LIMIT 1)"
            )
        put_meta(connection, CLEAN, "0")
    return last_end != "0"


def given_up(database: Database) -> tuple[str, ...]:
    """The events that Screen keeps without judging them."""
    rows = database.all(
        "SELECT id FROM event WHERE state = 'captured' AND attempts >= ? ORDER BY row", (_MOST_ATTEMPTS,)
    )
    return tuple(row["id"] for row in rows)


class Found(Frozen):
    """The names of the files under media/ (relative to storage.path) and in orphans/."""

    files: frozenset[str]
    orphans: frozenset[str]

    def seqs(self) -> frozenset[int]:
        """Every burst number that a photograph's name carries, of whatever epoch."""
        return frozenset(name.seq for name in self._names())

    def epochs(self) -> frozenset[str]:
        """Every epoch that a photograph's name carries."""
        return frozenset(name.epoch for name in self._names())

    def _names(self) -> Iterator[names.PhotographName]:
        for path in (*self.files, *self.orphans):
            name = names.parse_photograph(Path(path).name)
            if name is not None:
                yield name


def look(root: Path, each: Callable[[], None]) -> Found:
    """List what lies there. `each` is called for every file."""
    files = set()
    with disk_errors("list the photographs"):
        orphans = frozenset(file.name for file in (root / names.ORPHANS).iterdir())
        for file in _files(root):
            each()
            files.add(file)
    return Found(frozenset(files), orphans)


class MediaFiles:
    """The files below media/, against their rows. `each` is called for every file that is looked at."""

    def __init__(self, root: Path, database: Database, found: Found, each: Callable[[], None]) -> None:
        self._root = root
        self._database = database
        self._each = each
        self._found = found
        self._files = found.files
        self._orphans = set(found.orphans)
        self.orphaned = 0
        self.evictions_finished = 0
        self.media_missing = 0
        self.adopted = 0

    def reconcile(self, epoch: str, drawn: Iterator[str]) -> str:
        """Bring files and rows together; gives the epoch from now on, which may be the first of `drawn` that
        nothing carries. Raises StoreError and its children.
        """
        rows = self._database.all("SELECT path FROM medium WHERE evicted = 0")
        on_disk = frozenset(str(row["path"]) for row in rows)
        self._note_missing(sorted(on_disk - self._files))
        found: dict[str, list[tuple[str, names.PhotographName]]] = {}
        for path in sorted(self._files - on_disk):
            self._each()
            name = names.parse_photograph(Path(path).name)
            if name is None:
                self._orphan(path, "not a name that trapd gives")
            elif not self._finish_eviction(path, name):
                found.setdefault(name.event_id, []).append((path, name))
        bursts = [burst for files in found.values() if (burst := self._read(files)) is not None]
        bursts.sort(key=lambda burst: burst.seq)
        self._make_names_durable(bursts)
        if rebuild.is_older(self._database, epoch, bursts, self._thumbs()):
            epoch = self._begin_anew(drawn)
        for first in range(0, len(bursts), _TRANSACTION_BURSTS):
            self._adopt(bursts[first : first + _TRANSACTION_BURSTS], epoch)
        if self.orphaned:
            with self._database.write() as connection:
                count(connection, "files_orphaned", self.orphaned)
        return epoch

    def _thumbs(self) -> frozenset[str]:
        """The ids of events of which a thumbnail is there."""
        with disk_errors("list the thumbnails"):
            return frozenset(file.stem for file in (self._root / names.THUMBS).iterdir())

    def _begin_anew(self, drawn: Iterator[str]) -> str:
        taken = self._found.epochs() | rebuild.used_epochs(self._database)
        epoch = next(candidate for candidate in drawn if candidate not in taken)
        log.error("the database has lost its newest part: there are thumbnails of events beyond it")
        rebuild.begin_anew(self._database, epoch, is_older=True)
        return epoch

    def _note_missing(self, paths: list[str]) -> None:
        self.media_missing = len(paths)
        if not paths:
            return
        for path in paths[:_NAMED]:
            log.error("%s is gone from the disk", path)
        if len(paths) > _NAMED:
            log.error("and %d photographs more", len(paths) - _NAMED)
        with self._database.write() as connection:
            count(connection, "photographs_missing", len(paths))
            for path in paths:
                self._each()
                connection.execute("UPDATE medium SET evicted = 1 WHERE path = ? AND evicted = 0", (path,))
            connection.execute(
                "UPDATE event SET has_files = 0 WHERE has_files = 1 AND thumb IS NULL"
                " AND NOT EXISTS (SELECT 1 FROM medium WHERE medium.event = event.row AND medium.evicted = 0)"
            )

    def _finish_eviction(self, path: str, name: names.PhotographName) -> bool:
        row = self._database.one(
            "SELECT 1 FROM medium JOIN event ON event.row = medium.event"
            " WHERE event.id = ? AND medium.frame = ? AND medium.path = ? AND medium.evicted = 1",
            (name.event_id, name.frame, path),
        )
        if row is None:
            return False
        with disk_errors(f"remove {path}"):
            (self._root / path).unlink(missing_ok=True)
        self.evictions_finished += 1
        return True

    def _read(self, files: list[tuple[str, names.PhotographName]]) -> Burst | None:
        """The burst that these files are, from what they say of themselves; unsound ones become orphans."""
        sound: list[tuple[Medium, exif.Origin]] = []
        name = files[0][1]
        known = self._database.one("SELECT 1 FROM event WHERE id = ?", (name.event_id,)) is not None
        for path, photograph in sorted(files, key=lambda file: file[1].frame):
            self._each()
            if known or any(medium.id == photograph.medium_id for medium, _ in sound):
                self._orphan(path, f"event {name.event_id} has another photograph {photograph.frame} or none")
                continue
            try:
                sound.append(_read_one(self._root, path, photograph))
            except BadPicture as error:
                self._orphan(path, str(error))
        if not sound:
            return None
        origin = sound[0][1]
        media = tuple(medium for medium, _ in sound)
        return Burst(
            name.event_id, name.unit, name.seq, origin.moment, origin.trigger, media, origin.config, {}
        )

    def _make_names_durable(self, bursts: list[Burst]) -> None:
        """A killed process may have named these without a sync: not durable yet, but there for us to see.

        Without this, a later power cut would take photographs that have long been an event's.
        """
        paths = [self._root / str(medium.path) for burst in bursts for medium in burst.media]
        days = {path.parent for path in paths}
        with disk_errors("make the names of photographs durable"):
            for folder in sorted(days | {day.parent for day in days}):
                self._each()
                sync_folder(folder)

    def _adopt(self, bursts: list[Burst], epoch: str) -> None:
        taken: list[Burst] = []
        with self._database.write() as connection:
            for burst in bursts:
                self._each()
                number = connection.execute(
                    "SELECT 1 FROM event WHERE epoch = ? AND seq = ?", (epoch, burst.seq)
                ).fetchone()
                if number is None:
                    insert_burst(connection, burst, epoch)
                else:
                    taken.append(burst)
            rebuild.count_adopted(connection, len(bursts) - len(taken))
        self.adopted += len(bursts) - len(taken)
        for burst in taken:
            for medium in burst.media:
                self._orphan(str(medium.path), f"burst number {burst.seq} is another's in epoch {epoch}")

    def _orphan(self, path: str, why: str) -> None:
        file = self._root / path
        name = file.name
        number = 1
        while name in self._orphans:
            number += 1
            name = f"{file.name}.{number}"
        try:
            with disk_errors(f"move {path} aside"):
                file.rename(self._root / names.ORPHANS / name)
        except (StoreFull, StoreUnwritable):
            raise
        except StoreError as error:
            log.error("%s stays where it is, %s: %s", path, why, error)
            return
        self._orphans.add(name)
        self.orphaned += 1
        log.error("%s moved to %s/%s: %s", path, names.ORPHANS, name, why)


def remove_lost_thumbs(root: Path, database: Database, each: Callable[[], None]) -> int:
    """Remove the thumbnails that no event refers to: cut before the verdict was stored, or evicted.

    `each` is called for every thumbnail.
    """
    removed = 0
    with disk_errors("remove thumbnails"):
        for file in (root / names.THUMBS).iterdir():
            each()
            row = None
            if file.name.isascii():  # as every id is; other names may be none that SQLite takes
                row = database.one("SELECT thumb FROM event WHERE id = ?", (file.stem,))
            if row is None or row["thumb"] != f"{names.THUMBS}/{file.name}" or not file.is_file():
                removed += _remove(root, file)
    return removed


def _remove(root: Path, file: Path) -> bool:
    """A file goes; a folder, which is none of ours, is moved aside. False where another user's does not."""
    try:
        if file.is_dir() and not file.is_symlink():
            strange.move_aside(root, file)
        else:
            file.unlink()
    except PermissionError as error:
        log.error("%s stays where it is: %s", file, error.strerror)
        return False
    return True


def _files(root: Path) -> Iterator[str]:
    """Every file below media/, and whatever else lies there, relative to root."""
    for entry in (root / names.MEDIA).iterdir():
        if entry.is_dir() and not entry.is_symlink():
            try:
                found = [file.name for file in entry.iterdir()]
            except PermissionError:  # another user's, or the disk's own lost+found
                yield f"{names.MEDIA}/{entry.name}"
                continue
            for name in found:
                yield f"{names.MEDIA}/{entry.name}/{name}"
        else:
            yield f"{names.MEDIA}/{entry.name}"


def _read_one(root: Path, path: str, name: names.PhotographName) -> tuple[Medium, exif.Origin]:
    try:
        origin, size_bytes = _read_origin(root / path)
    except OSError as error:
        raise BadPicture(f"it cannot be read: {error.strerror}") from error
    if origin.medium_id != name.medium_id or origin.unit != name.unit:
        raise BadPicture(f"its EXIF says it is {origin.medium_id}")
    medium = Medium(
        id=name.medium_id,
        type="image/jpeg",
        bytes=size_bytes,
        sha256="",
        width=origin.width,
        height=origin.height,
        path=path,
    )
    return medium, origin


def _read_origin(file: Path) -> tuple[exif.Origin, int]:
    """What the photograph says of itself, and its size. Its pixels are not read: there may be thousands."""
    if not stat.S_ISREG(file.lstat().st_mode):
        raise BadPicture("it is no file of its own")  # to open a pipe would wait for ever
    with file.open("rb", buffering=0) as photograph:
        size_bytes = os.fstat(photograph.fileno()).st_size
        head = b""
        for enough in (*_HEADS_BYTES, size_bytes):
            head += photograph.read(max(0, enough - len(head)))
            with suppress(BadPicture):
                return exif.read(head), size_bytes
        return exif.read(head), size_bytes  # it is all there, and says what is wrong with it
