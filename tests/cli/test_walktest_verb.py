"""`trapd walktest`: every trigger with its verdict, nothing published, nothing kept."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.fakes.camera import jpeg
from tests.fakes.clock import FakeClock
from tests.fakes.pins import Pins
from trapd.backends import lamp_gpiozero, sensor_gpiozero
from trapd.config import load
from trapd.errors import CameraLost
from trapd.stages.capture.camera_watch import CameraWatch
from trapd.store import Store
from trapd.walktest import Step, Summary, walk

WITHIN_S = 180.0
ROOT = Path(__file__).resolve().parents[2]


class Unit:
    """A configuration with replay and no filter; a timer, until a test gives it pins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.photographs = folder / "photographs"
        self.photographs.mkdir()
        (self.photographs / "1.jpg").write_bytes(jpeg(640, 360))
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.document: dict[str, Any] = {
            "unit": {"id": "ridge-07"},
            "storage": {"path": str(self.store), "min_free_bytes": 1_000_000},
            "sensor": {"backend": "timer", "every_s": 0.2},
            "camera": {"backend": "replay", "path": str(self.photographs)},
            "burst": {"frames": 1},
            "filter": {"backend": "none"},
            "mqtt": {"host": "127.0.0.1", "port": 1, "tls": {"enabled": False}},
        }

    def file(self) -> Path:
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.document))
        return path

    def command(self, *options: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "trapd", "walktest", "--config", str(self.file()), *options]
        return subprocess.Popen(
            words,
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


def test_each_trigger_is_a_line_and_ctrl_c_ends_it_with_a_summary(unit: Unit) -> None:
    with unit.command("--json") as process:
        assert process.stdout is not None
        lines: list[dict[str, Any]] = []
        while len(lines) < 3:
            told = json.loads(process.stdout.readline())
            lines += [told] if "verdict" in told else []  # on a slow machine a beat may come too early
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0
    for line in lines:
        assert set(line) == {"ts", "sensor", "source", "frames", "verdict", "score", "kept", "ms"}
        assert (line["sensor"], line["frames"]) == ("timer", 1)
        assert (line["verdict"], line["kept"]) == ("unknown", True)
    *more, last = [json.loads(line) for line in rest.splitlines()]
    summary = last["summary"]
    bursts = 3 + sum("verdict" in line for line in more)
    assert summary["bursts"] == summary["kept"] == summary["unjudged"] == bursts
    assert (summary["discarded"], summary["alerts"]) == (0, [])


def test_the_verdict_is_the_daemons_own_also_where_nothing_can_be_seen(unit: Unit) -> None:
    """A lens that is covered: for the model alone such a burst is empty, for the unit it is not."""
    unit.document["filter"] = {"backend": "tflite"}
    out = io.BytesIO()
    Image.new("RGB", (640, 360)).save(out, "JPEG")
    (unit.photographs / "1.jpg").write_bytes(out.getvalue())
    with unit.command("--json") as process:
        assert process.stdout is not None
        told: dict[str, Any] = {}
        while "verdict" not in told:
            told = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WITHIN_S)
    assert (told["verdict"], told["kept"]) == ("unknown", True)


def test_nothing_is_left_behind(unit: Unit) -> None:
    with unit.command("--seconds", "2") as process:
        out, err = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, err) == (0, "")
    assert "would be sent" in out
    assert re.search(r"\bbursts? in ", out.splitlines()[-1])
    assert list(unit.temporary.iterdir()) == []
    assert not unit.store.exists()


def test_it_refuses_kindly_beside_a_daemon(unit: Unit) -> None:
    store = Store.open(unit.store, "ridge-07", clock=FakeClock(), max_bytes=10**9, min_free_bytes=0)
    try:
        with unit.command("--seconds", "2") as process:
            out, err = process.communicate(timeout=WITHIN_S)
    finally:
        store.close(clean=True)
    assert (process.returncode, out) == (1, "")  # nobody is asked to walk
    assert "systemctl stop trapd" in err
    assert err.count("\n") == 1


def test_a_camera_that_is_missing_to_the_end_is_no_success(unit: Unit) -> None:
    unit.document["camera"]["path"] = str(unit.folder / "none")
    with unit.command("--json") as process:
        assert process.stdout is not None
        told: dict[str, Any] = {}
        while told.get("refused") != "camera":
            told = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 1
    told = json.loads(out.splitlines()[-1])["summary"]
    assert told["alerts"] == ["camera"]
    assert told["refused"]["camera"] >= 1
    assert "camera.path" in err


def test_a_configuration_that_cannot_be_used_ends_with_78(unit: Unit) -> None:
    unit.document["sensor"]["backend"] = "pir"
    with unit.command() as process:
        process.communicate(timeout=WITHIN_S)
    assert process.returncode == 78


class Walk:
    """A walk on pins without hardware; `steps` as they are told."""

    def __init__(self, unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pins = Pins()
        for backend in (sensor_gpiozero.GpioSensor, lamp_gpiozero.GpioLamp):
            monkeypatch.setattr(backend.__init__, "__kwdefaults__", {"factory": self.pins.open})
        unit.document["sensor"] = {"backend": "gpiozero", "pins": [17], "warmup_s": 0}
        unit.document["indicator"] = {"led_pin": 27}
        self.steps: list[Step] = []
        self.lit: list[bool] = []
        self._news = threading.Event()
        self._stop = threading.Event()
        self._summary: list[Summary] = []
        loaded = load(unit.file())

        def run() -> None:
            self._summary.append(walk(loaded, stop=self._stop, tell=self._tell))

        self._thread = threading.Thread(target=run)

    def _tell(self, step: Step) -> None:
        self.steps.append(step)
        self._news.set()

    def begin(self) -> None:
        self._thread.start()
        end = threading.Event()
        for _ in range(600):
            if self.pins.opened >= 2:  # LED and sensor
                return
            end.wait(0.1)
        raise AssertionError("the sensor was not started")

    def next(self) -> Step:
        assert self._news.wait(WITHIN_S)
        self._news.clear()
        return self.steps[-1]

    def led_was_lit(self) -> bool:
        """It looks a few times a second."""
        pause = threading.Event()
        for _ in range(100):
            if any(state.state for state in self.pins.factory.pin(27).states):
                return True
            pause.wait(0.1)
        return False

    def end(self) -> Summary:
        self._stop.set()
        return self.ended()

    def ended(self) -> Summary:
        """Whoever ends it."""
        self._thread.join(WITHIN_S)
        return self._summary[0]


def test_a_walk_before_the_pir(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two passes, each a burst; the LED is lit meanwhile, and the photographs are gone."""
    taken = Walk(unit, monkeypatch)
    taken.begin()
    taken.pins.factory.pin(27).clear_states()
    for _ in range(2):
        taken.pins.pulse(17)
        event = taken.next().event
        assert event is not None
        assert (event.trigger.source, event.trigger.sensor) == ("pir", "17")
    was_lit = taken.led_was_lit()
    summary = taken.end()
    assert was_lit
    assert (summary.bursts, summary.kept, summary.refused) == (2, 2, {})


def test_what_is_refused_is_told_with_its_reason(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    unit.document["trigger"] = {"cooldown_s": 3600.0}
    taken = Walk(unit, monkeypatch)
    taken.begin()
    taken.pins.pulse(17)
    taken.next()
    taken.pins.pulse(17)
    assert taken.next() == Step(refused="cooldown")
    assert taken.end().refused == {"cooldown": 1}


def test_a_camera_that_is_lost_ends_the_walk_and_the_summary_comes_all_the_same(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(self: CameraWatch, session: object) -> None:
        raise CameraLost("the camera failed: no frame; then, opened anew: no frame", "look at the cable")

    taken = Walk(unit, monkeypatch)
    taken.begin()
    taken.pins.pulse(17)
    taken.next()
    monkeypatch.setattr(CameraWatch, "look", look)
    summary = taken.ended()
    assert summary.bursts == 1
    assert summary.failed == "the camera failed: no frame; then, opened anew: no frame (look at the cable)"
