"""The demo as a person starts it: all that was kept arrives, and nothing is left behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from trapd.demo import broker as brokers
from trapd.demo.scenario import Plan

pytestmark = pytest.mark.slow

WITHIN_S = 300.0


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """The demo, with its temporary files below `tmp_path`."""
    return subprocess.Popen(
        [sys.executable, "-m", "trapd", "demo", "--json", *arguments],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_that_name(folder: Path) -> list[int]:
    """Who still runs with a file below `folder` on the command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if str(folder).encode() in command:
            found.append(int(entry.name))
    return found


def gone_within(folder: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while processes_that_name(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def free_port() -> int:
    """One that no connection is given before the demo takes it."""
    return brokers.free_port()


@pytest.mark.parametrize("broker", ["embedded", pytest.param("mosquitto", marks=pytest.mark.rig)])
def test_everything_kept_arrives_through_an_outage(tmp_path: Path, broker: str, free_port: int) -> None:
    demo = start(tmp_path, "--seconds", "10", "--broker", broker, "--port", str(free_port))
    out, err = demo.communicate(timeout=WITHIN_S)
    assert demo.returncode == 0, err
    *news, summary = [json.loads(line) for line in out.splitlines()]

    assert summary["lost"] == 0
    assert summary["delivered"] == summary["kept"] > 0
    assert summary["discarded"] > 0
    assert summary["bursts"] == summary["kept"] + summary["discarded"] <= summary["triggers"]
    assert summary["outage_s"] >= 3
    assert summary["seconds"] >= 10

    kinds = [line["kind"] for line in news]
    bursts = [line for line in news if line["kind"] == "burst"]
    assert len(bursts) == summary["bursts"]
    assert {line["verdict"] for line in bursts} == {"unclassified", "empty"}
    assert next(line for line in news if line["kind"] == "online")["port"] == free_port
    assert "burst" in kinds[kinds.index("outage") : kinds.index("return")]
    assert kinds.index("return") < kinds.index("catch_up")
    assert not list(tmp_path.iterdir())


def first(demo: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    """Read the demo's news up to the first of this kind."""
    assert demo.stdout is not None
    for line in demo.stdout:
        news: dict[str, Any] = json.loads(line)
        if news["kind"] == kind:
            return news
    pytest.fail(f"the demo ended before {kind}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_is_ended_no_process_stays(tmp_path: Path, number: signal.Signals) -> None:
    demo = start(tmp_path)
    first(demo, "burst")
    assert processes_that_name(tmp_path)
    demo.send_signal(number)
    _, err = demo.communicate(timeout=WITHIN_S)
    assert demo.returncode == (-number if number is signal.SIGKILL else 130)
    assert "Traceback" not in err
    assert gone_within(tmp_path, 60.0)
    if number is not signal.SIGKILL:
        assert not list(tmp_path.iterdir())


def test_a_folder_without_photographs_is_wrong_usage(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    demo = start(tmp_path, "--images", str(images))
    out, err = demo.communicate(timeout=WITHIN_S)
    assert (demo.returncode, out) == (2, "")
    assert "no photograph" in err
    assert list(tmp_path.iterdir()) == [images]


@pytest.mark.parametrize(("seconds", "outage_s"), [(1, 3.0), (10, 3.0), (20, 5.0), (30, 7.0), (600, 7.0)])
def test_the_outage_is_scaled(seconds: float, outage_s: float) -> None:
    assert Plan(seconds).outage_s == outage_s
