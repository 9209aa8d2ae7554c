"""`trapd doctor` on pins, LED, libraries, permissions, and the configuration in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.doctored import Unit
from tests.fakes.pins import Pins
from trapd.backends import lamp_gpiozero, sensor_gpiozero
from trapd.backends.camera_picamera2 import PicameraCamera
from trapd.doctor import machine
from trapd.errors import CameraInUse, CameraUnavailable, PinInUse, SensorUnavailable
from trapd.remote.files import ConfigFiles
from trapd.remote.ledger import Ledger, Overlay, Trial


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unit:
    """Nobody listens on its broker's port: that is only a warning."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return Unit(tmp_path, 1)


@pytest.fixture
def pins(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> Pins:
    """The unit has a PIR; its pins are gpiozero's own without hardware."""
    made = Pins()
    monkeypatch.setattr(sensor_gpiozero.GpioSensor.__init__, "__kwdefaults__", {"factory": made.open})
    monkeypatch.setattr(lamp_gpiozero.GpioLamp.__init__, "__kwdefaults__", {"factory": made.open})
    unit.change("sensor", backend="gpiozero", pins=[17, 22])
    return made


def test_the_level_of_each_pin_is_told(unit: Unit, pins: Pins) -> None:
    found = unit.findings()["sensor"]
    assert (found["ok"], found["warning"]) == (True, False)
    assert found["message"] == "gpiozero answers; pin 17 quiet now, pin 22 quiet now"
    pins.high(22)
    found = unit.findings()["sensor"]
    assert found["message"].endswith("pin 17 quiet now, pin 22 active now")
    assert "active_high" in found["hint"]


def test_a_pin_that_is_active_is_so_however_long_a_pulse_has_to_last(unit: Unit, pins: Pins) -> None:
    pins.high(22)
    unit.change("sensor", backend="gpiozero", pins=[17, 22], min_pulse_ms=5000)
    assert unit.findings()["sensor"]["message"].endswith("pin 17 quiet now, pin 22 active now")


def test_the_pins_are_the_daemons_while_it_runs(
    unit: Unit, pins: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins.fail = PinInUse("pin 17 is in use by lg", "end the other program")
    assert unit.findings()["sensor"]["ok"] is False
    monkeypatch.setattr("trapd.doctor.device.in_use", lambda root: root == unit.store)
    found = unit.findings()["sensor"]
    assert (found["ok"], found["warning"]) == (True, True)
    assert "systemctl stop trapd" in found["hint"]


@pytest.mark.parametrize("order", [[17, 27], [27, 17]])
def test_beside_the_daemon_a_pin_that_it_has_is_excused_and_a_pin_that_cannot_be_had_is_not(
    unit: Unit, pins: Pins, monkeypatch: pytest.MonkeyPatch, order: list[int]
) -> None:
    """Also where another pin is free: it may have been written into the file just now."""
    monkeypatch.setattr("trapd.doctor.device.in_use", lambda root: root == unit.store)
    unit.change("sensor", backend="gpiozero", pins=order)
    pins.factory.taken = {"GPIO17"}
    found = unit.findings()["sensor"]
    assert (found["ok"], found["warning"]) == (True, True)
    assert found["message"] == "the daemon has it (pin 17 is in use; the other pins go on)"

    def broken(value: float | None) -> None:
        raise OSError("broken")

    pins.factory.pin(27)._set_bounce = broken
    found = unit.findings()["sensor"]
    assert (found["ok"], found["message"]) == (False, "pin 27 cannot be used: broken")


def test_what_the_daemon_cannot_have_either_is_a_fault_beside_it(
    unit: Unit, pins: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera that is not connected is not "the daemon's"."""
    monkeypatch.setattr("trapd.doctor.device.in_use", lambda root: root == unit.store)
    pins.fail = SensorUnavailable("this machine has no GPIO chip", "use sensor.backend: timer")
    unit.change("camera", backend="picamera2", path=None)
    said: CameraUnavailable = CameraUnavailable("no camera is connected", "look at the cable")

    def fail(self: PicameraCamera) -> None:
        raise said

    monkeypatch.setattr(PicameraCamera, "open", fail)
    found = unit.findings()
    assert (found["sensor"]["ok"], found["sensor"]["message"]) == (False, "this machine has no GPIO chip")
    assert (found["camera"]["ok"], found["camera"]["message"]) == (False, "no camera is connected")
    unit.change("indicator", led_pin=27)
    assert unit.findings()["led"]["message"] == "this machine has no GPIO chip"
    said = CameraInUse("the camera is in use by another program", "stop it")
    assert unit.findings()["camera"]["ok"] is True


def test_the_led_is_lit_where_there_is_one(unit: Unit, pins: Pins) -> None:
    assert "led" not in unit.findings()
    unit.change("indicator", led_pin=27)
    assert unit.findings()["led"]["message"] == "pin 27 was lit for a moment"
    pins.fail = SensorUnavailable("pin 27 is in use", "end the other program")
    found = unit.findings()["led"]
    assert (found["ok"], found["warning"]) == (True, True)  # without it the unit works


def test_libraries_that_are_missing_come_with_their_packages(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    unit.change("sensor", backend="gpiozero")
    unit.change("camera", backend="picamera2", path=None)
    fault = unit.findings()["libraries"]
    assert fault["message"] == "not here: picamera2, gpiozero, lgpio"
    assert "apt install python3-picamera2 python3-gpiozero python3-lgpio" in fault["hint"]


def test_a_numpy_that_does_not_fit_the_systems_simplejpeg(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may do worse than raise: it is tried in a process of its own."""
    unit.change("camera", backend="picamera2", path=None)
    monkeypatch.setattr(machine, "find_spec", lambda name: object())
    broken = unit.folder / "broken"
    broken.mkdir()
    (broken / "simplejpeg.py").write_text("raise ValueError('numpy.dtype size changed')")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    fault = unit.findings()["numpy"]
    assert fault["ok"] is False
    assert fault["message"].endswith("do not fit: ValueError: numpy.dtype size changed")
    assert "pip install numpy==" in fault["hint"]
    (broken / "simplejpeg.py").write_text("import os; os.abort()")
    assert "it ended with -6" in unit.findings()["numpy"]["message"]
    (broken / "simplejpeg.py").write_text("")
    assert unit.findings()["numpy"]["ok"] is True


def test_a_device_that_this_user_may_not_use_names_the_group(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip = unit.folder / "dev" / "gpiochip0"
    chip.parent.mkdir()
    chip.write_bytes(b"")
    monkeypatch.setattr(machine, "_DEVICES", chip.parent)
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).startswith(str(chip)))
    monkeypatch.setattr(machine, "who_may", lambda device: "add the user that runs trapd to the group gpio")
    unit.change("sensor", backend="gpiozero")
    fault = unit.findings()["permissions"]
    assert fault["message"] == f"this user may not use {chip}"
    assert "group gpio" in fault["hint"]


def test_a_unit_that_cannot_be_rebooted_from_afar_is_only_told(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = unit.folder / "units"
    monkeypatch.setattr(machine, "_UNITS", (units,))
    assert unit.findings()["reboot"]["warning"] is True
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / "trapd-reboot.path").write_text("")
    assert "systemctl enable" in unit.findings()["reboot"]["hint"]
    (units / "multi-user.target.wants" / "trapd-reboot.path").write_text("")
    assert unit.findings()["reboot"]["warning"] is False


def test_the_configuration_in_force_is_looked_at(unit: Unit) -> None:
    """The committed one from afar lies over the local file."""
    unit.store.mkdir()
    overlay = Overlay(1, {"sensor": {"every_s": 7.0}}, "sha256:1")
    trial = Trial(overlay, Overlay(), "txn", 900.0, ())
    ConfigFiles(unit.store).promote(trial, Ledger(stored_version=1))
    assert unit.findings()["sensor"]["message"] == "timer answers, every 7 s"
