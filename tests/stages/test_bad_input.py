"""What is missing on a unit or not as it should be: one sentence with what to do, an alert, and tries.

Each over the real backend, in the stage that owns it, for hours of its clock; and then mended.
"""

from __future__ import annotations

import grp
import json
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.camera import FakeCamera
from tests.fakes.picamera2 import CameraClock, StandIn
from tests.fakes.pins import Pins
from tests.fakes.sensor import FakeSensor
from tests.fakes.store import FaultyStore
from tests.stages.driver import EXIF, PLAN, UNIT, Bench
from tests.stages.screen_driver import PLAN as SCREEN_PLAN
from trapd import parts
from trapd.backends import gpio_chip, model_files
from trapd.backends.camera_picamera2 import PicameraCamera
from trapd.backends.sensor_gpiozero import GpioSensor
from trapd.config import load
from trapd.errors import SensorUnavailable
from trapd.ports import Camera, Connected, Lost, Sensor
from trapd.stages.alerts import Alerts
from trapd.stages.capture.stage import Capture
from trapd.stages.screen import Screen
from trapd.store import Session
from trapd.wire import codec

HOURS_S = 3 * 3600.0
TURN_S = 60.0

Mend = Callable[[], None]


class Unit:
    """A store, a clock, and what a trouble is made with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.clock = CameraClock()
        store = FaultyStore.make(folder / "store", UNIT, self.clock, max_bytes=10**9)
        alerts = Alerts(store, codec.alert, lambda: "2026-11-22T05:13:22.120Z")
        self.bench = Bench(self.clock, store, store.session(), alerts)
        self.library = StandIn(self.clock)
        self.pins = Pins()

    def capture(self, camera: Camera | None, sensor: Sensor | None) -> Capture:
        return Capture(
            PLAN,
            sensor=sensor or FakeSensor(self.clock),
            camera=camera or FakeCamera(self.clock),
            store=self.bench.store,
            exif=EXIF,
            clock=self.clock,
            waiting=self.bench.waiting,
            alerts=self.bench.alerts,
            environment=dict,
        )

    def camera(self) -> PicameraCamera:
        return PicameraCamera(size=(640, 360), filter_size=(320, 180), clock=self.clock)

    def sensor(self, *pins: int) -> GpioSensor:
        return GpioSensor(
            pins=pins, active_high=True, min_pulse_ms=0, clock=self.clock, factory=self.pins.open
        )

    def told(self) -> dict[str, tuple[str, str]]:
        """The alerts that stand, as the operator gets them."""
        leaves = self.bench.session.outbox.retained("alert/")
        found = {
            leaf.removeprefix("alert/"): json.loads(payload) for leaf, payload in leaves.items() if payload
        }
        return {name: (alert["message"], alert["hint"]) for name, alert in found.items()}


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unit]:
    made = Unit(tmp_path, monkeypatch)
    yield made
    made.bench.session.close()
    made.bench.store.close(clean=True)


def pass_hours(unit: Unit, turn: Callable[[Session], None]) -> None:
    """What stands at the first turn stands at the last, word for word: an alert is no stream of them."""
    with unit.bench.store.session() as session:
        turn(session)
        first = unit.told()
        for _ in range(int(HOURS_S / TURN_S)):
            unit.clock.advance(TURN_S)
            turn(session)
            assert unit.told() == first


# --- the camera --------------------------------------------------------------------------------------------


def no_camera(unit: Unit) -> Mend:
    unit.library.install(unit.monkeypatch).cameras = []
    return lambda: setattr(unit.library, "cameras", [{"Model": "imx708"}])


def camera_busy(unit: Unit) -> Mend:
    unit.library.install(unit.monkeypatch).open_error = RuntimeError(
        "Failed to acquire camera: resource busy"
    )
    return lambda: setattr(unit.library, "open_error", None)


def no_library(unit: Unit) -> Mend:
    unit.monkeypatch.setitem(sys.modules, "picamera2", None)
    return lambda: _install(unit)


def numpy_breaks_it(unit: Unit) -> Mend:
    raised = (
        "numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88"
    )
    (unit.folder / "simplejpeg.py").write_text(f"raise ValueError({raised!r})\n")
    unit.library.install(unit.monkeypatch)
    unit.monkeypatch.delitem(sys.modules, "simplejpeg")
    unit.monkeypatch.syspath_prepend(unit.folder)
    return lambda: _install(unit)


def _install(unit: Unit) -> None:
    unit.library.install(unit.monkeypatch)


@pytest.mark.parametrize(
    ("trouble", "message", "hint"),
    [
        (no_camera, "no camera is connected", "cable at both ends"),
        (camera_busy, "the camera is in use by another program", "stop it"),
        (no_library, "picamera2 is not installed", "apt install python3-picamera2"),
        (numpy_breaks_it, "does not fit the system's picamera2 and simplejpeg", "remove the numpy that pip"),
    ],
)
def test_a_camera_that_cannot_be_opened_is_one_sentence_and_comes_back_when_it_can(
    unit: Unit, trouble: Callable[[Unit], Mend], message: str, hint: str
) -> None:
    mend = trouble(unit)
    camera = unit.camera()
    stage = unit.capture(camera, None)
    pass_hours(unit, stage._turn)
    assert unit.told().keys() == {"camera"}
    said, what_to_do = unit.told()["camera"]
    assert message in said
    assert "\n" not in said
    assert hint in what_to_do
    mend()
    with unit.bench.store.session() as session:
        unit.clock.advance(TURN_S)
        stage._turn(session)
    assert unit.told() == {}
    camera.close()


# --- the sensor --------------------------------------------------------------------------------------------


def wrong_pin(unit: Unit) -> tuple[GpioSensor, Mend | None]:
    return unit.sensor(99), None  # another configuration mends it, and that is another process


def pin_in_use(unit: Unit) -> tuple[GpioSensor, Mend | None]:
    from gpiozero import DigitalInputDevice

    other = DigitalInputDevice(17, pin_factory=unit.pins.factory)
    return unit.sensor(17), other.close


def no_permission(unit: Unit) -> tuple[GpioSensor, Mend | None]:
    def label_of(chip: Path) -> str:
        raise PermissionError(13, "Permission denied")

    unit.monkeypatch.setattr(grp, "getgrgid", lambda gid: types.SimpleNamespace(gr_name="gpio"))
    (unit.folder / "gpiochip0").touch()
    with suppress(SensorUnavailable):
        gpio_chip.find(unit.folder, label_of)
    unit.pins.fail = _raised(lambda: gpio_chip.find(unit.folder, label_of))
    return unit.sensor(17), lambda: setattr(unit.pins, "fail", None)


def no_chip(unit: Unit) -> tuple[GpioSensor, Mend | None]:
    unit.pins.fail = _raised(lambda: gpio_chip.find(unit.folder))
    return unit.sensor(17), lambda: setattr(unit.pins, "fail", None)


def _raised(call: Callable[[], Any]) -> Exception:
    with pytest.raises(SensorUnavailable) as told:
        call()
    return told.value


@pytest.mark.parametrize(
    ("trouble", "message", "hint"),
    [
        (wrong_pin, "pin 99 is no GPIO pin of this board", "BCM numbers"),
        (pin_in_use, "pin 17 is in use", "end the other program"),
        (no_permission, "no permission to use", "group gpio"),
        (no_chip, "this machine has no GPIO chip", "sensor.backend: timer"),
    ],
)
def test_a_sensor_that_cannot_be_opened_is_one_sentence_and_comes_back_when_it_can(
    unit: Unit, trouble: Callable[[Unit], tuple[GpioSensor, Mend | None]], message: str, hint: str
) -> None:
    sensor, mend = trouble(unit)
    stage = unit.capture(None, sensor)
    pass_hours(unit, stage._turn)
    assert unit.told().keys() == {"sensor"}
    said, what_to_do = unit.told()["sensor"]
    assert message in said
    assert hint in what_to_do
    if mend is not None:
        mend()
        with unit.bench.store.session() as session:
            unit.clock.advance(TURN_S)
            stage._turn(session)
            unit.pins.pulse(17)
            stage._turn(session)
        assert unit.told() == {}
        assert len(unit.bench.events()) == 1
    sensor.close()


# --- model and credential ----------------------------------------------------------------------------------


def test_a_model_that_is_missing_is_one_sentence_and_is_used_when_it_has_come(unit: Unit) -> None:
    models = unit.folder / "models"
    models.mkdir()
    stage = Screen(
        SCREEN_PLAN,
        classifier=parts.build_classifier("ridge", models=models),
        store=unit.bench.store,
        waiting=unit.bench.waiting,
        alerts=unit.bench.alerts,
        clock=unit.clock,
        announce=lambda info: None,
    )
    pass_hours(unit, stage._turn)
    message, hint = unit.told()["model"]
    assert "ridge.tflite cannot be read: No such file" in message
    assert hint == "trapd model list shows what is installed"
    assert not stage.model_ready
    shutil.copy(model_files.find("default", None), models / "ridge.tflite")
    with unit.bench.store.session() as session:
        unit.clock.advance(3600.0)
        stage._turn(session)
    assert unit.told() == {}
    assert stage.model_ready


def test_a_credential_that_is_missing_is_one_sentence_and_is_read_when_it_has_come(tmp_path: Path) -> None:
    password = tmp_path / "password"
    config = tmp_path / "config.yaml"
    config.write_text(
        f"unit: {{id: {UNIT}}}\n"
        f"mqtt: {{host: 127.0.0.1, port: 9, password_file: {password}, tls: {{enabled: false}}}}"
    )
    uplink = parts.build_uplink(load(config).settings)

    def reason() -> str:
        link = uplink.connect(None)
        event = None
        while event is None:
            event = link.next(0.1)
        link.close()
        assert isinstance(event, Lost | Connected)
        return event.reason if isinstance(event, Lost) else "connected"

    assert reason() == (
        f"the file of mqtt.password_file cannot be read: {password}: No such file or directory"
        " (check the path, its owner and its mode)"
    )
    password.write_text("open sesame\n")
    assert "nothing listens on 127.0.0.1:9" in reason()
