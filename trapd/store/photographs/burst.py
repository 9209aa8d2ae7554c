"""One burst's photographs on their way to the disk. Made and used on Capture's thread.

Five syncs for three photographs: each file's, one for the folder, one for the transaction that follows
(Events.record). Cut at any line before that transaction, start-up finds temporary files, which it removes, or
photographs without a row, which it adopts.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trapd.errors import StoreError
from trapd.records import Frame, Medium, Moment, Trigger
from trapd.store.files import durable, names, strange
from trapd.store.files.durable import Folders, disk_errors
from trapd.store.photographs import exif, jpeg
from trapd.store.photographs.exif import ExifContext

log = logging.getLogger("trapd.store")


class BurstFiles:
    """`add` each frame, then `commit`, then record the event. `changed` is told how many bytes came or went.

    `abandon` removes all of it again: after a failed `add` or `commit`, and after a `record` that raised
    StoreFull. All files carry the burst's moment in their name, and so lie in one folder, also at midnight.
    """

    def __init__(
        self,
        root: Path,
        name: names.PhotographName,
        moment: Moment,
        context: ExifContext,
        *,
        trigger: Trigger,
        config: str,
        changed: Callable[[int], None],
        folders: Folders,
    ) -> None:
        self._root = root
        self._name = name
        self._context = context
        self._origin = (moment, trigger, config)
        self._changed = changed
        self._folders = folders
        self._local = names.local_time(moment.wall_ms, context.timezone)
        self._media: list[Medium] = []
        self._temps: list[Path] = []
        self._finals: list[Path] = []
        self._counted_bytes = 0

    def add(self, frame: Frame) -> Medium:
        """Write one photograph, with its EXIF, to a temporary file and sync it. One sync.

        Raises BadPicture if the frame is no JPEG (the burst goes on without it); StoreFull or StoreError
        after abandoning the whole burst.
        """
        name = names.PhotographName(self._name.unit, self._name.epoch, self._name.seq, len(self._media))
        data = exif.stamp(frame, name.medium_id, self._context, self._origin)
        width, height = jpeg.size(data)
        temp = self._root / names.TEMP / f"{name.medium_id}.jpg"
        self._temps.append(temp)
        try:
            with disk_errors(f"write photograph {name.medium_id}"):
                self._write(temp, data)
        except StoreError:
            self.abandon()
            raise
        medium = Medium(
            id=name.medium_id,
            type="image/jpeg",
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            width=width,
            height=height,
            path=f"{names.day_folder(self._local)}/{names.photograph_file(name, self._local)}",
        )
        self._media.append(medium)
        return medium

    def commit(self) -> tuple[Medium, ...]:
        """Give the photographs their names, durably. One sync, and one more for the first burst of a day.

        Never replaces a file. Raises StoreFull or StoreError after abandoning the whole burst.
        """
        try:
            with disk_errors(f"name the photographs of burst {self._name.event_id}"):
                self._link()
        except StoreError:
            self.abandon()
            raise
        self._remove(self._temps)
        self._counted_bytes = sum(medium.bytes for medium in self._media)
        self._changed(self._counted_bytes)
        return tuple(self._media)

    def abandon(self) -> None:
        """Remove what was written; at any point, also twice, but not once the event is recorded.

        One sync where photographs had their names: the burst's number may be given again, and those that a
        power cut brought back would meet another's.
        """
        folders = {final.parent for final in self._finals}
        self._remove(self._finals)
        self._remove(self._temps)
        for folder in folders:
            with suppress(OSError):  # nobody was promised that they are gone
                durable.sync_folder(folder)
        self._changed(-self._counted_bytes)
        self._counted_bytes = 0
        self._media.clear()

    def _write(self, temp: Path, data: bytes) -> None:
        try:
            durable.write_new(temp, data)
        except (FileNotFoundError, NotADirectoryError):
            self._make_again(temp.parent)
            durable.write_new(temp, data)

    def _link(self) -> None:
        folder = self._root / names.day_folder(self._local)
        try:
            self._link_into(folder)
        except (FileNotFoundError, FileExistsError, NotADirectoryError):
            if self._finals or folder.is_dir():
                raise
            # Empty as it was, Housekeep has removed it in between, the clock having jumped to another day.
            # Or a hand has been here.
            self._make_again(folder.parent)
            strange.make_folder_free(self._root, folder)
            self._link_into(folder)
        # Before the temporary names go: a cut in between must not find a photograph under neither name.
        durable.sync_folder(folder)

    def _make_again(self, folder: Path) -> None:
        """One of the store's own folders, which somebody has taken away under our hands."""
        strange.make_folder_free(self._root, folder)
        self._folders.make(folder)

    def _link_into(self, folder: Path) -> None:
        self._folders.make(folder)
        for temp, medium in zip(self._temps, self._media, strict=True):
            final = self._root / str(medium.path)
            os.link(temp, final)
            self._finals.append(final)

    def _remove(self, files: list[Path]) -> None:
        while files:
            file = files.pop()
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                log.warning("cannot remove %s: %s; the next start does", file.name, error.strerror)
