"""Resident memory of the whole daemon at work: default model, replay camera, MQTT to an embedded broker.

`run(short)` starts the real process, lets it take bursts, and reads VmRSS and VmHWM from the kernel all the
while. What counts is the median of some seconds: early, when all its parts have been at work, and at the end
of the soak; for single readings differ by what is just being decoded. The floor in the same run is a process
that has only imported numpy and the TFLite runtime and loaded the model. Then the same daemon without a
broker, once over an empty queue and once over one of a million rows. `python -m bench.memory [--short]`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from bench import delivery
from trapd.demo.broker import EmbeddedBroker, free_port
from trapd.demo.photographs import make_bursts
from trapd.errors import UsageError
from trapd.store import Store

GROWN_BAR_MB = 4.0
THUMBNAIL_BAR_MB = 8.0
QUEUED_BAR_MB = 2.0
PEAK_BAR_MB = 95.0
_EVERY_S = 0.08
_READINGS = 40
_READ_EVERY_S = 0.2
_EARLY_BURSTS = 100
_SHORT_BURSTS = 1000
_FULL_BURSTS = 10_000
_QUEUED_ROWS = 1_000_000
_SHORT_QUEUED_ROWS = 100_000
_FLOOR = """
from pathlib import Path
from trapd.backends.tflite.classifier import TfliteClassifier
from trapd.backends.model_files import find
classifier = TfliteClassifier(find("default", None), name="default", threads=2)
classifier.open()
print(Path("/proc/self/status").read_text())
"""

_THUMBNAIL = """
import io
from pathlib import Path
from PIL import Image
from trapd.host.memory import keep_small
from trapd.store.photographs import thumbnail

def read(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

keep_small()
out = io.BytesIO()
Image.effect_noise((192, 108), 90).resize((2304, 1296)).convert("RGB").save(out, "JPEG", quality=90)
photograph = out.getvalue()
small = io.BytesIO()
Image.new("RGB", (64, 48)).save(small, "JPEG")
thumbnail.make(small.getvalue(), 24576)
before = read("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
thumbnail.make(photograph, 24576)
print((read("VmHWM") - before) / 1000)
"""


def run(short: bool) -> dict[str, float]:
    """`resident_mb` at the end, `early_mb` after a hundred bursts, `peak_mb`, and the floor's `model_mb`;
    `waiting`: the most bursts that ever waited for the filter; `thumbnail_mb`: what making one of a
    photograph of the default size takes; `queued_mb`: what `queued` rows that wait offline add.
    """
    bursts = _SHORT_BURSTS if short else _FULL_BURSTS
    queued = _SHORT_QUEUED_ROWS if short else _QUEUED_ROWS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bursts(folder / "photographs")
        with EmbeddedBroker(free_port(), folder) as broker:
            # Small enough to be full before the end: making room is part of the soak.
            soak = _watch(folder, broker.port, bursts, max_bytes=100_000_000)
        none_mb, many_mb = (_offline_mb(folder, rows) for rows in (0, queued))
    floor, thumbnail_mb = (_said(code) for code in (_FLOOR, _THUMBNAIL))
    return {
        "bursts": bursts,
        "grown_mb": round(soak.late_mb - soak.early_mb, 1),
        "model_mb": _megabytes(floor, "VmRSS"),
        "early_mb": soak.early_mb,
        "resident_mb": soak.late_mb,
        "peak_mb": soak.peak_mb,
        "waiting": soak.waiting,
        "thumbnail_mb": round(float(thumbnail_mb), 1),
        "queued": queued,
        "queued_mb": round(many_mb - none_mb, 1),
    }


def _said(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def _offline_mb(folder: Path, rows: int) -> float:
    """The daemon's peak over a hundred bursts, with so many rows waiting for a broker that is not there."""
    store = folder / f"store-{rows}"
    store.mkdir()
    fill = [sys.executable, "-m", "bench.delivery", "--fill", str(store), str(rows), "events"]
    subprocess.run(fill, check=True)
    return _watch(folder, free_port(), _EARLY_BURSTS, max_bytes=100_000_000_000, store=store).peak_mb


class _Soak:
    """What was read of the daemon's memory once it had judged a hundred bursts."""

    def __init__(self) -> None:
        self._readings_mb: list[float] = []
        self.peak_mb = 0.0
        self.waiting = 0

    def read(self, daemon: subprocess.Popen[bytes], waiting: int) -> None:
        """One more reading."""
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        self._readings_mb.append(_megabytes(status, "VmRSS"))
        self.peak_mb = _megabytes(status, "VmHWM")
        self.waiting = max(self.waiting, waiting)

    @property
    def early_mb(self) -> float:
        return round(statistics.median(self._readings_mb[:_READINGS]), 1)

    @property
    def late_mb(self) -> float:
        return round(statistics.median(self._readings_mb[-_READINGS:]), 1)


def _watch(folder: Path, port: int, bursts: int, *, max_bytes: int, store: Path | None = None) -> _Soak:
    """The daemon's memory until it has judged so many bursts."""
    store = store or folder / "store"
    config = folder / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "unit": {"id": delivery.UNIT},
                "storage": {"path": str(store), "min_free_bytes": 50_000_000, "max_bytes": max_bytes},
                "sensor": {"backend": "timer", "every_s": _EVERY_S},
                "trigger": {"max_per_hour": 100_000},
                "camera": {"backend": "replay", "path": str(folder / "photographs")},
                "burst": {"frames": 1},
                "mqtt": {"host": "127.0.0.1", "port": port, "tls": {"enabled": False}},
            }
        )
    )
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "trapd", "run", "--config", str(config)], stdout=log, stderr=log
        )
    try:
        return _readings(daemon, store, bursts)
    finally:
        daemon.terminate()
        daemon.wait(20)


def _readings(daemon: subprocess.Popen[bytes], store: Path, bursts: int) -> _Soak:
    end_s = time.monotonic() + 60 + 8 * bursts * _EVERY_S
    soak = _Soak()
    while time.monotonic() < end_s:
        if daemon.poll() is not None:
            raise SystemExit(f"the daemon ended with {daemon.returncode}")
        judged, waiting = _progress(store)
        if judged >= min(_EARLY_BURSTS, bursts):
            soak.read(daemon, waiting)
        if judged >= bursts:
            return soak
        time.sleep(_READ_EVERY_S)
    raise SystemExit(f"the daemon did not judge {bursts} bursts in time")


def _progress(store: Path) -> tuple[int, int]:
    """How many bursts it has judged, and how many wait."""
    if not (store / "trapd.db").exists():
        return 0, 0
    try:
        with Store.peek(store) as session:
            newest, waiting = session.events.newest(), session.events.totals()["captured"]
    except UsageError:  # it is just being made
        return 0, 0
    # By its number: rows go too, where room is short.
    return (0 if newest is None else newest.seq - waiting), waiting


def _megabytes(status: str, name: str) -> float:
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return round(int(line.split()[1]) / 1000, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.memory")
    parser.add_argument("--short", action="store_true")
    print(json.dumps(run(parser.parse_args().short)))
