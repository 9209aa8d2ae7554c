"""A Raspberry Pi's camera through picamera2: one configuration for life, two pictures of each frame.

Capture's thread owns it; picamera2 brings two threads of its own, which may die or hang. They are asked for
nothing: they call `Ring.took`, and the only waits are for that, each bounded. Importing it, opening and
closing run on a thread of their own and are left behind when they do not come back in time.

Two streams of 4:2:0: `main` for the photograph, `lores` for the filter. Colours are full range, as JPEG and
the filter have them. Four buffers: one is encoded, one is the burst's next frame, and two keep the camera
running; at 2304 x 1296 that is 20 MB of CMA.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trapd.backends import abilities
from trapd.backends.picamera2_library import Calls, Hangs, Library, Patience, load, named, unread
from trapd.backends.picamera2_opening import made
from trapd.backends.picamera2_ring import Held, Ring
from trapd.backends.picamera2_streams import Stream, agreed, jpeg_of, small_of
from trapd.errors import CameraUnavailable
from trapd.frozen import Frozen
from trapd.ports import Clock
from trapd.records import Frame, Trigger
from trapd.rules import NS_PER_S

log = logging.getLogger("trapd.camera")

_BUFFERS = 4
_LARGEST = 1e12  # beyond it no number tells anything of a picture
_KEPT = 2  # for a pre-trigger: the newest frame may be from after the trigger, the one before it is not
# 30 frames a second by day, so that the first one after a trigger is near; down to 10 at night.
_FRAME_US = (33_333, 100_000)
_SETTLING_FRAMES = 12  # a control takes some 11 frames to show
_SETTLING_S = 2.0
_STOPPED = (
    "look at the camera's cable and its power supply; where both are sound, a time-out is too tight "
    "(camera_timeout_value_ms of libcamera's configuration)"
)
_USELESS = "a restart may help; if it stays: apt install --reinstall python3-picamera2 python3-libcamera"


class Limits(Frozen):
    """How long anything may take."""

    open_s: float = 30.0
    close_s: float = 10.0
    frame_s: float = 5.0
    import_s: float = 45.0  # it is large, and read from a card
    stopping_s: float = 3.0  # any of these three, once the unit is told to stop


class _Open(Frozen):
    """A camera that runs."""

    library: Library
    camera: Any
    ring: Ring
    main: Stream
    lores: Stream
    model: str


class PicameraCamera:
    """The Camera port over picamera2. `stopping`: whether the unit was told to stop."""

    def __init__(
        self,
        *,
        size: tuple[int, int],
        filter_size: tuple[int, int],
        clock: Clock,
        quality: int = 90,
        rotation: int = 0,
        focus: str | float = "auto",
        tuning_file: str | None = None,
        pre_trigger: bool = False,
        limits: Limits | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._size = size
        self._filter_size = filter_size
        self._clock = clock
        self._quality = quality
        self._rotation = rotation
        self._focus = focus
        self._tuning_file = tuning_file
        self._pre_trigger = pre_trigger
        self._limits = limits or Limits()
        self._stopping = stopping
        self._calls = Calls(Patience(stopping, self._limits.stopping_s))
        self._open: _Open | None = None
        self._said: set[str] = set()

    @property
    def passed_over(self) -> int:
        """None: what the camera gives is taken or is a failure."""
        return 0

    def facts(self) -> Mapping[str, float]:
        """Time between frames, and the age of the newest. Any thread."""
        opened = self._open
        return {} if opened is None else opened.ring.timing()

    def open(self) -> None:
        """Open, configure, start, and let exposure settle. Raises CameraUnavailable."""
        self.close()
        library: Library = self._calls.within(self._limits.import_s, "importing picamera2", load)
        opened: _Open = self._calls.within(
            self._limits.open_s, "opening the camera", lambda: self._begin(library), undo=_stop
        )
        self._open = opened
        opened.ring.settle(_SETTLING_FRAMES, _SETTLING_S, self._stopping)

    def shoot(self, trigger: Trigger, frames: int, interval_s: float) -> Iterator[Frame]:
        """Frames that began after the trigger (with pre-trigger, one before it first), `interval_s` apart.

        While one is encoded and written, the next is caught already. Raises CameraUnavailable.
        """
        opened = self._opened()
        ring, step_ns = opened.ring, int(interval_s * NS_PER_S)
        from_ns = trigger.boot_ns + 1
        held = ring.last_before(trigger.boot_ns) if self._pre_trigger else None
        begin_ns = 0
        try:
            if held is None:
                ring.want(from_ns)
            for index in range(frames):
                if held is None:
                    held = self._next(ring, self._stopping) if index else self._first(ring, self._soon())
                if held is None:
                    return
                begin_ns = begin_ns or held.start_ns
                if index + 1 < frames:
                    ring.want(max(begin_ns + (index + 1) * step_ns, held.start_ns + 1, from_ns))
                mine, held = held, None
                yield self._frame(opened, mine)
        finally:
            if held is not None:
                held.release()
            ring.rest()

    def probe(self) -> None:
        """A frame from now, and its small picture. Raises CameraUnavailable."""
        opened = self._opened()
        opened.ring.want(self._clock.boot_ns())
        try:
            held = self._first(opened.ring, self._stopping)
            try:
                small_of(opened.library, held.request, opened.lores)
            finally:
                held.release()
        except CameraUnavailable:
            raise
        except Exception as error:  # see open
            raise named(error) from error
        finally:
            opened.ring.rest()

    def close(self) -> None:
        """Stop and let go; may be called twice. A camera that does not close is left behind and named."""
        opened, self._open = self._open, None
        if opened is None:
            return
        try:
            self._calls.within(self._limits.close_s, "closing the camera", lambda: _stop(opened))
        except Hangs as error:
            log.warning("the camera did not close in order: %s", error)
        except Exception as error:  # nothing can be done about it here; opening again says what follows
            self._calls.give_up("closing the camera")
            log.warning("the camera did not close in order: %s", error)

    def _opened(self) -> _Open:
        if self._open is None:
            raise CameraUnavailable("the camera is not open", "it is opened again soon", restart_helps=True)
        return self._open

    def _next(self, ring: Ring, leave: Callable[[], bool]) -> Held | None:
        """The frame that is wanted; None on `leave`. Raises CameraUnavailable when it does not come."""
        held = ring.wait(self._limits.frame_s, leave)
        if held is not None or leave():
            return held
        if ring.trouble:
            raise CameraUnavailable(
                f"the camera's frames cannot be used: {ring.trouble}", _USELESS, restart_helps=True
            )
        raise CameraUnavailable(
            f"the camera gave no frame for {self._limits.frame_s:g} s", _STOPPED, restart_helps=True
        )

    def _first(self, ring: Ring, leave: Callable[[], bool]) -> Held:
        """As _next, but without a frame there is nothing at all. Raises CameraUnavailable."""
        held = self._next(ring, leave)
        if held is None:
            raise CameraUnavailable("no frame came before the unit was told to stop")
        return held

    def _soon(self) -> Callable[[], bool]:
        """Whether the unit was told to stop, and that for as long as any call may take then."""
        told_ns: list[int] = []

        def leave() -> bool:
            if self._stopping() and not told_ns:
                told_ns.append(self._clock.boot_ns())
            within_ns = int(self._limits.stopping_s * NS_PER_S)
            return bool(told_ns) and self._clock.boot_ns() - told_ns[0] >= within_ns

        return leave

    def _frame(self, opened: _Open, held: Held) -> Frame:
        """Photograph and small frame; the buffer goes back. Raises CameraUnavailable."""
        main = opened.main
        try:
            jpeg = jpeg_of(opened.library, held.request, main, self._quality)
            small = small_of(opened.library, held.request, opened.lores)
        except CameraUnavailable:
            raise
        except Exception as error:  # an encoder and a mapping, both foreign
            raise unread(error) from error
        finally:
            held.release()
        return Frame(jpeg, main.width, main.height, held.start_ns, small, _exposure(held, opened.model))

    def _begin(self, library: Library) -> _Open:
        """On a thread of its own, within open_s: the devices that are asked why it failed may hang too."""
        try:
            return self._start(library)
        except Exception as error:  # the library raises nearly everything
            raise named(error) from error

    def _start(self, library: Library) -> _Open:
        camera = made(library.picamera2.Picamera2, self._tuning_file)
        try:
            return self._configure(library, camera)
        except BaseException:
            try:
                camera.close()
            except Exception as error:  # what counts is why it had to be closed
                self._calls.give_up("closing the camera after it failed to start")
                log.warning("the camera did not close in order: %s", error)
            raise

    def _configure(self, library: Library, camera: Any) -> _Open:
        turned = int(self._rotation == 180)
        camera.configure(
            camera.create_video_configuration(
                main={"size": self._size, "format": "YUV420"},
                lores={"size": self._filter_size, "format": "YUV420"},
                raw=None,
                transform=library.libcamera.Transform(hflip=turned, vflip=turned),
                colour_space=library.libcamera.ColorSpace.Sycc(),
                buffer_count=_BUFFERS,
                controls=self._controls(library, camera.camera_controls),
                display=None,
                encode=None,
                queue=False,  # its own queue would hand over a frame from before the trigger
            )
        )
        agreed_on = camera.camera_configuration()
        main, lores = agreed(agreed_on, "main"), agreed(agreed_on, "lores")
        for stream, wanted in ((main, self._size), (lores, self._filter_size)):
            if (stream.width, stream.height) != wanted:
                self._say(
                    f"the camera gives {stream.width} x {stream.height} for its {stream.name} stream, "
                    f"not {wanted[0]} x {wanted[1]}"
                )
        if bool(getattr(agreed_on.get("transform"), "vflip", turned)) != bool(turned):
            self._say("this camera cannot turn its picture: camera.rotation has no effect")
        ring = Ring(self._clock, _KEPT if self._pre_trigger else 0)
        camera.pre_callback = ring.took
        camera.start()
        abilities.note_camera(camera.camera_properties, camera.camera_controls)
        model = str(camera.camera_properties.get("Model", "")) or "unknown"
        return _Open(library, camera, ring, main, lores, model)

    def _controls(self, library: Library, known: Mapping[str, Any]) -> dict[str, Any]:
        """What the camera is told once: frame rate, and focus where the lens can move."""
        controls: dict[str, Any] = {}
        if "FrameDurationLimits" in known:
            controls["FrameDurationLimits"] = _FRAME_US
        modes = library.libcamera.controls.AfModeEnum
        if "AfMode" not in known:
            if self._focus != "auto":
                self._say("this camera's lens cannot be focused: camera.focus has no effect")
        elif self._focus == "auto":
            controls["AfMode"] = modes.Continuous
        else:
            nearest = float(known["LensPosition"][1]) if "LensPosition" in known else 10.0
            controls["AfMode"] = modes.Manual
            controls["LensPosition"] = min(1.0 / float(self._focus), nearest)  # dioptres
        return controls

    def _say(self, text: str) -> None:
        """Once in the life of the process: the camera may be opened often."""
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)


def _stop(opened: _Open) -> None:
    opened.ring.shut()
    opened.camera.pre_callback = None
    opened.camera.close()
    gc.collect()  # picamera2's objects hold each other, and with them descriptors and buffers


def _exposure(held: Held, model: str) -> dict[str, Any]:
    """What of the frame's metadata goes into EXIF; what the camera does not tell is left out."""
    said = held.metadata
    told: dict[str, Any] = {"model": model}
    if exposure_us := _number(said.get("ExposureTime")):
        told["exposure_s"] = exposure_us / 1e6
    if gain := _number(said.get("AnalogueGain")):
        told["gain"] = gain * (_number(said.get("DigitalGain")) or 1.0)
    if dioptres := _number(said.get("LensPosition")):  # 0 is infinity
        told["focus_m"] = 1.0 / dioptres
    return told


def _number(value: Any) -> float | None:
    """A number that a float can hold, and that is one."""
    return float(value) if isinstance(value, int | float) and abs(value) < _LARGEST else None
