"""The picamera2 backend when the library, the camera or a thread fails: one sentence, in a bounded time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.machine import FakeMachine
from tests.fakes.picamera2 import CameraClock, StandIn
from tests.stages.driver import bench
from trapd.backends import camera_picamera2
from trapd.backends.camera_picamera2 import Limits, PicameraCamera
from trapd.errors import CameraInUse, CameraUnavailable
from trapd.records import Trigger
from trapd.rules import NS_PER_S
from trapd.stages.capture.camera_watch import CameraWatch
from trapd.stages.capture.rare_reboot import RareReboot

NEVER = threading.Event()
SHORT = Limits(open_s=0.05, close_s=0.05, frame_s=1.0)


@pytest.fixture
def clock() -> CameraClock:
    return CameraClock()


@pytest.fixture
def library(clock: CameraClock, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return StandIn(clock).install(monkeypatch)


@pytest.fixture
def camera(clock: CameraClock) -> Iterator[PicameraCamera]:
    made = PicameraCamera(size=(640, 360), filter_size=(320, 180), clock=clock)
    yield made
    made.close()


def shoot(camera: PicameraCamera, clock: CameraClock) -> int:
    return len(list(camera.shoot(Trigger("pir", "17", clock.boot_ns()), 3, 0.1)))


# --- the library -------------------------------------------------------------------------------------------


def test_a_library_that_is_not_installed(camera: PicameraCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(CameraUnavailable, match="picamera2 is not installed") as told:
        camera.open()
    assert "apt install python3-picamera2" in told.value.hint
    assert not told.value.restart_helps


@pytest.mark.parametrize(
    "raised",
    [
        'ValueError("numpy.dtype size changed, may indicate binary incompatibility. Expected 96, got 88")',
        'ImportError("numpy.core.multiarray failed to import")',
        'AttributeError("_ARRAY_API not found")',
    ],
)
def test_a_numpy_that_breaks_the_systems_simplejpeg(
    camera: PicameraCamera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: str
) -> None:
    (tmp_path / "picamera2.py").write_text(f"raise {raised}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    with pytest.raises(CameraUnavailable, match=r"numpy \d.* does not fit") as told:
        camera.open()
    assert "remove the numpy that pip installed" in told.value.hint


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("raise RuntimeError('libcamera.so: no such file')", "picamera2 cannot be imported: RuntimeError"),
        ("import no_such_module_here", "picamera2 lacks a module: no_such_module_here"),
        ("1 / 0", "picamera2 cannot be imported: ZeroDivisionError"),
        ("raise SystemExit('no display')", "picamera2 cannot be imported: SystemExit: no display"),
    ],
)
def test_a_library_that_raises_on_import(
    camera: PicameraCamera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, sentence: str
) -> None:
    (tmp_path / "picamera2.py").write_text(source + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    with pytest.raises(CameraUnavailable, match=sentence):
        camera.open()


def test_a_library_that_is_installed_later_is_found(
    camera: PicameraCamera, clock: CameraClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "picamera2", None)
        with pytest.raises(CameraUnavailable):
            camera.open()
    StandIn(clock).install(monkeypatch)
    camera.open()
    assert shoot(camera, clock) == 3


# --- opening -----------------------------------------------------------------------------------------------


def test_no_camera_is_named(camera: PicameraCamera, library: StandIn) -> None:
    library.cameras = []
    with pytest.raises(CameraUnavailable, match="no camera is connected") as told:
        camera.open()
    assert "cable" in told.value.hint
    assert told.value.restart_helps


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("Failed to acquire camera: Device or resource busy"), "in use by another program"),
        (
            RuntimeError("failed to allocate capture buffers for stream 0"),
            "no memory for the camera's buffers",
        ),
        (OSError(12, "Cannot allocate memory"), "no memory for the camera's buffers"),
        (MemoryError(), "no memory for the camera's buffers"),
        (RuntimeError("Tuning file not found"), "tuning file"),
        (KeyError("Model"), "does not open: .*Model"),
    ],
)
def test_what_opening_fails_with_is_named(
    camera: PicameraCamera, library: StandIn, error: Exception, sentence: str
) -> None:
    library.open_error = error
    with pytest.raises(CameraUnavailable, match=sentence) as told:
        camera.open()
    assert told.value.hint
    assert isinstance(told.value, CameraInUse) is ("in use" in sentence)


def test_a_camera_that_cannot_be_configured_is_let_go(
    camera: PicameraCamera, clock: CameraClock, library: StandIn
) -> None:
    library.configure_error = RuntimeError("Configuration failed")
    with pytest.raises(CameraUnavailable, match="Configuration failed"):
        camera.open()
    assert library.camera.is_closed
    library.configure_error = None
    camera.open()
    assert shoot(camera, clock) == 3


def test_a_format_that_is_none_of_ours(camera: PicameraCamera, library: StandIn) -> None:
    library.format = "MJPEG"
    with pytest.raises(CameraUnavailable, match="gives MJPEG of 640 x 360 for its main stream"):
        camera.open()
    assert library.camera.is_closed


def test_a_tuning_file_that_is_not_there(clock: CameraClock, library: StandIn) -> None:
    camera = PicameraCamera(
        size=(640, 360), filter_size=(320, 180), clock=clock, tuning_file="/nowhere/imx708.json"
    )
    with pytest.raises(CameraUnavailable, match=r"tuning file /nowhere/imx708\.json cannot be read"):
        camera.open()
    assert library.made == []


def test_an_opening_that_hangs_is_given_up_and_undone_when_it_comes(
    clock: CameraClock, library: StandIn
) -> None:
    camera = PicameraCamera(size=(640, 360), filter_size=(320, 180), clock=clock, limits=SHORT)
    library.hang_start = threading.Event()
    with pytest.raises(CameraUnavailable, match=r"opening the camera took longer than 0\.05 s"):
        camera.open()
    with pytest.raises(CameraUnavailable, match="opening the camera has not come back yet") as told:
        camera.open()
    assert told.value.restart_helps
    assert len(library.made) == 1
    library.hang_start.set()
    until(lambda: library.camera.is_closed)


def test_a_stop_does_not_wait_for_an_opening_that_hangs(clock: CameraClock, library: StandIn) -> None:
    told = threading.Event()
    camera = PicameraCamera(
        size=(640, 360), filter_size=(320, 180), clock=clock, stopping=told.is_set,
        limits=Limits(open_s=20.0, stopping_s=0.05),
    )  # fmt: skip
    library.hang_start = threading.Event()
    told.set()
    with pytest.raises(CameraUnavailable, match="opening the camera is left behind: the unit was told to"):
        camera.open()
    library.hang_start.set()
    until(lambda: library.camera.is_closed)


def until(condition: Callable[[], bool]) -> None:
    """A thread of the backend's works at its own pace."""
    end_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_s
        NEVER.wait(0.005)


def opens(camera: PicameraCamera) -> bool:
    with suppress(CameraUnavailable):
        camera.open()
        return True
    return False


def test_a_camera_that_was_only_slow_to_open_is_opened_at_a_later_try(
    clock: CameraClock, library: StandIn
) -> None:
    camera = PicameraCamera(size=(640, 360), filter_size=(320, 180), clock=clock, limits=SHORT)
    library.hang_start = threading.Event()
    with pytest.raises(CameraUnavailable, match="took longer"):
        camera.open()
    library.hang_start.set()
    until(lambda: opens(camera))
    assert shoot(camera, clock) == 3
    assert [made.is_closed for made in library.made] == [True, False]
    camera.close()


def test_a_camera_that_came_too_late_and_cannot_be_let_go_is_lost_to_this_process(
    clock: CameraClock, library: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = PicameraCamera(size=(640, 360), filter_size=(320, 180), clock=clock, limits=SHORT)
    library.hang_start = threading.Event()
    with pytest.raises(CameraUnavailable, match="took longer"):
        camera.open()
    closing = threading.Event()

    def close() -> None:
        closing.set()
        raise RuntimeError("release failed")

    monkeypatch.setattr(library.camera, "close", close)
    library.hang_start.set()
    assert closing.wait(10.0)

    def is_lost() -> bool:
        with pytest.raises(CameraUnavailable) as told:
            camera.open()
        return "cannot be opened again in this process" in str(told.value)

    until(is_lost)


def test_a_library_whose_import_hangs_is_given_up(
    clock: CameraClock, library: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(camera_picamera2, "load", lambda: hangs.wait(20.0))
    limits = Limits(import_s=0.05)
    camera = PicameraCamera(size=(640, 360), filter_size=(320, 180), clock=clock, limits=limits)
    with pytest.raises(CameraUnavailable, match=r"importing picamera2 took longer than 0\.05 s"):
        camera.open()
    hangs.set()


def test_a_camera_that_hangs_at_its_very_first_opening_leaves_the_unit_up_and_leads_to_one_reboot_a_day(
    clock: CameraClock, library: StandIn, tmp_path: Path
) -> None:
    library.hang_start = threading.Event()
    camera = PicameraCamera(size=(640, 360), filter_size=(320, 180), clock=clock, limits=SHORT)
    with bench(tmp_path / "store") as unit:
        machine = FakeMachine(unit.clock)
        reboot = RareReboot(unit.clock, machine)
        watch = CameraWatch(camera, clock=unit.clock, alerts=unit.alerts, probe_s=300.0, reboot=reboot)
        began_ns = unit.clock.boot_ns()
        for _ in range(2 * 24 * 60):
            watch.look(unit.session)
            assert (watch.ready, unit.alerts.names()) == (False, ("camera",))
            unit.clock.advance(60.0)
        watch.close()
    assert [round((at_ns - began_ns) / 3600e9) for at_ns in machine.asked_ns] == [1, 25]
    assert len(library.made) == 1
    library.hang_start.set()


# --- while it runs -----------------------------------------------------------------------------------------


def test_threads_that_have_died_are_found_by_burst_and_probe_in_a_bounded_time(
    camera: PicameraCamera, clock: CameraClock, library: StandIn
) -> None:
    camera.open()
    library.dead = True
    began_ns = clock.boot_ns()
    with pytest.raises(CameraUnavailable, match="gave no frame for 5 s") as told:
        shoot(camera, clock)
    for cause in ("cable", "power", "time-out"):
        assert cause in told.value.hint
    with pytest.raises(CameraUnavailable, match="gave no frame"):
        camera.probe()
    assert clock.boot_ns() - began_ns < 11e9
    library.dead = False
    camera.open()
    camera.probe()
    assert shoot(camera, clock) == 3
    assert library.made[0].is_closed


def test_threads_that_die_half_way_leave_what_was_given(
    camera: PicameraCamera, clock: CameraClock, library: StandIn
) -> None:
    camera.open()
    frames = camera.shoot(Trigger("pir", "17", clock.boot_ns()), 3, 0.5)
    next(frames)
    library.dead = True
    with pytest.raises(CameraUnavailable, match="gave no frame"):
        next(frames)


@pytest.mark.parametrize(
    ("knob", "value", "sentence"),
    [
        ("stamped", False, "frames cannot be used: they have no SensorTimestamp"),
        (
            "metadata",
            {"SensorTimestamp": 1},
            "frames cannot be used: they are stamped as if taken long ago",
        ),
        (
            "metadata",
            {"SensorTimestamp": 2**62},
            "frames cannot be used: they are stamped as if still to come",
        ),
        ("metadata", {"ExposureTime": "dark"}, "frames cannot be used: ValueError"),
        ("encode_error", ValueError("bad plane"), "a frame cannot be read: bad plane"),
        ("encode_error", ValueError(), "a frame cannot be read: ValueError"),
        ("encode_error", MemoryError(), "no memory to make a photograph"),
        ("short_buffers", True, "picture has 1000 bytes instead of 345600"),
    ],
)
def test_frames_that_cannot_be_used_are_an_error_and_hold_no_buffer(
    camera: PicameraCamera, clock: CameraClock, library: StandIn, knob: str, value: Any, sentence: str
) -> None:
    camera.open()
    setattr(library, knob, value)
    for _ in range(5):
        with pytest.raises(CameraUnavailable, match=sentence):
            shoot(camera, clock)
    assert not library.dead
    clock.wait(NEVER, 0.5)
    assert library.camera.free >= 2


def test_a_stop_waits_for_no_camera(clock: CameraClock, library: StandIn) -> None:
    told = threading.Event()
    camera = PicameraCamera(size=(640, 360), filter_size=(320, 180), clock=clock, stopping=told.is_set)
    told.set()
    before_ns = clock.boot_ns()
    camera.open()
    assert clock.boot_ns() - before_ns < 0.2 * NS_PER_S
    library.dead = True
    for call, within_s in ((lambda: shoot(camera, clock), 3.5), (camera.probe, 0.5)):
        before_ns = clock.boot_ns()
        with pytest.raises(CameraUnavailable, match="told to stop"):
            call()
        assert clock.boot_ns() - before_ns < within_s * NS_PER_S
    camera.close()


def test_a_closing_that_hangs_is_given_up_and_the_camera_is_opened_when_it_has_come_back(
    clock: CameraClock, library: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    camera = PicameraCamera(size=(640, 360), filter_size=(320, 180), clock=clock, limits=SHORT)
    camera.open()
    library.hang_close = threading.Event()
    camera.close()
    assert "did not close in order: closing the camera took longer than 0.05 s" in caplog.text
    with pytest.raises(CameraUnavailable, match="closing the camera has not come back yet"):
        camera.open()
    library.hang_close.set()
    until(lambda: opens(camera))
    camera.close()


def test_a_camera_that_is_not_open_says_so(
    camera: PicameraCamera, clock: CameraClock, library: StandIn
) -> None:
    with pytest.raises(CameraUnavailable, match="not open"):
        shoot(camera, clock)
    with pytest.raises(CameraUnavailable, match="not open"):
        camera.probe()
