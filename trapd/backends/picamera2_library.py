"""picamera2 as a library: imported when the camera opens, each failure one sentence, each call bounded.

Called by the camera backend on Capture's thread. A call that could wait for ever runs on a thread of its own.
One that does not come back is left behind, and until it does the library is asked for nothing more.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from trapd.backends import device_files
from trapd.errors import CameraInUse, CameraUnavailable
from trapd.frozen import Frozen

log = logging.getLogger("trapd.camera")

LOOK_AT_CABLE = "look at the camera's cable, then at the power supply; a restart may help"
_INSTALL = "apt install python3-picamera2; a virtual environment needs --system-site-packages"
_NUMPY_MARKS = (
    "numpy",
    "_array_api",
    "dtype size changed",
)  # in what an extension says of a numpy it does not fit
_REFUSED_MARKS = ("denied", "not permitted", "dmaheap")


class Library(Frozen):
    """The modules that the backend works with."""

    picamera2: Any
    libcamera: Any
    simplejpeg: Any


def load() -> Library:
    """Import them. Raises CameraUnavailable; a later try sees what was installed meanwhile."""
    try:
        found = Library(
            importlib.import_module("picamera2"),
            importlib.import_module("libcamera"),
            importlib.import_module("simplejpeg"),
        )
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "picamera2":
            raise CameraUnavailable("picamera2 is not installed", _INSTALL) from error
        raise CameraUnavailable(f"picamera2 lacks a module: {error.name}", _INSTALL) from error
    except (Exception, SystemExit) as error:  # a module that does not fit raises almost anything
        raise _not_imported(error) from error
    if not hasattr(found.simplejpeg, "encode_jpeg_yuv_planes"):
        raise CameraUnavailable(
            f"simplejpeg {getattr(found.simplejpeg, '__version__', '')} is too old: it takes no 4:2:0 planes",
            "apt update && apt full-upgrade brings a newer python3-simplejpeg and python3-picamera2",
        )
    return found


def _not_imported(error: BaseException) -> CameraUnavailable:
    if any(mark in str(error).lower() for mark in _NUMPY_MARKS):
        return CameraUnavailable(
            f"numpy {_numpy_version()} does not fit the system's picamera2 and simplejpeg",
            "remove the numpy that pip installed beside them: it must be the system's, python3-numpy",
        )
    return CameraUnavailable(
        f"picamera2 cannot be imported: {type(error).__name__}: {error}",
        "apt install --reinstall python3-picamera2 python3-libcamera",
    )


def _numpy_version() -> str:
    try:
        return str(importlib.import_module("numpy").__version__)
    except Exception:  # what cannot even be imported has no version
        return "as installed"


def named(error: BaseException) -> CameraUnavailable:
    """What went wrong while the camera was opened, for the one who can mend it."""
    if isinstance(error, CameraUnavailable):
        return error
    said = " / ".join(_chain(error))
    low = said.lower()
    if any(mark in low for mark in _REFUSED_MARKS) and (
        closed := device_files.closed(device_files.OF_CAMERA)
    ):
        return CameraUnavailable(
            f"the camera does not open, and this user may not use {device_files.names(closed)}: {said}",
            f"{device_files.who_may(closed[0])}, then start trapd anew",
            restart_helps=True,
        )
    if "busy" in low or "acquire" in low or "in use" in low:
        return CameraInUse(
            "the camera is in use by another program",
            "stop it (rpicam-*, motion, a second trapd); `fuser /dev/media*` names it",
            restart_helps=True,
        )
    if "allocate" in low or "memory" in low or isinstance(error, MemoryError):
        return CameraUnavailable(
            f"there is no memory for the camera's buffers: {said}",
            "make camera.size smaller, or give CMA more memory in /boot/firmware/config.txt",
            restart_helps=True,
        )
    if "tuning" in low:
        return CameraUnavailable(f"the tuning file cannot be used: {said}", "set camera.tuning_file")
    return CameraUnavailable(f"the camera does not open: {said}", LOOK_AT_CABLE, restart_helps=True)


def unread(error: Exception) -> CameraUnavailable:
    """What went wrong while a frame became a photograph."""
    if isinstance(error, MemoryError):
        return CameraUnavailable(
            "there is no memory to make a photograph of a frame",
            "make camera.size smaller",
            restart_helps=True,
        )
    said = str(error) or type(error).__name__
    return CameraUnavailable(f"a frame cannot be read: {said}", LOOK_AT_CABLE, restart_helps=True)


def _chain(error: BaseException) -> list[str]:
    """What each error in the chain says, the outermost first; picamera2 hides the cause behind two others."""
    said: list[str] = []
    link: BaseException | None = error
    while link is not None and len(said) < 4:
        text = str(link) or type(link).__name__
        if text not in said:
            said.append(text)
        link = link.__cause__ or link.__context__
    return said


_LOOK_S = 0.2


class Hangs(CameraUnavailable):
    """A call has not come back in time."""


class Patience(Frozen):
    """A call is waited for no longer than `stopping_s` once `stopping`: a stop does not wait for a camera."""

    stopping: Callable[[], bool]
    stopping_s: float

    def wait(self, done: threading.Event, timeout_s: float) -> bool:
        """Whether it was done in time."""
        end_s = time.monotonic() + timeout_s
        is_told = False
        while (left_s := end_s - time.monotonic()) > 0:
            if not is_told and self.stopping():
                is_told, left_s = True, min(left_s, self.stopping_s)
                end_s = time.monotonic() + left_s
            if done.wait(min(left_s, _LOOK_S)):
                return True
        return done.is_set()


class Calls:
    """Calls into the library that come back in time or are left behind."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._lost: str | None = None
        self._behind: _Late | None = None

    def give_up(self, what: str) -> None:
        """The library holds on to the camera after `what`: it cannot be opened again in this process."""
        self._lost = self._lost or what

    def within(
        self, timeout_s: float, what: str, call: Callable[[], Any], undo: Callable[[Any], None] | None = None
    ) -> Any:
        """The call's result. Raises what it raised, or Hangs after `timeout_s`, and as long as it goes on.

        `what` names it ("opening the camera"). `undo` is given a result that came after nobody waited for it.
        """
        if self._behind is not None and self._behind.over:
            log.info("%s has come back after all", self._behind.what)
            self._behind = None
        if self._lost is not None:
            raise CameraUnavailable(
                f"{self._lost} did not succeed: the camera cannot be opened again in this process",
                LOOK_AT_CABLE,
                restart_helps=True,
            )
        if self._behind is not None:
            raise Hangs(
                f"{self._behind.what} has not come back yet: the camera cannot be opened before",
                LOOK_AT_CABLE,
                restart_helps=True,
            )
        late = _Late(call, undo, what, self.give_up)
        thread = threading.Thread(target=late.run, name="camera-call", daemon=True)
        thread.start()
        if not late.wait(timeout_s, self._patience):
            self._behind = late
            if self._patience.stopping():
                raise Hangs(f"{what} is left behind: the unit was told to stop", LOOK_AT_CABLE)
            raise Hangs(f"{what} took longer than {timeout_s:g} s", LOOK_AT_CABLE, restart_helps=True)
        return late.result()


class _Late:
    """One call on a thread of its own. `over`: it has come back, and what it gave too late is undone."""

    def __init__(
        self,
        call: Callable[[], Any],
        undo: Callable[[Any], None] | None,
        what: str,
        lost: Callable[[str], None],
    ) -> None:
        self._call = call
        self._undo = undo
        self.what = what
        self._tell_lost = lost
        self.over = False
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._given_up = False
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """On the call's own thread; never raises."""
        try:
            value = self._call()
        except BaseException as error:  # handed to the one who waits
            self._error = error
            self._done.set()
            self.over = True
            return
        with self._lock:
            self._value = value
            self._done.set()
            given_up = self._given_up
        if given_up and self._undo is not None:
            try:
                self._undo(value)
            except Exception:  # nobody is left who could do anything about it
                log.warning("what came too late could not be undone", exc_info=True)
                self._tell_lost(self.what)
        self.over = True

    def wait(self, timeout_s: float, patience: Patience) -> bool:
        """Whether it came back in time; after False its result is undone as soon as it comes."""
        if patience.wait(self._done, timeout_s):
            return True
        with self._lock:
            self._given_up = not self._done.is_set()
            return not self._given_up

    def result(self) -> Any:
        """What it gave. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._value
