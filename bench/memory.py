"""Resident memory of the whole daemon at work: default model, replay camera, MQTT to an embedded broker.

`run(short)` starts the real process, lets it take bursts, and reads what is resident from the kernel all the
while. What counts is the median of some seconds, for single readings differ by what is just being decoded:

- `first_mb`: after a hundred bursts.
- `early_mb`: after so many that all is at work. The card has been full (else the run fails), room is made;
  the caches of the store's connections hold what they may; the heartbeat has told of the audit sample. Until
  then memory fills up to its bounds: how much that is in all, `filled_mb`, has a bar of its own.
- `resident_mb`: at the end of the soak. From `early_mb` on nothing should grow. Two things still do, and end:
  the copy of the database, after five minutes, loads its code; and of each burst of the last hour the gate
  remembers 40 bytes, for `trigger.max_per_hour`. At the soak's rate that is .4 MB, by default 24 kB.

The floor in the same run is a process that has only imported numpy and the TFLite runtime and loaded the
model. Then the same daemon without a broker, once over an empty queue and once over one of a million rows.
`python -m bench.memory [--short]` exits 1 where a bar is broken.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from bench import delivery
from bench.bar import Bar, judge
from trapd.demo.broker import EmbeddedBroker, free_port
from trapd.demo.photographs import make_bursts
from trapd.errors import StoreOlder, UsageError
from trapd.frozen import Frozen
from trapd.store import Store

_EVERY_S = 0.08
_READINGS = 75
_READ_EVERY_S = 0.2
_FIRST_BURSTS = 100
_EARLY_BURSTS, _SHORT_EARLY_BURSTS = 1000, 500
_CURVE_BURSTS = (100, 500, 1000, 2000, 5000, 10_000)
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


def run(short: bool) -> dict[str, Any]:
    """The module's figures, `peak_mb`, and the floor's `model_mb`; `grown_mb` and `filled_mb`: from early and
    from first to the end. `full_at`: the burst at which room was first made; `curve_mb`: by burst, what is
    anonymous and what is of files.

    `waiting`: the most bursts that ever waited for the filter; `thumbnail_mb`: what making one of a
    photograph of the default size takes; `queued_mb`: what `queued` rows that wait offline add.
    """
    bursts, early = (_SHORT_BURSTS, _SHORT_EARLY_BURSTS) if short else (_FULL_BURSTS, _EARLY_BURSTS)
    queued = _SHORT_QUEUED_ROWS if short else _QUEUED_ROWS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bursts(folder / "photographs")
        with EmbeddedBroker(free_port(), folder) as broker:
            # Small enough to be full early: making room is part of the soak.
            soak = _watch(folder, broker.port, bursts, max_bytes=60_000_000)
        none_mb, many_mb = (_offline_mb(folder, rows) for rows in (0, queued))
    if soak.full_at is None or soak.full_at > early:
        raise SystemExit(f"the store was not full by burst {early}: the soak has not begun there")
    floor, thumbnail_mb = (_said(code) for code in (_FLOOR, _THUMBNAIL))
    first_mb, early_mb, late_mb = soak.at(_FIRST_BURSTS), soak.at(early), soak.late()
    return {
        "bursts": bursts,
        "grown_mb": round(late_mb - early_mb, 1),
        "filled_mb": round(late_mb - first_mb, 1),
        "model_mb": _megabytes(floor, "VmRSS"),
        "first_mb": first_mb,
        "early_mb": early_mb,
        "resident_mb": late_mb,
        "peak_mb": soak.peak_mb,
        "full_at": soak.full_at,
        "curve_mb": soak.curve(),
        "waiting": soak.waiting,
        "thumbnail_mb": round(float(thumbnail_mb), 1),
        "queued": queued,
        "queued_mb": round(many_mb - none_mb, 1),
    }


def bars(found: dict[str, Any]) -> list[Bar]:
    """The promises among these figures: absolutes, on x86-64.

    Other work on the machine does not blur them as it does a ratio of times.
    """
    return [
        Bar("resident memory of the daemon, MB", found["resident_mb"], 90, tolerance=1.1),
        Bar("the most it ever was, MB", found["peak_mb"], 95, tolerance=1.1),
        Bar("a thumbnail of a photograph of 2304 x 1296 while it is made, MB", found["thumbnail_mb"], 8),
        Bar("memory grown over the soak, MB", found["grown_mb"], 2, tolerance=1.0),
        Bar("memory filled since the first hundred bursts, MB", found["filled_mb"], 3, tolerance=1.0),
        Bar(
            "memory of the daemon with many rows queued - with none, MB",
            found["queued_mb"],
            2,
            tolerance=2.0,  # two starts of the same daemon differ by that much
        ),
    ]


def _said(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def _offline_mb(folder: Path, rows: int) -> float:
    """The daemon's peak over a hundred bursts, with so many rows waiting for a broker that is not there."""
    store = folder / f"store-{rows}"
    store.mkdir()
    fill = [sys.executable, "-m", "bench.delivery", "--fill", str(store), str(rows), "events"]
    subprocess.run(fill, check=True)
    return _watch(folder, free_port(), _FIRST_BURSTS, max_bytes=100_000_000_000, store=store).peak_mb


class _Reading(Frozen):
    """What was resident at one moment."""

    burst: int
    resident_mb: float
    anonymous_mb: float


class _Soak:
    """What was read of the daemon's memory once it had judged a hundred bursts."""

    def __init__(self) -> None:
        self._readings: list[_Reading] = []
        self.peak_mb = 0.0
        self.waiting = 0
        self.full_at: int | None = None

    def read(self, daemon: subprocess.Popen[bytes], seen: _Seen) -> None:
        """One more reading."""
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        self._readings.append(
            _Reading(seen.judged, _megabytes(status, "VmRSS"), _megabytes(status, "RssAnon"))
        )
        self.peak_mb = _megabytes(status, "VmHWM")
        self.waiting = max(self.waiting, seen.waiting)
        if self.full_at is None and seen.made_room:
            self.full_at = seen.judged

    def at(self, burst: int) -> float:
        """Resident from this burst on."""
        return _median(one.resident_mb for one in self._from(burst))

    def late(self) -> float:
        """Resident at the end."""
        return _median(one.resident_mb for one in self._readings[-_READINGS:])

    def curve(self) -> dict[int, list[float]]:
        """By burst: what is anonymous, and what is of files."""
        return {
            burst: [
                _median(one.anonymous_mb for one in some),
                _median(one.resident_mb - one.anonymous_mb for one in some),
            ]
            for burst in _CURVE_BURSTS
            if burst <= self._readings[-1].burst
            for some in [self._from(burst)]
        }

    def _from(self, burst: int) -> list[_Reading]:
        begin = next(at for at, one in enumerate(self._readings) if one.burst >= burst)
        return self._readings[min(begin, max(0, len(self._readings) - _READINGS)) :][:_READINGS]


class _Seen(Frozen):
    """How many bursts it has judged, how many wait, and whether it had to make room."""

    judged: int = 0
    waiting: int = 0
    made_room: bool = False


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 1)


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
        daemon.wait(60)


def _readings(daemon: subprocess.Popen[bytes], store: Path, bursts: int) -> _Soak:
    end_s = time.monotonic() + 60 + 8 * bursts * _EVERY_S
    soak = _Soak()
    while time.monotonic() < end_s:
        if daemon.poll() is not None:
            raise SystemExit(f"the daemon ended with {daemon.returncode}")
        seen = _look(store)
        if seen.judged >= min(_FIRST_BURSTS, bursts):
            soak.read(daemon, seen)
        if seen.judged >= bursts:
            return soak
        time.sleep(_READ_EVERY_S)
    raise SystemExit(f"the daemon did not judge {bursts} bursts in time")


def _look(store: Path) -> _Seen:
    if not (store / "trapd.db").exists():
        return _Seen()
    try:
        with Store.peek(store) as session:
            newest, waiting = session.events.newest(), session.events.totals()["captured"]
            made_room = any(name.startswith("evicted.") for name in session.counters.all())
    except (UsageError, StoreOlder):  # it is just being made
        return _Seen()
    # By its number: rows go too, where room is short.
    return _Seen(0 if newest is None else newest.seq - waiting, waiting, made_room)


def _megabytes(status: str, name: str) -> float:
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return round(int(line.split()[1]) / 1000, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.memory")
    parser.add_argument("--short", action="store_true")
    figures = run(parser.parse_args().short)
    print(json.dumps(figures))
    sys.exit(judge(bars(figures)))
