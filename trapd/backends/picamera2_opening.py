"""A camera of picamera2's, found and made: what has to be said and done before and after its constructor.

On the thread of the call that opens the camera; every failure is a sentence (see `named`).
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from trapd.backends import device_files
from trapd.errors import CameraUnavailable

_NO_CAMERA = "look at the cable at both ends; `rpicam-hello --list-cameras` must name the camera"
_TUNING = "LIBCAMERA_RPI_TUNING_FILE"


def made(maker: Any, tuning_file: str | None) -> Any:
    """The first camera, acquired. Raises CameraUnavailable, and whatever the library does."""
    # libcamera reads this when it looks for cameras, before there is one to be told of it. What an earlier
    # configuration of this process named is none of this one's.
    os.environ.pop(_TUNING, None)
    if tuning_file is not None:
        _readable(tuning_file)
        os.environ[_TUNING] = tuning_file
    if not _cameras(maker):
        raise _none_found(tuning_file)
    # In two steps: what a constructor that fails leaves behind can be let go of.
    camera = maker.__new__(maker)
    try:
        camera.__init__(tuning=tuning_file)
    except BaseException:
        _drop(camera)
        raise
    # It would wait for ever where a thread of its own has died; the backend's close() does not.
    atexit.unregister(camera.close)
    return camera


def _cameras(maker: Any) -> list[Any]:
    """Those connected. libcamera looks once and remembers: where it saw none it is made to look again."""
    found = maker.global_camera_info()
    again: Callable[[], None] | None = getattr(getattr(maker, "_cm", None), "reset", None)
    if not found and again is not None:
        again()
        found = maker.global_camera_info()
    return list(found)


def _none_found(tuning_file: str | None) -> CameraUnavailable:
    """libcamera shows none that it may not open, and none whose tuning file it cannot use."""
    if closed := device_files.closed(device_files.OF_CAMERA):
        return CameraUnavailable(
            f"no camera is found, and this user may not use {device_files.names(closed)}",
            f"{device_files.who_may(closed[0])}, then start trapd anew; if it stays, {_NO_CAMERA}",
            restart_helps=True,
        )
    if tuning_file is not None:
        return CameraUnavailable(
            f"no camera is found with the tuning file {tuning_file}",
            f"take out camera.tuning_file, or name one for this camera and board; if it stays, {_NO_CAMERA}",
            restart_helps=True,
        )
    return CameraUnavailable("no camera is connected", _NO_CAMERA, restart_helps=True)


def _drop(camera: Any) -> None:
    """What a constructor that failed left behind: a pipe at each try, and, late in it, the camera itself."""
    with suppress(Exception):  # what counts is why it failed
        camera.close()
    with suppress(Exception):
        if not camera.notifymeread.closed:  # close() did not come as far: the camera was not open yet
            camera.notifymeread.close()
            os.close(camera.notifyme_w)


def _readable(tuning_file: str) -> None:
    try:
        with Path(tuning_file).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise CameraUnavailable(
            f"the tuning file {tuning_file} cannot be read: {error.strerror}", "set camera.tuning_file"
        ) from error
