"""The picamera2 backend on a stand-in for the library: which frames a burst takes, and what they carry."""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from tests.fakes.picamera2 import CameraClock, StandIn, Transform
from trapd.backends import picamera2_ring
from trapd.backends.camera_picamera2 import PicameraCamera
from trapd.errors import CameraUnavailable
from trapd.records import Frame, Moment, Trigger, TsQuality
from trapd.store import ExifContext
from trapd.store.photographs import exif

NEVER = threading.Event()
MS = 1_000_000
Make = Callable[..., PicameraCamera]


@pytest.fixture
def clock() -> CameraClock:
    return CameraClock()


@pytest.fixture
def library(clock: CameraClock, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return StandIn(clock).install(monkeypatch)


@pytest.fixture
def make(clock: CameraClock, library: StandIn) -> Iterator[Make]:
    made: list[PicameraCamera] = []
    usual: dict[str, Any] = {"size": (640, 360), "filter_size": (320, 180), "clock": clock}

    def camera(**options: Any) -> PicameraCamera:
        for one in made:
            one.close()
        made.append(PicameraCamera(**(usual | options)))
        made[-1].open()
        return made[-1]

    yield camera
    for one in made:
        one.close()


def burst(
    camera: PicameraCamera, clock: CameraClock, frames: int = 3, interval_s: float = 0.3
) -> tuple[Trigger, list[Frame]]:
    trigger = Trigger("pir", "17", clock.boot_ns())
    return trigger, list(camera.shoot(trigger, frames, interval_s))


def first_frames_are_newer(camera: PicameraCamera, clock: CameraClock) -> bool:
    """At every moment between two frames: what comes after the trigger may be from before it."""
    newer = []
    for _ in range(30):
        clock.wait(NEVER, 0.107)
        trigger, taken = burst(camera, clock, 2, 0.0)
        newer.append(taken[0].boot_ns > trigger.boot_ns and taken[1].boot_ns > taken[0].boot_ns)
    return all(newer)


# --- which frames ------------------------------------------------------------------------------------------


def test_the_first_frame_began_after_the_trigger(make: Make, clock: CameraClock) -> None:
    assert first_frames_are_newer(make(), clock)


def test_a_frame_counts_from_the_start_of_its_exposure(
    make: Make, clock: CameraClock, library: StandIn
) -> None:
    """A long exposure that ends after the trigger shows what was before it."""
    library.metadata = {"ExposureTime": 30_000}
    assert first_frames_are_newer(make(), clock)


def test_a_seeded_bug_that_takes_frames_from_before_the_trigger_is_seen(
    make: Make, clock: CameraClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = picamera2_ring.Ring.want
    monkeypatch.setattr(picamera2_ring.Ring, "want", lambda self, from_ns: honest(self, from_ns - 60 * MS))
    assert not first_frames_are_newer(make(), clock)


def test_a_seeded_bug_that_forgets_the_exposure_is_seen(
    make: Make, clock: CameraClock, library: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.metadata = {"ExposureTime": 30_000}
    camera = make()
    monkeypatch.setattr(
        picamera2_ring, "exposure_start_ns", lambda metadata, now_ns: metadata["SensorTimestamp"]
    )
    late = []
    for _ in range(30):
        clock.wait(NEVER, 0.107)
        trigger, taken = burst(camera, clock, 1)
        late.append(taken[0].boot_ns - 30 * MS > trigger.boot_ns)
    assert not all(late)


def test_frames_are_an_interval_apart_however_long_each_is_written(make: Make, clock: CameraClock) -> None:
    """The next one is caught while the one before it waits for the card."""
    camera = make()
    times = []
    for frame in camera.shoot(Trigger("pir", "17", clock.boot_ns()), 3, 0.1):
        times.append(frame.boot_ns)
        clock.wait(NEVER, 0.25)
    gaps = [(later - earlier) / MS for earlier, later in itertools.pairwise(times)]
    assert gaps[0] == pytest.approx(100, abs=35)
    assert gaps[1] >= 100


@pytest.mark.parametrize("after_s", [0.0, 0.011, 0.022, 0.031])
def test_a_pre_trigger_takes_the_last_frame_before_the_trigger_first(
    make: Make, clock: CameraClock, after_s: float
) -> None:
    camera = make(pre_trigger=True)
    for _ in range(10):
        clock.wait(NEVER, 0.3 + after_s)
        trigger, taken = burst(camera, clock, 3, 0.1)
        before_ms = (trigger.boot_ns - taken[0].boot_ns) / MS
        assert 0 <= before_ms <= 34 + 61  # a frame's time, and what the newest takes to arrive
        assert trigger.boot_ns < taken[1].boot_ns < taken[2].boot_ns


def test_a_pre_trigger_without_a_recent_frame_begins_after_the_trigger(
    make: Make, clock: CameraClock
) -> None:
    camera = make(pre_trigger=True)
    trigger = Trigger("pir", "17", clock.boot_ns() + 5_000 * MS)
    clock.step_s = 5.0
    taken = list(camera.shoot(trigger, 1, 0.0))
    assert taken[0].boot_ns > trigger.boot_ns


@pytest.mark.parametrize("pre_trigger", [False, True])
def test_no_burst_starves_the_camera_of_buffers(
    make: Make, clock: CameraClock, library: StandIn, pre_trigger: bool
) -> None:
    camera = make(pre_trigger=pre_trigger)
    for _ in range(20):
        clock.wait(NEVER, 0.2)
        for _frame in camera.shoot(Trigger("pir", "17", clock.boot_ns()), 3, 0.05):
            clock.wait(NEVER, 0.12)
    clock.wait(NEVER, 1.0)
    assert library.camera.starved == 0
    held = 2 if pre_trigger else 0
    assert library.camera.free >= 4 - held - 2  # two are on their way


def test_a_burst_that_is_left_half_way_holds_nothing(
    make: Make, clock: CameraClock, library: StandIn
) -> None:
    camera = make()
    for _ in range(10):
        frames = camera.shoot(Trigger("pir", "17", clock.boot_ns()), 3, 0.0)
        next(frames)
        clock.wait(NEVER, 0.1)
        frames.close()  # type: ignore[attr-defined]  # it is a generator, as any consumer sees that leaves it
    clock.wait(NEVER, 0.5)
    assert library.camera.starved == 0
    assert library.camera.free >= 2


# --- what a frame carries ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream_format", ["YUV420", "NV12"])
@pytest.mark.parametrize("padding", [0, 32])
def test_both_layouts_with_and_without_padding(
    make: Make, clock: CameraClock, library: StandIn, stream_format: str, padding: int
) -> None:
    library.format, library.padding = stream_format, padding
    _, (frame,) = burst(make(), clock, 1)
    with Image.open(io.BytesIO(frame.jpeg)) as opened:
        assert (opened.size, opened.mode) == ((640, 360), "RGB")
        grey: Any = opened.convert("RGB").getpixel((100, 100))
    small = frame.small
    assert small is not None
    assert small.layout == {"YUV420": "i420", "NV12": "nv12"}[stream_format]
    assert (small.width, small.height, small.stride) == (320, 180, 320 + padding)
    assert len(small.data) == small.stride * small.height * 3 // 2
    assert all(abs(value - small.data[0]) <= 2 for value in grey)


def test_a_size_that_the_camera_changes_is_taken_and_named_once(
    make: Make, clock: CameraClock, library: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    library.sizes = {"main": (656, 368)}
    camera = make()
    camera.open()
    _, (frame,) = burst(camera, clock, 1)
    assert (frame.width, frame.height) == (656, 368)
    assert caplog.text.count("gives 656 x 368 for its main stream, not 640 x 360") == 1


def test_exposure_gain_and_focus_reach_the_exif_where_the_camera_tells_them(
    make: Make, clock: CameraClock, library: StandIn
) -> None:
    library.metadata = {"ExposureTime": 8_000, "AnalogueGain": 4.0, "DigitalGain": 1.5, "LensPosition": 0.25}
    _, (frame,) = burst(make(), clock, 1)
    assert frame.metadata == {"model": "imx708", "exposure_s": 0.008, "gain": 6.0, "focus_m": 4.0}
    moment = Moment(1_700_000_000_000, frame.boot_ns, "boot", TsQuality.SYNCED)
    stamped = exif.stamp(
        frame, "m-0", ExifContext("ridge-07", "picamera2"), (moment, Trigger("pir", "17", 1), "sha256:00")
    )
    with Image.open(io.BytesIO(stamped)) as opened:
        tags = opened.getexif()
        inner = tags.get_ifd(0x8769)
    assert tags[0x0110] == "imx708"
    assert (float(inner[0x829A]), inner[0x8827], float(inner[0x9206])) == (0.008, 600, 4.0)


def test_what_the_camera_does_not_tell_is_left_out(make: Make, clock: CameraClock, library: StandIn) -> None:
    library.metadata = {"LensPosition": 0.0}
    _, (frame,) = burst(make(), clock, 1)
    assert frame.metadata == {"model": "imx708"}


def test_the_heartbeat_learns_the_time_between_frames(make: Make, clock: CameraClock) -> None:
    camera = make()
    clock.wait(NEVER, 2.0)
    facts = camera.facts()
    assert facts["camera_frame_ms"] == pytest.approx(33.3, abs=1.0)
    assert facts["camera_frame_age_s"] <= 0.04
    camera.close()
    assert camera.facts() == {}


# --- what the camera is asked ------------------------------------------------------------------------------


def test_it_is_configured_once_for_life(make: Make, clock: CameraClock, library: StandIn) -> None:
    camera = make()
    for _ in range(3):
        burst(camera, clock)
        camera.probe()
    assert len(library.made) == 1
    asked = library.camera.configuration
    assert asked["raw"] is None
    assert (asked["queue"], asked["display"], asked["encode"]) == (False, None, None)
    assert asked["buffer_count"] == 4
    assert asked["colour_space"] == "sYCC"


@pytest.mark.parametrize(("rotation", "turned"), [(0, 0), (180, 1)])
def test_rotation_turns_both_ways_or_none(make: Make, library: StandIn, rotation: int, turned: int) -> None:
    make(rotation=rotation)
    assert library.camera.configuration["transform"] == Transform(hflip=turned, vflip=turned)


def test_a_camera_that_cannot_turn_its_picture_is_named(
    make: Make, library: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    library.turns = False
    make(rotation=0)
    assert caplog.text == ""
    make(rotation=180)
    assert "camera.rotation has no effect" in caplog.text


@pytest.mark.parametrize(
    "odd",
    [
        {"LensPosition": (1.0, 2.0)},
        {"AnalogueGain": "high"},
        {"DigitalGain": None},
        {"LensPosition": True},
        {"AnalogueGain": 10**400},
    ],
)
def test_metadata_of_another_kind_is_left_out_of_the_exif(
    make: Make, clock: CameraClock, library: StandIn, odd: dict[str, Any]
) -> None:
    library.metadata = {"AnalogueGain": 2.0} | odd
    _, (frame,) = burst(make(), clock, 1)
    assert frame.metadata["model"] == "imx708"


@pytest.mark.parametrize(
    ("focus", "controls"),
    [
        ("auto", {"AfMode": 2}),
        (4.0, {"AfMode": 0, "LensPosition": 0.25}),
        (0.01, {"AfMode": 0, "LensPosition": 15.0}),
    ],
)
def test_the_lens_is_told_where_to_look(
    make: Make, library: StandIn, focus: str | float, controls: dict[str, float]
) -> None:
    make(focus=focus)
    told = library.camera.configuration["controls"]
    assert {name: told[name] for name in told if name != "FrameDurationLimits"} == controls


def test_a_lens_that_does_not_move_is_left_alone_and_named(
    make: Make, library: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    library.lens = False
    make(focus="auto")
    assert "AfMode" not in library.camera.configuration["controls"]
    assert caplog.text == ""
    make(focus=3.0)
    assert "camera.focus has no effect" in caplog.text


def test_the_tuning_file_is_handed_on(make: Make, library: StandIn, tmp_path: Any) -> None:
    tuning = tmp_path / "imx708_noir.json"
    tuning.write_text("{}")
    make(tuning_file=str(tuning))
    assert library.camera.tuning == str(tuning)


def test_exposure_has_settled_when_it_is_open(make: Make, clock: CameraClock) -> None:
    began_ns = clock.boot_ns()
    make()
    assert 0.35e9 < clock.boot_ns() - began_ns < 0.6e9


def test_rows_that_cannot_be_halved_are_refused_at_opening(make: Make, library: StandIn) -> None:
    library.padding = 1
    with pytest.raises(CameraUnavailable, match="gives rows of 641 bytes for the 640 pixels of its main"):
        make()
