"""What is said and done around the constructor of picamera2's camera: rights, tuning file, leftovers."""

from __future__ import annotations

import gc
import grp
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.picamera2 import TUNING, CameraClock, StandIn
from trapd.backends import device_files
from trapd.backends.camera_picamera2 import PicameraCamera
from trapd.errors import CameraUnavailable

Make = Callable[..., PicameraCamera]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return StandIn(CameraClock()).install(monkeypatch)


@pytest.fixture
def make(library: StandIn) -> Iterator[Make]:
    made: list[PicameraCamera] = []

    def camera(tuning_file: Path | None = None) -> PicameraCamera:
        named = None if tuning_file is None else str(tuning_file)
        made.append(
            PicameraCamera(size=(640, 360), filter_size=(320, 180), clock=library.clock, tuning_file=named)
        )
        return made[-1]

    yield camera
    for one in made:
        one.close()


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /dev whose closed devices are the files of mode 0, to root too."""
    folder = tmp_path / "dev"
    (folder / "dma_heap").mkdir(parents=True)
    monkeypatch.setattr(device_files.closed, "__defaults__", (folder,))
    opened = os.open

    def open_as_anybody(path: str | Path, flags: int, *more: int) -> int:
        if str(path).startswith(str(folder)) and not Path(path).stat().st_mode & 0o777:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *more)

    monkeypatch.setattr(os, "open", open_as_anybody)
    return folder


def device(folder: Path, name: str, mode: int) -> None:
    path = folder / name
    path.write_bytes(b"")
    path.chmod(mode)


def descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


# --- the library -------------------------------------------------------------------------------------------


def test_a_simplejpeg_of_an_old_card_is_named_and_not_the_cable(
    make: Make, library: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(sys.modules["simplejpeg"], "encode_jpeg_yuv_planes")
    with pytest.raises(CameraUnavailable, match=r"simplejpeg .*is too old") as told:
        make().open()
    assert "apt full-upgrade" in told.value.hint
    assert library.made == []


# --- rights ------------------------------------------------------------------------------------------------


def test_a_camera_that_is_hidden_by_its_devices_rights_is_not_blamed_on_the_cable(
    make: Make, library: StandIn, devices: Path
) -> None:
    library.cameras = []
    for name in ("media0", "media1", "video0", "video1"):
        device(devices, name, 0o000)
    with pytest.raises(CameraUnavailable) as told:
        make().open()
    assert told.value.message == (
        f"no camera is found, and this user may not use {devices}/video0, {devices}/video1, "
        f"{devices}/media0 and 1 more"
    )
    assert "group" in told.value.hint
    assert "start trapd anew" in told.value.hint
    assert told.value.restart_helps


def test_devices_that_may_be_used_leave_it_to_the_cable(make: Make, library: StandIn, devices: Path) -> None:
    library.cameras = []
    device(devices, "media0", 0o660)
    device(devices, "gpiochip0", 0o000)
    with pytest.raises(CameraUnavailable, match="no camera is connected"):
        make().open()


@pytest.mark.parametrize("late", [False, True])
def test_buffers_that_may_not_be_had_are_a_matter_of_rights_too(
    make: Make, library: StandIn, devices: Path, late: bool
) -> None:
    device(devices, "media0", 0o660)
    device(devices, "dma_heap/linux,cma", 0o000)
    error = PermissionError(13, "Permission denied", "/dev/dma_heap/linux,cma")
    if late:
        library.late_error = error
    else:
        library.open_error = error
    with pytest.raises(CameraUnavailable, match=r"may not use .*linux,cma: .*Permission denied") as told:
        make().open()
    assert "group" in told.value.hint


def test_who_may_use_a_device_of_roots_depends_on_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(gid: int) -> None:
        raise KeyError(gid)

    monkeypatch.setattr(grp, "getgrgid", unknown)
    assert "group should be video" in device_files.who_may(tmp_path / "video0")
    assert "group should be gpio" in device_files.who_may(tmp_path / "gpiochip0")


# --- the tuning file ---------------------------------------------------------------------------------------


def test_the_tuning_file_is_there_before_libcamera_looks_for_cameras(
    make: Make, library: StandIn, tmp_path: Path
) -> None:
    """It is read then, and never again while there is a camera."""
    tuning = tmp_path / "imx708_noir.json"
    tuning.write_text("{}")
    make(tuning).open()
    assert library.manager_began_with == str(tuning)
    assert library.camera.tuning == str(tuning)


def test_without_one_what_an_earlier_configuration_set_is_forgotten(
    make: Make, library: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TUNING, "/an/earlier/one.json")
    make().open()
    assert library.manager_began_with is None


def test_a_tuning_file_that_hides_the_camera_is_named(make: Make, library: StandIn, tmp_path: Path) -> None:
    library.cameras = []
    tuning = tmp_path / "of_another_camera.json"
    tuning.write_text("{}")
    with pytest.raises(
        CameraUnavailable, match=r"no camera is found with the tuning file .*of_another"
    ) as told:
        make(tuning).open()
    assert "take out camera.tuning_file" in told.value.hint
    assert "cable" in told.value.hint


# --- what a failure leaves behind --------------------------------------------------------------------------


def test_a_camera_that_is_busy_for_days_takes_no_descriptor_at_each_try(make: Make, library: StandIn) -> None:
    library.open_error = RuntimeError("Failed to acquire camera: Device or resource busy")
    camera = make()
    before = descriptors()
    for _ in range(20):
        with pytest.raises(CameraUnavailable, match="in use by another program"):
            camera.open()
    assert descriptors() <= before
    library.open_error = None
    camera.open()


def test_a_constructor_that_fails_late_lets_go_of_the_camera(make: Make, library: StandIn) -> None:
    library.late_error = OSError(24, "Too many open files")
    camera = make()
    before = descriptors()
    for _ in range(3):
        with pytest.raises(CameraUnavailable, match="Too many open files"):
            camera.open()
    assert descriptors() <= before
    assert not any(made.is_open for made in library.made)
    library.late_error = None
    camera.open()
