"""What a replay has judged, kept beside its output until that is whole. Main thread; one process at a time.

One file of JSON lines. The first says what every judgement depends on; each other is a burst, with all that
either format says of it. A line outlives a kill as soon as it is noted, and a power cut 10 s later. Whoever
opens the file again with the same first line gets back what still holds: bursts of the same files, each of
the same size and time, of which every frame has a score. Nothing that the file holds is an error: what cannot
be used is judged again.

In memory there is one number a burst, where its line begins, whatever was found.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import stat
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import BufferedRandom
from pathlib import Path
from typing import Any

from trapd import __version__
from trapd.errors import Unavailable, UsageError
from trapd.frozen import asdict
from trapd.offline.gather import Burst
from trapd.offline.replay import Judged, Result
from trapd.records import Detection, FrameScore, ModelInfo, Verdict

_SYNC_S = 10.0  # judged and lost in a power cut, at most
_LONGEST_BYTES = 100_000_000  # of a line that is read: an hour of video with fifty boxes a frame has a fifth
_VERDICTS = frozenset({"animal", "person", "vehicle", "unclassified", "empty", "unknown"})
_NO_FILE_OF_OURS = (errno.ELOOP, errno.EACCES, errno.ENXIO)  # a link; unreadable; a socket
_ODD = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)

Stamp = list[list[Any]]
"""Of each file of a burst: path, size, time of its last change in nanoseconds."""


def depends_on(info: ModelInfo, threshold: float | None, paths: Sequence[Path]) -> dict[str, Any]:
    """All that a judgement depends on beside the burst's files. Neither the format nor how bursts are made of
    files: a line has what either format needs, and says which files it is of.
    """
    named_from_here = not all(path.is_absolute() for path in paths)
    return {
        "trapd": __version__,
        "model": {**asdict(info), "tells": sorted(info.tells)},
        "threshold": threshold,
        "folder": str(Path.cwd()) if named_from_here else None,
    }


class Unfinished:
    """The file at `path`, of these bursts. `about`: all that the judgements depend on.

    `taken` counts the bursts that an earlier run has judged and that still hold; `other`: what lay there did
    not begin with this, and is gone. Raises UsageError where another process writes it, else OSError.
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, Any],
        bursts: Sequence[Burst],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.other = False
        self._bursts = bursts
        self._places = array("q", [-1]) * len(bursts)
        self._monotonic = monotonic
        self._synced_s = monotonic()
        self._file = _opened(path)
        try:
            _lock(self._file, path)
            self._begin(_line(about))
        except BaseException:
            self._file.close()
            raise
        self.taken = len(self)

    def __len__(self) -> int:
        """How many bursts are judged."""
        return sum(place >= 0 for place in self._places)

    def finish(self, judge: Callable[[Burst], Result]) -> Iterator[Result]:
        """Every burst in its order: from the file, or else judged now and noted."""
        for number, burst in enumerate(self._bursts):
            result = self._kept(number)
            if result is None:
                stamp = _stamp(burst)  # before it is judged: what changes meanwhile does not hold
                result = judge(burst)
                self._note(number, stamp, result)
            yield result

    def results(self) -> Iterator[Result]:
        """Every burst again; all are judged. Raises Unavailable where somebody else has changed the file."""
        for number in range(len(self._bursts)):
            try:
                result = self._read(number)
            except _ODD as error:
                raise Unavailable(
                    f"{self.path} was changed by somebody else", "say the same command again"
                ) from error
            yield result

    def remove(self) -> None:
        """It has served."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """What is noted stays, through a power cut too; a file without a burst goes. Raises nothing."""
        with suppress(OSError):
            if not len(self):
                self.remove()
            self._sync()
        with suppress(OSError):
            self._file.close()

    def _begin(self, first: bytes) -> None:
        end = 0
        try:
            found = self._file.readline(_LONGEST_BYTES)
            self.other = bool(found) and found != first
            if found == first:
                end = self._look_through(len(first))
        except OSError:
            self.other = True
            self._places = array("q", [-1]) * len(self._bursts)
        self._file.seek(end)
        self._file.truncate()
        if not end:
            self._file.write(first)
        self._file.flush()

    def _look_through(self, end: int) -> int:
        """Note where what holds begins; the end of the last whole line."""
        number_of = _Numbers(self._bursts)
        while line := self._file.readline(_LONGEST_BYTES):
            if not line.endswith(b"\n"):
                break  # torn, or longer than any of ours
            with suppress(*_ODD):
                said = json.loads(line)
                number = number_of(said["files"][0][0])
                if number is not None and _holds(said, self._bursts[number]):
                    self._places[number] = end
            end += len(line)
        return end

    def _kept(self, number: int) -> Result | None:
        if self._places[number] < 0:
            return None
        try:
            return self._read(number)
        except (*_ODD, OSError):
            return None

    def _read(self, number: int) -> Result:
        self._file.seek(self._places[number])
        return _restored(json.loads(self._file.readline()), self._bursts[number])

    def _note(self, number: int, stamp: Stamp | None, result: Result) -> None:
        place = self._file.seek(0, os.SEEK_END)
        self._file.write(_line(_said(stamp, result)))
        self._file.flush()
        self._places[number] = place
        if self._monotonic() - self._synced_s >= _SYNC_S:
            self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced_s = self._monotonic()


class _Numbers:
    """Which burst begins with a file. Asked in their order it needs no memory, else a table of all names."""

    def __init__(self, bursts: Sequence[Burst]) -> None:
        self._bursts = bursts
        self._next = 0
        self._table: dict[str, int] = {}

    def __call__(self, file: Any) -> int | None:
        number: int | None = self._next
        if self._next >= len(self._bursts) or str(self._bursts[self._next].files[0]) != file:
            self._table = self._table or {str(one.files[0]): at for at, one in enumerate(self._bursts)}
            number = self._table.get(file)
        if number is not None:
            self._next = number + 1
        return number


def _opened(path: Path) -> BufferedRandom:
    """A regular file of this very name: what else lies there gives way. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    number = None
    try:
        number = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno not in _NO_FILE_OF_OURS:
            raise
    if number is not None and not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        number = None
    if number is None:
        path.unlink(missing_ok=True)
        number = os.open(path, flags | os.O_EXCL, 0o666)
    return os.fdopen(number, "r+b")


def _lock(file: BufferedRandom, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"another trapd is writing {path}", "wait for it, or write elsewhere") from error
    except OSError:
        return  # a file system without locks: two at once are then what they would be without this file


def _stamp(burst: Burst) -> Stamp | None:
    try:
        found = [(str(path), path.stat()) for path in burst.files]
    except OSError:
        return None
    return [[path, one.st_size, one.st_mtime_ns] for path, one in found]


def _line(value: Mapping[str, Any]) -> bytes:
    # Paths may hold what no encoding has: JSON's escapes bring it back.
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def _said(stamp: Stamp | None, result: Result) -> dict[str, Any]:
    verdict = result.verdict
    return {
        "files": stamp,
        "verdict": [verdict.verdict, verdict.keep, verdict.score, verdict.ms, verdict.reason],
        "boxes": _boxes_said(verdict.detections),
        "frames": [
            [
                None if frame.score is None else _score_said(frame.score),
                frame.failure,
                frame.video_frame,
                frame.frame_rate,
            ]
            for frame in result.frames
        ],
    }


def _score_said(score: FrameScore) -> list[Any]:
    return [score.score, dict(score.by_class), _boxes_said(score.detections)]


def _boxes_said(boxes: Sequence[Detection]) -> list[list[Any]]:
    return [[box.frame, box.category, box.conf, list(box.bbox)] for box in boxes]


def _holds(said: Any, burst: Burst) -> bool:
    """Whether it may be taken for a judgement of the burst as it lies there now. Raises one of _ODD."""
    result = _restored(said, burst)
    scores = [frame.score for frame in result.frames if frame.score is not None]
    boxes = [*result.verdict.detections, *(box for score in scores for box in score.detections)]
    numbers = [value for box in boxes for value in (box.conf, *box.bbox)]
    numbers += [value for score in scores for value in score.by_class.values()]
    return (
        0 < len(scores) == len(result.frames)
        and all(0 <= score.score <= 1 for score in scores)
        and all(map(math.isfinite, (*numbers, result.verdict.score or 0.0)))
        and said["files"] == _stamp(burst)
    )


def _restored(said: Any, burst: Burst) -> Result:
    """The burst as it was judged, but for the model's embeddings. Raises one of _ODD."""
    verdict, keep, score, ms, reason = said["verdict"]
    if verdict not in _VERDICTS:
        raise ValueError(verdict)
    paths = burst.files if not burst.video else burst.files * len(said["frames"])
    return Result(
        burst,
        Verdict(
            verdict=sys.intern(verdict),
            keep=_of(bool, keep),
            score=None if score is None else _number(score),
            detections=_boxes(said["boxes"]),
            ms=_of(int, ms),
            reason=_of(str, reason),
        ),
        tuple(
            Judged(
                path,
                None if found is None else _score(*found),
                _of(str, failure),
                None if at is None else _of(int, at),
                None if rate is None else _number(rate),
            )
            for path, (found, failure, at, rate) in zip(paths, said["frames"], strict=True)
        ),
    )


def _score(score: Any, by_class: Any, boxes: Any) -> FrameScore:
    # Interned: a hundred thousand photographs share a handful of names.
    named = {sys.intern(name): _number(value) for name, value in by_class.items()}
    return FrameScore(_number(score), named, _boxes(boxes))


def _boxes(said: Any) -> tuple[Detection, ...]:
    return tuple(
        Detection(_of(int, frame), sys.intern(category), _number(conf), _four(*map(_number, bbox)))
        for frame, category, conf, bbox in said
    )


def _four(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return (x, y, width, height)


def _number(value: Any) -> float:
    """As it stands, so that it is written again as it was."""
    if type(value) not in (int, float):
        raise TypeError(value)
    number: float = value
    return number


def _of(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(value)
    return value
