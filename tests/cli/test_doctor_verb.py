"""`trapd doctor`: every part is looked at, each fault says what to do, nothing is left behind."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.doctored import PARTS, Broker, Unit
from tests.fakes.clock import FakeClock
from trapd import doctor as doctor_module
from trapd.config import load
from trapd.doctor import link
from trapd.doctor.link import of_answer
from trapd.errors import ConfigurationError
from trapd.store import Store


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture
def port(broker: Broker) -> int:
    return broker.port


@pytest.fixture
def closed_port() -> int:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def unit(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Unit:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(link, "CREDSTORES", (tmp_path / "credstore",))
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


def test_the_password_that_systemd_hands_to_the_unit_is_the_visitors_too(unit: Unit, broker: Broker) -> None:
    """Root may read it; to the unit it comes another way."""
    store = unit.folder / "credstore"
    store.mkdir()
    (store / "trapd.mqtt-password").write_text("open-sesame\n")
    assert unit.findings()["credential"]["message"] == "the broker password can be read"
    assert b"open-sesame" in broker.told[0]


@pytest.mark.parametrize("reason", [0x86, 0x87])
def test_a_refusal_for_lack_of_a_password_that_only_root_may_read_is_no_fault(
    unit: Unit, broker: Broker, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    """Run as the unit's user: systemd's folder of credentials is closed to it."""
    (unit.folder / "credstore").mkdir()
    monkeypatch.setattr(link, "_may_look", lambda path: False)
    broker.reason = reason
    assert unit.doctor("--json").exit_code == 0
    findings = unit.findings()
    for name in ("credential", "broker"):
        assert "sudo trapd doctor" in findings[name]["hint"]
    assert findings["broker"]["warning"]


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
