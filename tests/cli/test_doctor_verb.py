"""`trapd doctor`: every part is looked at, each fault says what to do, nothing is left behind."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.fakes.camera import jpeg
from tests.fakes.clock import FakeClock
from tests.fakes.pins import Pins
from trapd import doctor as doctor_module
from trapd.backends import lamp_gpiozero, sensor_gpiozero
from trapd.cli import cli
from trapd.config import load
from trapd.doctor import machine
from trapd.doctor.link import of_answer
from trapd.errors import ConfigurationError, SensorUnavailable
from trapd.remote.files import ConfigFiles
from trapd.remote.ledger import Ledger, Overlay, Trial
from trapd.store import Store

PARTS = [
    "storage", "disk", "clock", "libraries", "numpy", "permissions", "filter", "camera", "sensor", "reboot",
    "credential", "broker",
]  # fmt: skip


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture
def port(broker: Broker) -> int:
    return broker.port


class Broker:
    """Answers each CONNECT with `reason`, and notes what else it was told until the end of the line."""

    def __init__(self) -> None:
        self.reason = 0x00
        self.told: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Broker:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listening.accept()
                with line, suppress(OSError):
                    line.settimeout(20)
                    self.told.append(line.recv(65536))
                    line.sendall(b"\x20\x03\x00" + bytes((self.reason, 0)))
                    while more := line.recv(65536):
                        self.told.append(more)


@pytest.fixture
def closed_port() -> int:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Unit:
    """A configuration with a replay camera, a timer and no filter."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.photographs = folder / "photographs"
        self.photographs.mkdir()
        (self.photographs / "1.jpg").write_bytes(jpeg(640, 360))
        self.document: dict[str, Any] = {
            "unit": {"id": "ridge-07"},
            "storage": {"path": str(self.store), "min_free_bytes": 1_000_000},
            "sensor": {"backend": "timer"},
            "camera": {"backend": "replay", "path": str(self.photographs)},
            "filter": {"backend": "none"},
            "mqtt": {"host": "127.0.0.1", "port": port, "tls": {"enabled": False}},
        }

    def change(self, section: str, **keys: Any) -> None:
        self.document[section] = self.document.get(section, {}) | keys

    def doctor(self, *options: str) -> Result:
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.document))
        return CliRunner(catch_exceptions=False).invoke(cli, ["doctor", "--config", str(path), *options])

    def findings(self) -> dict[str, dict[str, Any]]:
        """By name, but for what the configuration itself is warned of."""
        found = json.loads(self.doctor("--json").output)["findings"]
        return {finding["name"]: finding for finding in found if finding["name"] != "configuration"}

    def fault(self, part: str) -> dict[str, Any]:
        """The one finding that is not well, which is that of `part`."""
        assert self.doctor("--json").exit_code == 1
        (fault,) = [finding for finding in self.findings().values() if not finding["ok"]]
        assert fault["name"] == part
        return fault


@pytest.fixture
def unit(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Unit:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return Unit(tmp_path, port)


def test_a_unit_that_would_work(unit: Unit) -> None:
    result = unit.doctor("--json")
    document = json.loads(result.output)
    assert (result.exit_code, document["ok"]) == (0, True)
    assert set(document) == {"ok", "findings"}
    for finding in document["findings"]:
        assert set(finding) == {"name", "ok", "message", "hint", "warning"}
        assert finding["ok"] is True
        assert finding["message"]
    names = [finding["name"] for finding in document["findings"]]
    assert [name for name in names if name != "configuration"] == PARTS
    assert "mqtt.tls.enabled" in document["findings"][0]["message"]  # what `check` would warn of
    assert unit.findings()["camera"]["message"] == "gave a frame of 640 x 360"


def test_for_people_a_line_each(unit: Unit) -> None:
    result = unit.doctor()
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert [line[1] for line in lines if line[1] != "configuration"] == PARTS
    marks = {line[1]: line[0] for line in lines if line[1] != "reboot"}
    assert marks == dict.fromkeys(set(PARTS) - {"reboot"}, "ok") | {"configuration": "warn"}


def test_nothing_is_left_behind(unit: Unit) -> None:
    before = sorted(unit.folder.rglob("*"))
    unit.doctor()
    assert sorted(unit.folder.rglob("*")) == sorted([*before, unit.folder / "config.yaml"])
    unit.store.mkdir()
    unit.doctor()
    assert list(unit.store.iterdir()) == []


def test_beside_a_running_daemon(unit: Unit) -> None:
    """It has the store's lock, and keeps it."""
    store = Store.open(unit.store, "ridge-07", clock=FakeClock(), max_bytes=10**9, min_free_bytes=0)
    try:
        before = sorted(unit.store.rglob("*"))
        assert unit.doctor("--json").exit_code == 0
        assert sorted(unit.store.rglob("*")) == before
    finally:
        store.close(clean=True)


def test_the_broker_takes_a_visitor_of_another_name(unit: Unit, broker: Broker) -> None:
    """Under the unit's own name it would throw out the daemon. No session is kept, and no will is left."""
    found = unit.findings()["broker"]
    assert (found["ok"], found["warning"]) == (True, False)
    assert found["message"] == f"127.0.0.1:{broker.port} takes the unit"
    connect, goodbye = broker.told
    assert b"trapd-ridge-07-doctor" in connect
    flags = connect[9]  # after the fixed header, "MQTT" and the version
    assert flags & 0x02  # clean start
    assert not flags & 0x04  # no will
    assert goodbye[0] == 0xE0  # DISCONNECT


def test_a_visitor_of_3_1_1_keeps_no_session_either(unit: Unit, broker: Broker) -> None:
    unit.change("mqtt", protocol="3.1.1")
    unit.findings()
    assert broker.told[0][9] & 0x02  # clean session


@pytest.mark.parametrize(
    ("reason", "message", "hint"),
    [
        (0x86, "the broker does not accept user name or password", "mqtt.password_file"),
        (0x87, "the broker does not authorise this unit", "ACL"),
        (0x84, "the broker does not speak this version of MQTT", "mqtt.protocol"),
        (0x8A, "the broker has banned this unit", "ask who runs the broker"),
    ],
)
def test_a_broker_that_refuses_the_unit(
    unit: Unit, broker: Broker, reason: int, message: str, hint: str
) -> None:
    broker.reason = reason
    fault = unit.fault("broker")
    assert fault["message"] == message
    assert hint in fault["hint"]


@pytest.mark.parametrize(
    ("reason", "hint"), [(0x88, "delivers later"), (0x89, "delivers later"), (0x85, "ends in -doctor")]
)
def test_a_refusal_that_does_not_speak_of_the_unit(
    unit: Unit, broker: Broker, reason: int, hint: str
) -> None:
    """The broker is busy, or takes only ids that it knows: the daemon may well be taken."""
    broker.reason = reason
    assert unit.doctor("--json").exit_code == 0
    found = unit.findings()["broker"]
    assert (found["ok"], found["warning"]) == (True, True)
    assert hint in found["hint"]


def test_a_broker_that_is_not_there_is_no_fault_of_the_units(unit: Unit, closed_port: int) -> None:
    unit.change("mqtt", port=closed_port)
    result = unit.doctor()
    assert result.exit_code == 0
    line = result.output.splitlines()[-1]
    assert line.startswith(f"warn broker         nothing listens on 127.0.0.1:{closed_port}")
    assert "delivers later" in line


def test_what_does_not_answer_in_time_may_later() -> None:
    found = of_answer(None, "b:8883")
    assert (found.ok, found.warning, found.message) == (True, True, "b:8883 does not answer")


def test_a_broker_that_speaks_no_tls(unit: Unit) -> None:
    with hanging_up() as port:
        unit.change("mqtt", port=port, tls={"enabled": True})
        assert "mqtt.tls.enabled" in unit.fault("broker")["message"]


@contextmanager
def hanging_up() -> Iterator[int]:
    """A server that takes a connection and closes it on the first bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    line.recv(10)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(20)


@pytest.mark.parametrize("content", [None, b"no PEM at all"])
def test_a_ca_file_that_cannot_be_used(unit: Unit, content: bytes | None) -> None:
    """It is the file's fault and not the broker's."""
    path = unit.folder / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    unit.change("mqtt", tls={"enabled": True, "ca_file": str(path)})
    fault = unit.fault("broker")
    assert fault["message"].startswith(f"CA file {path} cannot be used")


def test_a_name_that_is_none_does_not_end_the_others(unit: Unit) -> None:
    unit.change("mqtt", host="ridge..example")
    assert "ridge..example" in unit.fault("broker")["message"]


def test_photographs_that_are_not_there(unit: Unit) -> None:
    unit.change("camera", path=str(unit.folder / "none"))
    assert "camera.path" in unit.fault("camera")["hint"]


def test_hardware_that_is_not_there(unit: Unit) -> None:
    """The libraries of a Pi are missing here."""
    unit.change("sensor", backend="gpiozero")
    unit.change("camera", backend="picamera2", path=None)
    assert unit.doctor("--json").exit_code == 1
    findings = unit.findings()
    bad = [name for name in PARTS if not findings[name]["ok"]]
    assert bad == ["libraries", "camera", "sensor"]
    for name in bad:
        assert findings[name]["hint"]
        assert "trapd doctor" not in findings[name]["hint"]  # it is the one who says it


def test_a_model_that_is_not_there(unit: Unit) -> None:
    unit.change("filter", backend="tflite", model="not-there")
    assert "not-there" in unit.fault("filter")["message"]


@pytest.mark.slow
def test_the_default_model(unit: Unit) -> None:
    unit.change("filter", backend="tflite")
    assert "model default passes its self-test" in unit.findings()["filter"]["message"]


def test_a_password_that_cannot_be_read(unit: Unit) -> None:
    """One fault, not two: the broker is not asked without it."""
    unit.change("mqtt", password_file=str(unit.folder / "none"))
    assert "password_file" in unit.fault("credential")["message"]
    assert "not asked" in unit.findings()["broker"]["message"]


def test_a_password_is_never_shown(unit: Unit) -> None:
    secret = unit.folder / "password"
    secret.write_text("open-sesame\n")
    unit.change("mqtt", password_file=str(secret))
    result = unit.doctor("--json")
    assert result.exit_code == 0
    assert "open-sesame" not in result.output


def test_a_disk_without_room(unit: Unit) -> None:
    unit.change("storage", min_free_bytes=10**15)
    assert "free some space" in unit.fault("disk")["hint"]


def test_a_quota_beyond_the_disk_is_only_said(unit: Unit) -> None:
    unit.change("storage", max_bytes=10**15)
    assert unit.findings()["disk"]["ok"] is True
    assert "more than the disk" in unit.findings()["disk"]["hint"]


def test_a_storage_path_that_is_a_file(unit: Unit) -> None:
    unit.store.write_bytes(b"")
    assert unit.fault("storage")["message"] == f"{unit.store} cannot be written: Not a directory"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux has such a folder")
def test_a_folder_that_takes_no_entry_whatever_its_permissions_say(unit: Unit) -> None:
    """os.access grants root everything, also in a folder of the kernel's."""
    unit.change("storage", path="/proc/trapd/store", min_free_bytes=1_000_000)
    assert unit.doctor("--json").exit_code == 1
    found = unit.findings()["storage"]
    assert found["ok"] is False
    assert found["message"].startswith("/proc cannot be written: ")


def test_a_part_that_breaks_the_looking_is_a_finding_too(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(settings: object) -> doctor_module.Finding:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setitem(doctor_module.LOOKS, "clock", broken)
    fault = unit.fault("clock")
    assert fault["message"] == "ZeroDivisionError: division by zero"
    assert list(unit.findings()) == PARTS


def test_a_configuration_that_cannot_be_used_is_not_doctored(unit: Unit) -> None:
    unit.document["mqtt"] = {}
    with pytest.raises(ConfigurationError):
        unit.doctor()


def test_each_finding_comes_as_soon_as_it_is_there(unit: Unit) -> None:
    """Looking for a broker may take ten seconds; what is known is told before."""
    unit.doctor()
    findings = doctor_module.examine(load(unit.folder / "config.yaml"))
    assert next(findings).name == "configuration"


# --- the machine -------------------------------------------------------------------------------------------


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


def test_the_pins_are_the_daemons_while_it_runs(
    unit: Unit, pins: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins.fail = SensorUnavailable("pin 17 is in use by lg", "end the other program")
    assert unit.findings()["sensor"]["ok"] is False
    monkeypatch.setattr("trapd.doctor.device.in_use", lambda root: root == unit.store)
    found = unit.findings()["sensor"]
    assert (found["ok"], found["warning"]) == (True, True)
    assert "systemctl stop trapd" in found["hint"]


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
