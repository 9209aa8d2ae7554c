"""A camera that replays photographs from a folder: the demo, trials with one's own pictures, tests.

`path` holds photographs, or one sub-folder per burst. They are taken by name, from the start again after the
last. Of a folder of photographs each burst takes the next `frames`; of a sub-folder it takes the first
`frames`, repeating the last if there are fewer. Photographs keep their own size and bytes.

What is no JPEG is named once in the log, counted, and passed over; so is what lies where it is not looked at,
such as photographs beside sub-folders. One that is a JPEG but damaged is handed on as a bad card or a failing
camera would: what becomes of it is for the filter to say. Hidden entries are not there.
"""

from __future__ import annotations

import io
import logging
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from trapd.backends.pictures import small_of
from trapd.errors import BadPicture, CameraUnavailable
from trapd.ports import Clock
from trapd.records import Frame, Small, Trigger
from trapd.rules import NS_PER_S

log = logging.getLogger("trapd.camera")

_ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
_NO_FILE = "no regular file, or a link that leads nowhere"
_LOOK_S = 0.2
_LARGEST_BYTES = 100_000_000  # of one file: more is no photograph


class ReplayCamera:
    """The Camera port over a folder. `stopping`: whether the unit was told to stop."""

    def __init__(
        self,
        path: Path,
        *,
        filter_size: tuple[int, int],
        clock: Clock,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path = path
        self._filter_size = filter_size
        self._clock = clock
        self._stopping = stopping
        self._bursts: list[list[Path]] = []
        self._by_folder = False
        self._next = 0
        self._named: set[Path] = set()
        self._never = threading.Event()

    @property
    def passed_over(self) -> int:
        """How many files and folders were passed over so far; each counts once."""
        return len(self._named)

    def open(self) -> None:
        """Look what is there. Raises CameraUnavailable for a folder that is missing, unreadable or empty."""
        try:
            entries = _entries(self._path)
            folders = [entry for entry in entries if entry.is_dir()]
            self._bursts = [found for folder in folders if (found := self._photographs(folder))]
            # A stray sub-folder without photographs does not hide those beside it.
            self._by_folder = bool(self._bursts)
            if self._by_folder:
                for stray in sorted(set(entries) - set(folders)):
                    self._pass_over(stray, "it lies beside the folders of bursts, and in none")
            else:
                self._bursts = [[found] for found in self._photographs(self._path)]
        except OSError as error:
            raise CameraUnavailable(
                f"cannot read the photographs in {self._path}: {error.strerror}", "set camera.path"
            ) from error
        if not self._bursts:
            raise CameraUnavailable(
                f"no photograph (.jpg, .jpeg) in {self._path}", "set camera.path to a folder that holds some"
            )
        self._next %= len(self._bursts)

    def shoot(self, trigger: Trigger, frames: int, interval_s: float) -> Iterator[Frame]:
        """The next burst, paced as a real one is. Raises CameraUnavailable when nothing can be read."""
        begin_ns = max(self._clock.boot_ns(), trigger.boot_ns + 1)
        for index, (jpeg, size, small) in enumerate(self._next_burst(frames)):
            due_ns = begin_ns + int(index * interval_s * NS_PER_S)
            while (left_ns := due_ns - self._clock.boot_ns()) > 0:
                if index and self._stopping():
                    return
                self._clock.wait(self._never, min(left_ns / NS_PER_S, _LOOK_S))
            yield Frame(jpeg, size[0], size[1], max(due_ns, self._clock.boot_ns()), small)

    def probe(self) -> None:
        """Raises CameraUnavailable when the folder has gone."""
        if not self._path.is_dir():
            raise CameraUnavailable(f"the folder {self._path} has gone", "set camera.path")

    def facts(self) -> Mapping[str, float]:
        """None: a folder has no pace of its own."""
        return {}

    def close(self) -> None:
        """Nothing is held open."""

    def _photographs(self, folder: Path) -> list[Path]:
        """Those of `folder`, by name; whatever else is there is passed over. Raises OSError for ours."""
        found = []
        try:
            for entry in _entries(folder):
                if entry.is_dir():
                    self._pass_over(entry, "a folder where a photograph was expected")
                elif not entry.is_file():
                    self._pass_over(entry, _NO_FILE)
                elif entry.suffix.lower() not in _ENDINGS:
                    self._pass_over(entry, "not named as a JPEG")
                else:
                    found.append(entry)
        except OSError as error:
            if folder == self._path:
                raise
            self._pass_over(folder, error.strerror or str(error))
            return []
        if not found:
            self._pass_over(folder, "no photograph (.jpg, .jpeg) in it")
        return found

    def _next_burst(self, frames: int) -> list[tuple[bytes, tuple[int, int], Small | None]]:
        """The next `frames` photographs that can be read."""
        burst: list[tuple[bytes, tuple[int, int], Small | None]] = []
        missed = 0
        while len(burst) < frames and missed < len(self._bursts):
            group = self._bursts[self._next]
            self._next = (self._next + 1) % len(self._bursts)
            read = [found for path in group[:frames] if (found := self._read(path)) is not None]
            burst.extend(read)
            missed = 0 if read else missed + 1
            if read and self._by_folder:
                break
        if not burst:
            raise CameraUnavailable(
                f"no photograph in {self._path} can be read", "the log names each one and what is wrong"
            )
        return burst + [burst[-1]] * (frames - len(burst))

    def _read(self, path: Path) -> tuple[bytes, tuple[int, int], Small | None] | None:
        try:
            entry = path.stat()
            if not stat.S_ISREG(entry.st_mode):
                self._pass_over(path, _NO_FILE)
                return None
            if entry.st_size > _LARGEST_BYTES:
                self._pass_over(path, f"larger than {_LARGEST_BYTES} bytes")
                return None
            jpeg = path.read_bytes()
            size = _jpeg_size(jpeg)
        except OSError as error:
            self._pass_over(path, error.strerror or str(error))
            return None
        except BadPicture as error:
            self._pass_over(path, str(error))
            return None
        try:
            return jpeg, size, small_of(jpeg, self._filter_size)[0]
        except BadPicture:
            return jpeg, size, None

    def _pass_over(self, path: Path, why: str) -> None:
        if path not in self._named:
            self._named.add(path)
            log.warning("passed over %s: %s", path, why)


def _entries(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height as the header has them. Raises BadPicture for what is no JPEG."""
    from PIL import JpegImagePlugin

    try:
        # Not Image.open: it warns or raises at limits of its own, for the whole process.
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data)).size
    except Exception as error:  # a decoder fed hostile bytes raises almost anything
        raise BadPicture("empty file" if not data else "not a JPEG") from error
