"""What stands in for a camera or a sensor says why, and what helps."""

from __future__ import annotations

import pytest

from trapd.errors import CameraUnavailable
from trapd.stages.capture.absent import AbsentCamera, why_absent


def test_a_backend_of_ours_that_is_not_written_is_no_package_to_install() -> None:
    missing = ModuleNotFoundError("No module named 'x'", name="trapd.backends.camera_picamera2")
    message, hint = why_absent("camera", "picamera2", missing)
    assert message == "the camera backend picamera2 is not part of this version"
    assert hint == "use camera.backend: replay until it is"
    assert "timer" in why_absent("sensor", "gpiozero", missing)[1]


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'picamera2'", name="picamera2"),
        ImportError("libcamera is of another version", name="libcamera"),
        CameraUnavailable("no cameras available", "look at the cable"),
    ],
)
def test_a_library_that_is_not_here_is_named_with_its_package(error: Exception) -> None:
    message, hint = why_absent("camera", "picamera2", error)
    assert message == f"the camera backend picamera2 is not here: {error}"
    assert hint == "on a Pi: apt install python3-picamera2"


def test_it_has_passed_over_nothing() -> None:
    assert AbsentCamera("gone", "look").passed_over == 0
