"""Runs in the rig's root, started by test_camera.py: the backend on the real picamera2 and libcamera.

The virtual camera shows tests/rig/recipe/frames.py's photographs.
"""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trapd.backends.camera_picamera2 import Limits, PicameraCamera
from trapd.backends.picamera2_ring import Ring
from trapd.errors import CameraUnavailable
from trapd.host.clock import SystemClock
from trapd.records import Frame, Trigger

CAMERAS = Path("/usr/share/libcamera/pipeline/virtual/virtual.yaml")
NEAR = 12  # of 255: JPEG twice, and scaling
AHEAD_NS = 80_000_000  # a trigger is this far ahead, so that frames from before it are sure to come


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def camera(clock: SystemClock) -> Iterator[PicameraCamera]:
    made = PicameraCamera(
        size=(1280, 720), filter_size=(640, 360), clock=clock, limits=Limits(30.0, 10.0, 1.0)
    )
    yield made
    made.close()


@pytest.fixture
def hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file: while it is there, the camera hands no frame on."""
    path = tmp_path / "hang"
    monkeypatch.setenv("TRAPD_RIG_HANG", str(path))
    yield path
    path.unlink(missing_ok=True)


def burst(
    camera: PicameraCamera, clock: SystemClock, frames: int = 1, interval_s: float = 0.0
) -> list[Frame]:
    return list(camera.shoot(Trigger("pir", "17", clock.boot_ns()), frames, interval_s))


def near(one: Any, other: Any) -> bool:
    """Colours, channel by channel."""
    return all(abs(a - b) <= NEAR for a, b in zip(one, other, strict=True))


def test_photographs_have_their_colours_in_their_places(camera: PicameraCamera, clock: SystemClock) -> None:
    camera.open()
    (frame,) = burst(camera, clock)
    with Image.open(io.BytesIO(frame.jpeg)) as opened:
        picture = opened.convert("RGB")
    assert picture.size == (1280, 720)
    red, green, blue = (picture.getpixel((x, 100)) for x in (200, 640, 1080))
    assert near(red, (200, 30, 30))
    assert near(green, (30, 180, 30))
    assert near(blue, (30, 30, 200))


def test_the_small_frame_is_semi_planar_and_shows_the_same(
    camera: PicameraCamera, clock: SystemClock
) -> None:
    camera.open()
    (frame,) = burst(camera, clock)
    small = frame.small
    assert small is not None
    assert (small.layout, small.width, small.height, len(small.data)) == (
        "nv12",
        640,
        360,
        640 * 360 * 3 // 2,
    )
    with Image.open(io.BytesIO(frame.jpeg)) as opened:
        luma = opened.convert("YCbCr").getpixel((200, 100))
    at = 640 * 360 + (50 // 2) * 640 + 100  # Cb, then Cr, of the red patch
    seen = (small.data[50 * 640 + 100], small.data[at], small.data[at + 1])
    assert near(seen, luma)


def test_no_frame_of_many_bursts_is_older_than_its_trigger(
    camera: PicameraCamera, clock: SystemClock
) -> None:
    camera.open()
    for _ in range(20):
        trigger = Trigger("pir", "17", clock.boot_ns() + AHEAD_NS)
        times = [frame.boot_ns for frame in camera.shoot(trigger, 3, 0.0)]
        assert times[0] > trigger.boot_ns
        assert times == sorted(set(times))


def test_a_seeded_bug_that_takes_frames_from_before_the_trigger_is_seen(
    camera: PicameraCamera, clock: SystemClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Ring.want
    monkeypatch.setattr(Ring, "want", lambda self, from_ns: honest(self, from_ns - 100_000_000))
    camera.open()
    older = 0
    for _ in range(20):
        trigger = Trigger("pir", "17", clock.boot_ns() + AHEAD_NS)
        older += sum(frame.boot_ns <= trigger.boot_ns for frame in camera.shoot(trigger, 1, 0.0))
    assert older > 0


def test_a_pre_trigger_gives_one_frame_from_before(clock: SystemClock) -> None:
    camera = PicameraCamera(size=(1280, 720), filter_size=(640, 360), clock=clock, pre_trigger=True)
    try:
        camera.open()
        for _ in range(5):
            trigger = Trigger("pir", "17", clock.boot_ns())
            times = [frame.boot_ns for frame in camera.shoot(trigger, 3, 0.05)]
            assert times[0] <= trigger.boot_ns < times[1] < times[2]
            clock.wait(threading.Event(), 0.2)
    finally:
        camera.close()


def test_a_camera_that_hangs_is_named_and_comes_back_when_opened_again(
    camera: PicameraCamera, clock: SystemClock, hang: Path
) -> None:
    camera.open()
    assert len(burst(camera, clock)) == 1
    hang.touch()
    clock.wait(threading.Event(), 0.3)
    with pytest.raises(CameraUnavailable, match="gave no frame for 1 s"):
        burst(camera, clock)
    with pytest.raises(CameraUnavailable, match="gave no frame"):
        camera.probe()
    hang.unlink()
    camera.open()
    camera.probe()
    assert len(burst(camera, clock, 3)) == 3


def test_opening_and_closing_leaves_nothing_behind(camera: PicameraCamera, clock: SystemClock) -> None:
    camera.open()
    burst(camera, clock)
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        camera.open()
        burst(camera, clock)
    assert threading.active_count() <= threads
    assert len(list(Path("/proc/self/fd").iterdir())) <= files + 2


def test_no_camera_is_named() -> None:
    text = CAMERAS.read_text()
    CAMERAS.unlink()
    try:
        script = (
            "from trapd.backends.camera_picamera2 import PicameraCamera as C\n"
            "from trapd.host.clock import SystemClock\n"
            "C(size=(1280, 720), filter_size=(640, 360), clock=SystemClock()).open()\n"
        )
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    finally:
        CAMERAS.write_text(text)
    assert "CameraUnavailable: no camera is connected (look at the cable" in ended.stderr


def test_a_camera_that_another_program_has_is_named(clock: SystemClock) -> None:
    """libcamera's lock between processes is a device's; here a second owner in this process stands for it."""
    from picamera2 import Picamera2

    other = Picamera2()
    camera = PicameraCamera(size=(1280, 720), filter_size=(640, 360), clock=clock)
    try:
        with pytest.raises(CameraUnavailable, match="in use by another program"):
            camera.open()
        files = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(5):
            with pytest.raises(CameraUnavailable, match="in use by another program"):
                camera.open()
        assert len(list(Path("/proc/self/fd").iterdir())) <= files
    finally:
        other.close()
    camera.open()
    camera.close()


def test_a_constructor_that_fails_late_lets_go_of_the_camera(
    clock: SystemClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where this user may not have buffers: the camera is acquired by then."""
    import picamera2.picamera2

    def refuse() -> None:
        raise PermissionError(13, "Permission denied", "/dev/dma_heap/linux,cma")

    camera = PicameraCamera(size=(1280, 720), filter_size=(640, 360), clock=clock)
    with monkeypatch.context() as patch:
        patch.setattr(picamera2.picamera2, "DmaAllocator", refuse)
        for _ in range(2):
            with pytest.raises(CameraUnavailable, match="Permission denied"):
                camera.open()
    camera.open()
    camera.close()


def test_the_tuning_file_is_set_before_libcamera_looks_for_cameras(tmp_path: Path) -> None:
    """Raspberry Pi's pipeline reads it then, and never again; the virtual one reads none."""
    tuning = tmp_path / "tuning.json"
    tuning.write_text("{}")
    script = (
        "import os, libcamera\n"
        "begin = libcamera.CameraManager.singleton\n"
        "def told(*of):\n"
        "    print(os.environ.get('LIBCAMERA_RPI_TUNING_FILE'))\n"
        "    return begin(*of)\n"
        "libcamera.CameraManager.singleton = told\n"
        "from trapd.backends.camera_picamera2 import PicameraCamera as C\n"
        "from trapd.host.clock import SystemClock\n"
        f"c = C(size=(1280, 720), filter_size=(640, 360), clock=SystemClock(), tuning_file='{tuning}')\n"
        "c.open()\n"
        "c.close()\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert set(ended.stdout.split()) == {str(tuning)}
