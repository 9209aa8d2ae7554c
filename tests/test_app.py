"""The composition root: what a configuration becomes, and a whole daemon in this process."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.camera import jpeg
from tests.fakes.classifier import FakeClassifier
from tests.fakes.clock import FakeClock
from trapd import app, parts
from trapd.backends.camera_replay import ReplayCamera
from trapd.backends.sensor_timer import TimerSensor
from trapd.config import Here, Loaded, load
from trapd.errors import CameraUnavailable, SensorUnavailable, StageFailed, StoreLocked
from trapd.host import notify
from trapd.host.notify import ServiceManager
from trapd.records import Event, FrameScore, Small, State
from trapd.remote.start import begin
from trapd.store import Session, Store

WITHIN_S = 30.0


@pytest.fixture
def closed_port() -> int:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def document(tmp_path: Path, closed_port: int) -> dict[str, Any]:
    """A unit of timer and replay, without a filter and without a broker."""
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for number in range(3):
        (photographs / f"{number}.jpg").write_bytes(jpeg(640, 360, shade=50 * number))
    return {
        "unit": {"id": "ridge-07"},
        "storage": {"path": str(tmp_path / "store"), "min_free_bytes": 1_000_000},
        "sensor": {"backend": "timer", "every_s": 0.05},
        "camera": {"backend": "replay", "path": str(photographs)},
        "burst": {"frames": 1, "interval_s": 0.0},
        "filter": {"backend": "none"},
        "mqtt": {"host": "127.0.0.1", "port": closed_port, "tls": {"enabled": False}},
    }


def loaded(document: dict[str, Any], **sections: dict[str, Any]) -> Loaded:
    path = Path(document["storage"]["path"]).with_name("config.yaml")
    path.write_text(yaml.safe_dump(document | {k: document.get(k, {}) | v for k, v in sections.items()}))
    return load(path)


# --- builders ----------------------------------------------------------------------------------------------


def test_the_backends_are_those_of_the_configuration(document: dict[str, Any]) -> None:
    settings = loaded(document).settings
    assert isinstance(parts.build_camera(settings, FakeClock()), ReplayCamera)
    assert isinstance(parts.build_sensor(settings, FakeClock()), TimerSensor)
    assert parts.configured_classifier(settings) is None
    assert parts.tells_of(settings) is None


def test_hardware_that_is_not_here_is_said_when_it_is_used(document: dict[str, Any]) -> None:
    """The unit stays up, and can be told what to do."""
    found = loaded(document, camera={"backend": "picamera2", "path": None}, sensor={"backend": "gpiozero"})
    settings = found.settings
    camera, sensor = parts.build_camera(settings, FakeClock()), parts.build_sensor(settings, FakeClock())
    with pytest.raises(CameraUnavailable, match="picamera2 is not installed") as no_camera:
        camera.open()
    with pytest.raises(SensorUnavailable, match=r"no GPIO chip|no permission|is not here") as no_sensor:
        sensor.start(lambda trigger: None)
    assert no_camera.value.hint
    assert no_sensor.value.hint
    assert sensor.active() == ()
    for part in (camera, sensor):
        part.close()


def test_only_a_sensor_with_a_level_warms_up_and_gets_stuck(document: dict[str, Any]) -> None:
    plan = parts.capture_plan(loaded(document, sensor={"backend": "gpiozero", "stuck_s": 30.0}))
    assert (plan.warmup_s, plan.stuck_s) == (60.0, 30.0)
    plan = parts.capture_plan(loaded(document, sensor={"backend": "timer"}))
    assert (plan.warmup_s, plan.stuck_s) == (0.0, None)


def test_there_is_a_lamp_only_where_one_is_configured(document: dict[str, Any]) -> None:
    assert parts.build_lamp(loaded(document).settings) is None
    assert parts.build_lamp(loaded(document, indicator={"led_pin": 27}).settings) is not None


@pytest.mark.parametrize("part", ["camera", "sensor"])
def test_the_advice_looks_for_a_backend_where_it_is_imported_from(part: str) -> None:
    """`trapd check` goes by the module's name, without asking the composition root."""
    for name, place in parts.BACKENDS.items():
        if name.startswith(f"{part}."):
            assert place.partition(":")[0] == f"trapd.backends.{name.replace('.', '_')}"


@pytest.mark.slow
def test_the_default_model_tells_no_classes(document: dict[str, Any]) -> None:
    assert parts.tells_of(loaded(document, filter={"backend": "tflite"}).settings) == frozenset()


# --- the daemon --------------------------------------------------------------------------------------------


class Daemon:
    """`app.run` on a thread, heard by a service manager."""

    def __init__(self, config: Loaded, ear: socket.socket, address: str) -> None:
        self.root = Path(config.settings.storage.path)
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._ear = ear
        self._heard: list[str] = []
        self._manager = ServiceManager({"NOTIFY_SOCKET": address})
        self._config = config
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            app.run(begin(self._config.path, Here()), stop=self.stop, manager=self._manager)
        except BaseException as error:
            self.error = error

    def heard(self) -> list[str]:
        """Every line that the manager was told."""
        self._ear.setblocking(False)
        try:
            while True:
                self._heard += self._ear.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self._heard

    def look(self) -> list[Event]:
        with Store.peek(self.root) as session:
            return session.events.page(limit=10_000)

    def until(self, condition: Callable[[], bool]) -> None:
        end_s = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < end_s
            assert self._thread.is_alive(), self.error
            threading.Event().wait(0.02)

    def join(self) -> None:
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()

    def end(self) -> None:
        self.stop.set()
        self.join()


@contextmanager
def running(config: Loaded) -> Iterator[Daemon]:
    address = str(config.path.with_name("notify"))
    Path(address).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address)
        daemon = Daemon(config, ear, address)
        try:
            daemon.until(lambda: "READY=1" in daemon.heard())
            yield daemon
        finally:
            daemon.end()


@contextmanager
def looking(config: Loaded) -> Iterator[Session]:
    with Store.peek(Path(config.settings.storage.path)) as session:
        yield session


def test_a_daemon_from_trigger_to_outbox_and_a_clean_end(document: dict[str, Any]) -> None:
    """Without a broker: everything waits, and the manager hears how it goes."""
    config = loaded(document)
    with running(config) as daemon:
        daemon.until(lambda: sum(event.state is State.KEPT for event in daemon.look()) >= 3)
        ready = daemon.heard().index("READY=1")
        daemon.until(lambda: "WATCHDOG=1" in daemon.heard()[ready:])
        daemon.end()
        assert daemon.error is None
        heard = daemon.heard()
    assert heard[0].startswith("EXTEND_TIMEOUT_USEC=")
    assert ready < heard.index("WATCHDOG=1", ready) < heard.index("STOPPING=1")
    assert any(line.startswith("STATUS=armed, no link, ") for line in heard)
    with looking(config) as session:
        assert {"event", "thumb", "state", "control"} <= set(session.outbox.depth())
        rows = {row.leaf: row.payload for row in session.outbox.next(10_000, max_bytes=10**9)}
        birth = json.loads(rows["birth"] or b"")
        assert (birth["unit"], birth["model"], birth["config"]) == ("ridge-07", None, config.hash)
        assert json.loads(rows["state"] or b"")["online"] == 0
        event = session.events.newest()
        assert event is not None
        assert event.config == config.hash
    assert_clean(config, True)


def assert_clean(config: Loaded, clean: bool) -> None:
    """What the next start finds."""
    root = Path(config.settings.storage.path)
    store = Store.open(root, "ridge-07", clock=FakeClock(), max_bytes=10**9, min_free_bytes=0)
    assert store.recovered.clean is clean
    store.close(clean=True)


def test_a_second_one_on_the_same_store_is_refused(document: dict[str, Any]) -> None:
    config = loaded(document)
    with running(config), pytest.raises(StoreLocked):
        app.run(begin(config.path, Here()), stop=threading.Event(), manager=ServiceManager({}))


def test_missing_parts_are_alerts_and_the_unit_is_up(document: dict[str, Any]) -> None:
    config = loaded(
        document,
        camera={"backend": "picamera2", "path": None},
        sensor={"backend": "gpiozero"},
        filter={"backend": "tflite", "model": "not-there"},
    )
    with running(config) as daemon:
        daemon.until(lambda: _alerts(config) == {"camera", "sensor", "model"})
        daemon.end()
        assert daemon.error is None


def test_the_status_line_names_what_is_missing_and_does_not_claim_to_be_armed() -> None:
    facts = {"online": False, "bursts": 0, "queue_event": 2, "armed": 1}
    told = app._status_line(facts, ("camera", "sensor"))
    assert told == "no camera and no sensor, no link, events waiting: 2, bursts: 0; alerts: camera, sensor"
    facts = {"online": True, "bursts": 3, "armed": 1}
    assert app._status_line(facts, ()) == "armed, link up, events waiting: 0, bursts: 3"
    assert app._status_line(facts | {"armed": 0}, ()).startswith("disarmed, link up")


def _alerts(config: Loaded) -> set[str]:
    with looking(config) as session:
        return {leaf.removeprefix("alert/") for leaf in list(session.outbox.retained("alert/"))}


def test_alerts_of_the_life_before_are_over(document: dict[str, Any]) -> None:
    with running(loaded(document, sensor={"backend": "gpiozero"})) as daemon:
        daemon.until(lambda: _alerts(daemon._config) == {"sensor"})
    config = loaded(document)
    with running(config) as daemon:
        daemon.until(lambda: len(daemon.look()) >= 1)
        assert _alerts(config) == set()


def test_a_database_that_was_damaged_is_an_alert_and_nothing_is_lost(document: dict[str, Any]) -> None:
    config = loaded(document)
    with running(config) as daemon:
        daemon.until(lambda: len(daemon.look()) >= 2)
    root = Path(config.settings.storage.path)
    with looking(config) as session:
        before, epoch = {event.id for event in session.events.page(limit=1000)}, session.epoch
    (root / "trapd.db").write_bytes(b"no database any more" * 1000)
    for rest in root.glob("trapd.db-*"):
        rest.unlink()
    with running(config) as daemon:
        daemon.until(lambda: _alerts(config) == {"store"})
        assert before <= {event.id for event in daemon.look()}
        with looking(config) as session:
            assert session.epoch != epoch
    assert len(list(root.glob("trapd.db.damaged-*"))) == 1


def test_the_manager_hears_of_a_long_start_all_the_while(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would end a rebuild that takes longer than the start time-out, again and again."""
    config = loaded(document)
    with running(config) as daemon:
        daemon.until(lambda: len(daemon.look()) >= 5)
    photographs = list((daemon.root / "media").glob("*/*.jpg"))
    (daemon.root / "trapd.db").unlink()
    monkeypatch.setattr(notify, "_STARTING_EVERY_S", 0.0)  # every step is heard
    with running(config) as daemon:
        heard = daemon.heard()
    before = heard[: heard.index("READY=1")]
    extended = [line for line in before if line.startswith("EXTEND_TIMEOUT_USEC=")]
    assert len(extended) > 3 * len(photographs)  # listed, read, adopted
    assert before.count("WATCHDOG=1") == len(extended)


class Broken(FakeClassifier):
    """A model that breaks its promise: what it raises is none of trapd's errors."""

    def judge(self, picture: Small | bytes) -> FrameScore:
        raise ValueError("cannot reshape")


def test_a_stage_that_fails_ends_the_daemon_and_the_next_start_knows(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = loaded(document)
    monkeypatch.setattr(parts, "configured_classifier", lambda settings: Broken())
    with running(config) as daemon:
        daemon.join()
        assert isinstance(daemon.error, StageFailed)
        assert isinstance(daemon.error.__cause__, ValueError)
        assert "stage screen failed" in str(daemon.error)
    assert_clean(config, False)
