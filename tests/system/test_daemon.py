"""The whole daemon with real parts: what an operator's receiver gets, and what breaking it does."""

from __future__ import annotations

import hashlib
import io
import json
import random
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.brokers import Listener
from tests.system.conftest import Broker
from tests.system.daemon import BASE, WITHIN_S, Daemon, Heard, end, quietly, until
from trapd.demo.broker import MosquittoBroker
from trapd.demo.gate import Gate
from trapd.records import Event, State

pytestmark = pytest.mark.slow

EVENT_FIELDS = [
    "v", "id", "unit", "epoch", "seq", "n", "ts", "ts_quality", "boot_id", "mono_ms", "trigger", "verdict",
    "score", "audit", "detections", "filter", "frames", "media", "config", "env",
]  # fmt: skip


def test_the_main_job(daemon: Daemon, heard: Heard) -> None:
    """Triggers to receiver: every field of the contract, every file as it is described, a clean end."""
    daemon.start()
    until(lambda: len(heard.take().events) >= 6 and len(daemon.events()) >= 12, "six events")
    assert daemon.stop() == 0
    quietly(daemon)
    until(daemon.drained, "what was left")
    assert daemon.stop() == 0
    until(lambda: heard.take().leaves["availability"][-1] == b"stopped", "the goodbye, which goes last")
    stored = daemon.events()
    heard.assert_nothing_lost(stored)
    assert [event.seq for event in stored] == list(range(1, len(stored) + 1))
    assert any(event.state is State.DISCARDED for event in stored)
    for event in heard.events:
        assert list(event) == EVENT_FIELDS
        assert event["verdict"] == "unclassified" or event["audit"]
        assert event["trigger"] == {"source": "timer", "sensor": "timer"}
        # The stop may have come within the last burst: what there is of it is kept.
        assert (
            event["frames"] == len(event["media"]) == (3 if event["seq"] < len(stored) else event["frames"])
        )
        assert 1 <= event["frames"] <= 3
        assert event["filter"]["model"] == "default"
        assert event["filter"]["ms"] >= 0
        _photographs_are_as_described(daemon, event)
        thumb = heard.leaves[f"thumb/{event['id']}"][0]
        assert len(thumb) <= 24576
        with Image.open(io.BytesIO(thumb)) as picture:
            picture.load()
            assert picture.format == "JPEG"
    assert heard.leaves["availability"][0] == b"online"
    assert heard.leaves["availability"][-1] == b"stopped"
    assert json.loads(heard.leaves["birth"][-1])["model"]["name"] == "default"
    state = json.loads(heard.leaves["state"][-1])
    assert all(isinstance(value, int | float | str) for value in state.values())


def _photographs_are_as_described(daemon: Daemon, event: dict[str, Any]) -> None:
    for medium in event["media"]:
        (path,) = (daemon.root / "media").glob(
            f"*/*{event['epoch']}-{event['seq']:06d}_{medium['id'][-1]}.jpg"
        )
        data = path.read_bytes()
        assert len(data) == medium["bytes"]
        assert hashlib.sha256(data).hexdigest() == medium["sha256"]
        with Image.open(path) as picture:
            assert picture.size == (medium["width"], medium["height"])
            exif = picture.getexif()
            assert exif.get_ifd(0x8769)[0xA420].strip("\0") == medium["id"]


@pytest.mark.parametrize("outage_s", [20.0])
def test_a_broker_that_is_away_loses_nothing(
    tmp_path: Path, photographs: Path, outage_s: float, request: pytest.FixtureRequest
) -> None:
    """The unit starts without a broker, and goes on for 20 s of triggers; all arrives after.

    The embedded broker throws away what nobody subscribes to and says it took it: the gate lets the unit in
    once the receiver is there.
    """
    broker: Broker = request.getfixturevalue("embedded")
    broker.stop()
    gate = Gate(0, broker.port)
    daemon = Daemon(tmp_path, photographs, gate.port)
    listener = None
    try:
        daemon.start()
        began_s = time.monotonic()
        until(lambda: time.monotonic() - began_s > outage_s, "the outage")
        until(lambda: len(_kept(daemon)) > 10, "events that wait")
        waiting = _kept(daemon)
        broker.start()
        listener = Listener(broker.port, f"{BASE}/#")
        heard = Heard(listener)
        gate.open()
        until(lambda: len(heard.take().events) >= len(waiting), "the catch-up")
        end(daemon, heard)
    finally:
        daemon.close()
        if listener is not None:
            listener.close()
        gate.close()


def _kept(daemon: Daemon) -> list[Event]:
    return [event for event in daemon.events() if event.state is State.KEPT]


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
def test_kill_nine_at_random_loses_nothing(daemon: Daemon, heard: Heard) -> None:
    """Ten times, at any moment of its work; then one quiet run to hand over what is left.

    Before Mosquitto it is killed far more often: test_kills.
    """
    draw = random.Random(7)
    for _ in range(10):
        daemon.start()
        before = len(daemon.events())
        until(lambda: len(daemon.events()) > before + 1, "a burst of this life")  # noqa: B023 - used at once
        time.sleep(draw.uniform(0.0, 1.0))
        daemon.kill()
    before = len(daemon.events())
    daemon.start()
    until(lambda: len(daemon.events()) > before, "a burst of the last life")
    end(daemon, heard)
    stored = daemon.events()
    assert len(stored) >= 20
    assert not any((daemon.root / "tmp").iterdir())
    rows = {medium.path for event in stored for medium in event.media}
    files = {str(path.relative_to(daemon.root)) for path in (daemon.root / "media").rglob("*.jpg")}
    assert files == rows


def test_a_second_daemon_on_the_same_store_is_refused_in_one_sentence(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start()
    until(lambda: len(daemon.events()) > 0, "a first burst")
    second = Daemon(tmp_path, tmp_path, 1)
    second.config.write_text(daemon.config.read_text())
    second.start()
    assert second.process is not None
    assert second.process.wait(WITHIN_S) == 1
    assert len([line for line in second.log.read_text().splitlines() if line]) == 1
    assert daemon.stop() == 0


def test_the_service_manager_hears_ready_and_watchdog(daemon: Daemon, tmp_path: Path) -> None:
    # Without a filter: a stop while its library is being imported takes, on a slow machine, too long.
    daemon.configure(filter={"backend": "none"})
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(path))
        ear.settimeout(WITHIN_S)
        daemon.start({"NOTIFY_SOCKET": str(path)})
        seen = b""
        # Opening the store feeds the watchdog too; what counts here is what comes after.
        while b"READY=1" not in seen or b"WATCHDOG=1" not in seen.partition(b"READY=1")[2]:
            seen += ear.recv(4096) + b"\n"
        assert daemon.stop() == 0
        rest = b""
        while b"STOPPING=1" not in rest:
            rest += ear.recv(4096)


@pytest.mark.rig
def test_nobody_subscribed_is_not_taken_for_delivered(
    mosquitto: MosquittoBroker, tmp_path: Path, photographs: Path
) -> None:
    """MQTT 5 says so with 0x10; the rows stay until a receiver is there."""
    daemon = Daemon(tmp_path, photographs, mosquitto.port)
    try:
        daemon.start()
        until(lambda: sum(event.state is State.KEPT for event in daemon.events()) >= 3, "three events")
        assert not any(event.state is State.DELIVERED for event in daemon.events())
        listener = Listener(mosquitto.port, f"{BASE}/#")
        heard = Heard(listener)
        until(lambda: heard.take() is not None and len(heard.events) >= 3, "the probe and what follows it")
        end(daemon, heard)
        listener.close()
    finally:
        daemon.close()


@pytest.mark.parametrize(
    ("sections", "alert"),
    [
        # Without a filter: a stop while its library is being imported takes, on a slow machine, too long.
        ({"camera": {"backend": "picamera2"}, "filter": {"backend": "none"}}, "camera"),
        ({"sensor": {"backend": "gpiozero"}, "filter": {"backend": "none"}}, "sensor"),
        ({"filter": {"model": "not-there"}}, "model"),
    ],
)
def test_a_missing_part_is_an_alert_and_no_end(
    broker: Broker,
    heard: Heard,
    tmp_path: Path,
    photographs: Path,
    sections: dict[str, dict[str, str]],
    alert: str,
) -> None:
    daemon = Daemon(tmp_path, photographs, broker.port, **sections)
    try:
        daemon.start()
        until(lambda: f"alert/{alert}" in heard.take().leaves, f"alert/{alert}")
        document = json.loads(heard.leaves[f"alert/{alert}"][-1])
        assert set(document) == {"since", "message", "hint"}
        if alert == "model":
            until(lambda: len(heard.take().events) >= 2, "events kept unjudged")
            assert {event["verdict"] for event in heard.events} == {"unknown"}
        assert daemon.stop() == 0
    finally:
        daemon.close()


def test_a_stop_does_not_wait_for_a_camera_that_hangs(daemon: Daemon, heard: Heard, tmp_path: Path) -> None:
    """Its library hangs while it is imported; all else ends in order."""
    modules, begun = tmp_path / "modules", tmp_path / "begun"
    modules.mkdir()
    (modules / "picamera2.py").write_text(
        f"import pathlib, threading\npathlib.Path({str(begun)!r}).touch()\nthreading.Event().wait()\n"
    )
    daemon.configure(camera={"backend": "picamera2"})
    daemon.start({"PYTHONPATH": str(modules)})
    until(begun.exists, "the camera's library")
    until(lambda: b"online" in heard.take().leaves.get("availability", []), "a link")
    began_s = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began_s < 10
    until(lambda: heard.take().leaves["availability"][-1] == b"stopped", "its last word")
