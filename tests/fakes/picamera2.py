"""What picamera2, libcamera and simplejpeg do for trapd, without a camera: with knobs for their troubles.

A frame is completed every `frame_s` of the clock's time, on the thread that waits: no test sleeps. It is
handed over `latency_s` later, so what comes after a trigger may well be from before it, as with a real
camera. Each is of one shade, another than the one before.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.fakes.clock import NS_PER_S, FakeClock

TUNING = "LIBCAMERA_RPI_TUNING_FILE"


class CameraClock(FakeClock):
    """Waiting lets the camera go on, frame by frame, until the event is set."""

    def __init__(self) -> None:
        super().__init__()
        self.each_step: Callable[[], None] = lambda: None
        self.step_s = 0.001

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        until_ns = self.boot_ns() + int(max(timeout_s, 0.001) * NS_PER_S)
        while not event.is_set() and self.boot_ns() < until_ns:
            self.advance(self.step_s)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.each_step()


class Request:
    """A completed request, and how often it is held."""

    def __init__(self, camera: StandInCamera, stamp_ns: int, shade: int) -> None:
        self.camera = camera
        self.stamp_ns = stamp_ns
        self.shade = shade
        self.held = 1

    def acquire(self) -> None:
        assert self.held > 0
        self.held += 1

    def release(self) -> None:
        assert self.held > 0
        self.held -= 1
        if not self.held:
            self.camera.free += 1

    def get_metadata(self) -> dict[str, Any]:
        knobs = self.camera.knobs
        return {"SensorTimestamp": self.stamp_ns} | knobs.metadata if knobs.stamped else dict(knobs.metadata)


class _ReadingEnd:
    """A pipe's; a file would close itself."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.closed = False

    def close(self) -> None:
        os.close(self._descriptor)
        self.closed = True


class StandInCamera:
    """`Picamera2`."""

    def __init__(self, knobs: StandIn, tuning: str | None = None) -> None:
        self.knobs = knobs
        self.tuning = tuning
        self.is_closed = False
        self.started = False
        self.free = 0
        self.starved = 0
        self.pre_callback: Callable[[Request], None] | None = None
        self.configuration: dict[str, Any] = {}
        self.camera_properties: dict[str, Any] = {"Model": "imx708", "PixelArraySize": (4608, 2592)}
        self.camera_controls: dict[str, tuple[Any, Any, Any]] = {"FrameDurationLimits": (33, 120_000_000, 0)}
        if knobs.lens:
            self.camera_controls |= {"AfMode": (0, 2, 0), "LensPosition": (0.0, 15.0, 1.0)}
        self._due_ns = 0
        self._made = 0
        self._coming: list[Request] = []
        knobs.made.append(self)
        # As the library does, and as it leaves them where it fails.
        reading, self.notifyme_w = os.pipe2(os.O_NONBLOCK)
        self.notifymeread = _ReadingEnd(reading)
        self.is_open = False
        error = knobs.open_error
        if error is None and any(made.is_open for made in knobs.made):
            error = RuntimeError("Failed to acquire camera: Device or resource busy")
        if error is not None:
            raise RuntimeError("Camera __init__ sequence did not complete.") from error
        self.is_open = True
        if knobs.late_error is not None:
            raise knobs.late_error

    def create_video_configuration(self, **wanted: Any) -> dict[str, Any]:
        return wanted

    def configure(self, wanted: dict[str, Any]) -> None:
        if self.knobs.configure_error is not None:
            raise self.knobs.configure_error
        self.configuration = wanted
        for name in ("main", "lores"):
            stream = wanted[name]
            stream["format"] = self.knobs.format
            stream["size"] = self.knobs.sizes.get(name, stream["size"])
            stream["stride"] = stream["size"][0] + self.knobs.padding
        if self.knobs.turns is False:
            wanted["transform"] = Transform()

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None:
        if self.knobs.hang_start is not None:
            self.knobs.hang_start.wait(20.0)
        self.started = True
        self.free = self.configuration["buffer_count"]
        self._due_ns = self.knobs.clock.boot_ns()
        self.knobs.clock.each_step = self.go_on

    def close(self) -> None:
        if self.knobs.hang_close is not None:
            self.knobs.hang_close.wait(20.0)
        self.is_closed = True
        if not self.is_open:
            return
        self.started = False
        self.is_open = False
        self.notifymeread.close()
        os.close(self.notifyme_w)

    def go_on(self) -> None:
        """What its two threads would do by now."""
        now_ns = self.knobs.clock.boot_ns()
        while self.started and now_ns >= self._due_ns:
            if self.free:
                self.free -= 1
                self._made += 1
                shade = 20 + (self._made * 10) % 200
                self._coming.append(Request(self, self._due_ns, shade))
            else:
                self.starved += 1
            self._due_ns += int(self.knobs.frame_s * NS_PER_S)
        while self._coming and now_ns - self._coming[0].stamp_ns >= self.knobs.latency_s * NS_PER_S:
            if self.knobs.dead:
                return
            request = self._coming.pop(0)
            if self.pre_callback is not None:
                try:
                    self.pre_callback(request)
                except Exception:
                    self.knobs.dead = True
                    return
            request.release()


class _Mapped:
    """`MappedArray`, of a request's stream as it lies in memory."""

    def __init__(self, request: Request, name: str, reshape: bool = True) -> None:
        assert not reshape
        assert request.held > 0
        stream = request.camera.configuration[name]
        height, stride = stream["size"][1], stream["stride"]
        chroma = np.full(stride * height // 2, 128, np.uint8)
        self.array = np.concatenate([np.full(stride * height, request.shade, np.uint8), chroma])
        if request.camera.knobs.short_buffers:
            self.array = self.array[:1000]

    def __enter__(self) -> _Mapped:
        return self

    def __exit__(self, *_: object) -> None:
        self.array = np.zeros(0, np.uint8)


class Transform:
    """`libcamera.Transform`."""

    def __init__(self, hflip: int = 0, vflip: int = 0) -> None:
        self.hflip = bool(hflip)
        self.vflip = bool(vflip)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transform) and (self.hflip, self.vflip) == (other.hflip, other.vflip)

    __hash__ = None  # type: ignore[assignment]  # as there


class _Controls:
    class AfModeEnum:
        Manual, Auto, Continuous = 0, 1, 2


class StandIn:
    """The knobs; `install` puts the three modules where an import finds them. `made`: every camera so far.

    `dead`: its threads end, no frame comes any more; `hang_start`, `hang_close`: a call waits for this event.
    """

    def __init__(self, clock: CameraClock) -> None:
        self.clock = clock
        self.frame_s = 1 / 30
        self.latency_s = 0.06
        self.cameras = [{"Model": "imx708"}]
        self.lens = True
        self.format = "YUV420"
        self.padding = 0
        self.sizes: dict[str, tuple[int, int]] = {}
        self.metadata: dict[str, Any] = {}
        self.stamped = True
        self.short_buffers = False
        self.dead = False
        self.turns = True
        self.manager_began_with: str | None = None  # the tuning file that was set when libcamera first looked
        self.is_begun = False
        self.open_error: Exception | None = None
        self.late_error: Exception | None = None  # raised when the camera is acquired already
        self.configure_error: Exception | None = None
        self.encode_error: Exception | None = None
        self.hang_start: threading.Event | None = None
        self.hang_close: threading.Event | None = None
        self.made: list[StandInCamera] = []

    @property
    def camera(self) -> StandInCamera:
        """The one that was made last."""
        return self.made[-1]

    def install(self, monkeypatch: pytest.MonkeyPatch) -> StandIn:
        """Until the test ends."""
        knobs = self
        monkeypatch.setenv(TUNING, "")  # so that it is put back
        monkeypatch.delenv(TUNING)

        class Picamera2(StandInCamera):
            def __init__(self, tuning: str | None = None) -> None:
                super().__init__(knobs, tuning)

            @staticmethod
            def global_camera_info() -> list[dict[str, str]]:
                if not knobs.is_begun:
                    knobs.is_begun = True
                    knobs.manager_began_with = os.environ.get(TUNING)
                return knobs.cameras

        class ColorSpace:
            @staticmethod
            def Sycc() -> str:  # noqa: N802 - libcamera's name
                return "sYCC"

        contents: dict[str, dict[str, Any]] = {
            "picamera2": {"Picamera2": Picamera2, "MappedArray": _Mapped},
            "libcamera": {"Transform": Transform, "ColorSpace": ColorSpace, "controls": _Controls},
            "simplejpeg": {"encode_jpeg_yuv_planes": self._encode},
        }
        for name, attributes in contents.items():
            module = ModuleType(name)
            module.__dict__.update(attributes)
            monkeypatch.setitem(sys.modules, name, module)
        return self

    def _encode(self, luma: Any, blue: Any, red: Any, quality: int) -> bytes:
        if self.encode_error is not None:
            raise self.encode_error
        height, width = luma.shape
        assert blue.shape == red.shape == (height // 2, width // 2)
        planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in (luma, blue, red)]
        whole = [plane.resize((width, height), Image.Resampling.NEAREST) for plane in planes]
        out = io.BytesIO()
        Image.merge("YCbCr", whole).save(out, "JPEG", quality=quality)
        return out.getvalue()
