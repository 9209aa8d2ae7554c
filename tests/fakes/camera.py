"""A camera that needs no hardware, with knobs for what real ones do wrong."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

from PIL import Image

from tests.fakes.clock import NS_PER_S, FakeClock
from trapd.errors import CameraUnavailable
from trapd.records import Frame, Small, Trigger


def jpeg(width: int = 64, height: int = 36, shade: int = 90) -> bytes:
    """A small, sound JPEG."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (shade, shade // 2, 255 - shade)).save(out, "JPEG")
    return out.getvalue()


def small(width: int = 64, height: int = 36, shade: int = 90) -> Small:
    """A small frame of one shade."""
    luma = bytes([shade]) * (width * height)
    chroma = bytes([128]) * (width * height // 2)
    return Small(luma + chroma, width, height, width)


class FakeCamera:
    """The Camera port. Knobs: `fail_open`, `open_error`, `fail_shoot_at` (frame index), `fail_probe`,
    `restart_helps` (of what it raises), `frame_s`, `no_jpeg` (frame indices), `passed_over`, `shooting`
    (called with each frame's index before it is taken).

    `tries` counts attempts to open, `opened` those that went well, `probed` probes, `shot` bursts begun.
    """

    def __init__(
        self,
        clock: FakeClock,
        *,
        frame_s: float = 0.01,
        with_small: bool = True,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.clock = clock
        self.stopping = stopping
        self.frame_s = frame_s
        self.with_small = with_small
        self.fail_open = False
        self.open_error: CameraUnavailable | None = None
        self.fail_probe = False
        self.restart_helps = False
        self.fail_shoot_at: int | None = None
        self.no_jpeg: frozenset[int] = frozenset()
        self.shooting: Callable[[int], None] = lambda index: None
        self.tries = 0
        self.opened = 0
        self.probed = 0
        self.shot = 0
        self.is_open = False
        self.shade = 0
        self.passed_over = 0

    def open(self) -> None:
        self.tries += 1
        if self.open_error is not None:
            raise self.open_error
        if self.fail_open:
            raise CameraUnavailable(
                "no camera answers", "look at the cable", restart_helps=self.restart_helps
            )
        self.opened += 1
        self.is_open = True

    def shoot(self, trigger: Trigger, frames: int, interval_s: float) -> Iterator[Frame]:
        if not self.is_open:
            raise CameraUnavailable("not open", "")
        self.shot += 1
        begin_ns = max(self.clock.boot_ns(), trigger.boot_ns + 1)
        for index in range(frames):
            if index and self.stopping():
                return
            self.shooting(index)
            if self.fail_shoot_at == index:
                raise CameraUnavailable(
                    "camera frontend has timed out",
                    "cable, power, or time-out",
                    restart_helps=self.restart_helps,
                )
            self.clock.advance(self.frame_s)
            self.shade = (self.shade + 1) % 256
            at_ns = begin_ns + int(index * interval_s * NS_PER_S)
            data = b"no photograph" if index in self.no_jpeg else jpeg(shade=self.shade)
            yield Frame(data, 64, 36, at_ns, small(shade=self.shade) if self.with_small else None)

    def probe(self) -> None:
        self.probed += 1
        if self.fail_probe:
            raise CameraUnavailable("no frame within 5 s", "")

    def facts(self) -> dict[str, float]:
        return {"camera_frame_ms": 33.3} if self.is_open else {}

    def close(self) -> None:
        self.is_open = False
