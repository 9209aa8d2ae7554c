"""What every Camera promises, run over each backend."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.fakes.camera import FakeCamera, jpeg
from tests.fakes.clock import FakeClock
from tests.fakes.picamera2 import CameraClock, StandIn
from trapd.backends.camera_picamera2 import PicameraCamera
from trapd.backends.camera_replay import ReplayCamera
from trapd.errors import CameraUnavailable
from trapd.host.clock import SystemClock
from trapd.ports import Camera, Clock
from trapd.records import Trigger

# The real library runs in the rig's root alone: tests/rig/test_camera.py runs this suite there, and counts.
REAL = "picamera2"
BACKENDS = ["fake", "replay", "picamera2 (stand-in)", *([REAL] if os.environ.get("TRAPD_RIG_CAMERA") else [])]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock(backend: str) -> Clock:
    if backend == REAL:
        return SystemClock()
    return CameraClock() if backend.startswith("picamera2") else FakeClock()


@pytest.fixture
def told_to_stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def camera(
    backend: str, clock: Clock, told_to_stop: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Camera]:
    stopping = told_to_stop.is_set
    if backend == "fake":
        assert isinstance(clock, FakeClock)
        yield FakeCamera(clock, stopping=stopping)
        return
    if backend == "replay":
        for index in range(4):
            (tmp_path / f"{index}.jpg").write_bytes(jpeg(640, 480, 40 * index))
        made: Camera = ReplayCamera(tmp_path, filter_size=(320, 180), clock=clock, stopping=stopping)
    else:
        if isinstance(clock, CameraClock):
            StandIn(clock).install(monkeypatch)
        made = PicameraCamera(size=(1280, 720), filter_size=(640, 360), clock=clock, stopping=stopping)
    yield made
    made.close()


def shoot(camera: Camera, clock: Clock, frames: int = 3) -> list[tuple[int, bytes]]:
    trigger = Trigger("timer", "timer", clock.boot_ns())
    return [(frame.boot_ns, frame.jpeg) for frame in camera.shoot(trigger, frames, 0.3)]


def test_a_burst_has_as_many_frames_as_asked_for(camera: Camera, clock: Clock) -> None:
    camera.open()
    assert len(shoot(camera, clock, 3)) == 3
    assert len(shoot(camera, clock, 1)) == 1


def test_frames_are_newer_than_the_trigger_and_in_order(camera: Camera, clock: Clock) -> None:
    camera.open()
    before_ns = clock.boot_ns()
    times = [at_ns for at_ns, _ in shoot(camera, clock)]
    assert times[0] > before_ns
    assert times == sorted(times)
    assert times[2] - times[0] >= 0.599e9


def test_a_burst_ends_with_what_it_has_once_the_unit_is_told_to_stop(
    camera: Camera, clock: Clock, told_to_stop: threading.Event
) -> None:
    camera.open()
    burst = iter(camera.shoot(Trigger("timer", "timer", clock.boot_ns()), 3, 60.0))
    next(burst)
    told_to_stop.set()
    before_ns = clock.boot_ns()
    assert list(burst) == []
    assert clock.boot_ns() - before_ns < 1e9
    assert len(list(camera.shoot(Trigger("timer", "timer", clock.boot_ns()), 3, 60.0))) == 1


def test_each_frame_is_a_jpeg_of_the_size_it_states(camera: Camera, clock: Clock) -> None:
    camera.open()
    for frame in camera.shoot(Trigger("timer", "timer", clock.boot_ns()), 2, 0.1):
        with Image.open(io.BytesIO(frame.jpeg)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (frame.width, frame.height))


def test_small_frames_are_even_planar_and_whole(camera: Camera, clock: Clock) -> None:
    camera.open()
    for frame in camera.shoot(Trigger("timer", "timer", clock.boot_ns()), 2, 0.1):
        small = frame.small
        assert small is not None
        assert small.width % 2 == small.height % 2 == 0
        assert len(small.data) == small.stride * small.height * 3 // 2


def test_a_probe_of_an_open_camera_passes(camera: Camera) -> None:
    camera.open()
    camera.probe()


def test_it_can_be_closed_twice_and_opened_again(camera: Camera, clock: Clock) -> None:
    camera.open()
    camera.close()
    camera.close()
    camera.open()
    assert len(shoot(camera, clock)) == 3


def test_nothing_is_passed_over_where_all_is_well(camera: Camera, clock: Clock) -> None:
    camera.open()
    shoot(camera, clock)
    assert camera.passed_over == 0


def test_a_failing_camera_says_so_with_its_own_error(tmp_path: Path) -> None:
    clock = FakeClock()
    with pytest.raises(CameraUnavailable, match="no photograph"):
        ReplayCamera(tmp_path, filter_size=(320, 180), clock=clock).open()
    with pytest.raises(CameraUnavailable, match="cannot read"):
        ReplayCamera(tmp_path / "absent", filter_size=(320, 180), clock=clock).open()
    fake = FakeCamera(clock)
    fake.fail_open = True
    with pytest.raises(CameraUnavailable):
        fake.open()
