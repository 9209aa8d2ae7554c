"""Drain rate: Deliver and the store over a loopback Mosquitto, against raw paho with the same window.

Side by side in one run, in turns, so that both meet the same machine. `events`: 500-byte rows; `files`: 20 kB
thumbnails that lie in files, raw paho reading them from the same files. A subscriber in a process of its own
takes everything. Each one's best round counts: whatever else the machine does only slows a round down. Also
what 100,000 waiting events, and a million, cost a process with Deliver offline in memory.
Run as `python -m bench.delivery [--short]`.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trapd.demo.broker import HOST, MosquittoBroker, free_port

UNIT = "bench-unit"
_BASE = f"trapd/v1/{UNIT}"
_WINDOW = 20  # Mosquitto's own Receive Maximum
_EVENT_BYTES, _FILE_BYTES = 500, 20_000
_WAITING = 100_000
_MANY_WAITING = 1_000_000
_FEWEST_ROUNDS = 5
_WITHIN_S = 60.0  # only so that nothing hangs, as the next
_DRAINED_WITHIN_S = 600.0

EVENTS_BAR, FILES_BAR = 1 / 0.90, 1 / 0.80
"""Of raw paho's rate over Deliver's."""

_CONF = ("allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 20")


def run(short: bool) -> dict[str, Any]:
    """Messages per second of each, ratios raw / trapd as the median of the rounds, and memory in MB.

    Each ratio is taken within one round. There are more rounds while the median is over its bar.
    """
    rounds, events, files = (10, 3000, 750) if short else (15, 10_000, 3000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "files").mkdir()
        draw = random.Random(1)
        for number in range(files):
            (folder / "files" / str(number)).write_bytes(draw.randbytes(_FILE_BYTES))
        with MosquittoBroker(free_port(), folder, _CONF) as broker, _subscriber(broker.port):
            rates: dict[str, list[float]] = {}
            for number in range(1, rounds + 1):
                for what, count in (("events", events), ("files", files)):
                    for who, drain in ((f"raw_{what}", _raw), (f"trapd_{what}", _trapd)):
                        rates.setdefault(who, []).append(drain(broker.port, folder, what, count))
                over_events = _ratio(rates["raw_events"], rates["trapd_events"])
                over_files = _ratio(rates["raw_files"], rates["trapd_files"])
                if number >= _FEWEST_ROUNDS and over_events <= EVENTS_BAR and over_files <= FILES_BAR:
                    break
    return {
        "window": _WINDOW,
        "rounds": number,
        **{f"{who}_per_s": round(statistics.median(found)) for who, found in rates.items()},
        "ratio_events": over_events,
        "ratio_files": over_files,
        **_memory(short),
    }


def _ratio(raw: list[float], ours: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(raw, ours, strict=True)), 3)


@contextmanager
def _subscriber(port: int) -> Iterator[None]:
    process = subprocess.Popen(
        ["mosquitto_sub", "-h", HOST, "-p", str(port), "-q", "0", "-t", f"{_BASE}/#", "-F", "%l"],
        stdout=subprocess.DEVNULL,
    )
    try:
        _await_ears(port)
        yield
    finally:
        process.terminate()
        process.wait(_WITHIN_S)


def _await_ears(port: int) -> None:
    """Until the broker hands on what it takes: else Deliver, told that nobody hears it, would wait."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    heard = threading.Event()

    def on_publish(_client: Any, _data: Any, _mid: int, reason: Any, _properties: Any) -> None:
        if reason.value == 0:
            heard.set()

    client = Client(CallbackAPIVersion.VERSION2, "ears", protocol=MQTTProtocolVersion.MQTTv5)
    client.on_publish = on_publish
    client.connect(HOST, port)
    client.loop_start()
    end_s = time.monotonic() + _WITHIN_S
    while not heard.wait(0.1):
        if time.monotonic() > end_s:
            raise SystemExit("nobody subscribed")
        client.publish(f"{_BASE}/probe", b"", qos=1)
    client.disconnect()
    client.loop_stop()


def _raw(port: int, folder: Path, what: str, count: int) -> float:
    """paho with a loop thread of its own, at most the window in flight."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    room, done, connected = threading.Semaphore(_WINDOW), threading.Event(), threading.Event()
    left = count

    def on_publish(*_: object) -> None:
        nonlocal left
        left -= 1
        room.release()
        if left == 0:
            done.set()

    client = Client(CallbackAPIVersion.VERSION2, "raw", protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(0)
    client.on_publish = on_publish
    client.on_connect = lambda *_: connected.set()
    client.connect(HOST, port)
    client.loop_start()
    if not connected.wait(_WITHIN_S):
        raise SystemExit("raw paho was not connected")
    payload = bytes(_EVENT_BYTES)
    begin_s = time.perf_counter()
    for number in range(count):
        if what == "files":
            payload = (folder / "files" / str(number)).read_bytes()
        room.acquire()
        client.publish(f"{_BASE}/event", payload, qos=1)
    if not done.wait(_DRAINED_WITHIN_S):
        raise SystemExit("raw paho did not hand over all")
    taken_s = time.perf_counter() - begin_s
    client.disconnect()
    client.loop_stop()
    return count / taken_s


def _trapd(port: int, folder: Path, what: str, count: int) -> float:
    """The daemon's Deliver over a store in which all of it waits."""
    from trapd.host.clock import SystemClock
    from trapd.store import Store

    clock = SystemClock()
    with tempfile.TemporaryDirectory(dir=folder) as root:
        store = Store.open(Path(root), UNIT, clock=clock, max_bytes=10**11, min_free_bytes=0)
        fill(store, clock, what, count, folder / "files")
        with store.session() as filled:
            filled.database.checkpoint()
        os.sync()  # else the first sync of the drain pays for the filling
        stage = deliver(store, clock, port)
        thread = threading.Thread(target=stage.run)
        with store.session() as session:
            thread.start()
            try:
                begin_s = _until(lambda: stage.online, 0.0005, "Deliver was not connected")
                taken_s = _until(lambda: not session.outbox.depth(), 0.005, "Deliver did not hand over all")
                taken_s -= begin_s
            finally:
                stage.stop.set()
                thread.join(_WITHIN_S)
        store.close(clean=True)
    return count / taken_s


def _until(holds: Callable[[], bool], look_s: float, otherwise: str) -> float:
    """When it holds. What takes too long ends the bench."""
    end_s = time.perf_counter() + _DRAINED_WITHIN_S
    while not holds():
        if time.perf_counter() > end_s:
            raise SystemExit(otherwise)
        time.sleep(look_s)
    return time.perf_counter()


def deliver(store: Any, clock: Any, port: int) -> Any:
    """Deliver as the daemon makes it, towards `port`."""
    from trapd import parts
    from trapd.backends.uplink_paho import Account, PahoUplink
    from trapd.stages.alerts import Alerts
    from trapd.stages.deliver.stage import Deliver, DeliverPlan
    from trapd.wire import codec
    from trapd.wire.topics import Topics
    from trapd.wire.window import Backoff

    account = Account(
        HOST, port, client_id=f"trapd-{UNIT}", username=None, password=lambda: None, tls=None,
        protocol="5", keepalive_s=60,
    )  # fmt: skip
    return Deliver(
        DeliverPlan(parts.WINDOW, 96.0),
        uplink=PahoUplink(account),
        topics=Topics("trapd/v1", UNIT),
        store=store,
        alerts=Alerts(store, codec.alert, lambda: ""),
        clock=clock,
        encode_event=codec.event,
        backoff=Backoff(random.Random(1)),
    )


def fill(store: Any, clock: Any, what: str, count: int, files: Path) -> None:
    """`count` rows that wait: 500-byte payloads, or thumbnails of bare events."""
    from trapd.records import Kind, Trigger, Verdict
    from trapd.rules import PRIORITY
    from trapd.store.sqlite.rows import queue_row

    now = clock.now()
    with store.session() as session:
        if what == "events":
            with session.database.write() as connection:
                for _ in range(count):
                    queue_row(
                        connection, now, kind=Kind.TRAIL, priority=PRIORITY[Kind.TRAIL], leaf="event",
                        size_bytes=_EVENT_BYTES, payload=bytes(_EVENT_BYTES),
                    )  # fmt: skip
            return
        trigger = Trigger("timer", "", now.boot_ns)
        session.database.one("PRAGMA synchronous=OFF")
        for number in range(count):
            event = session.events.record(
                seq=store.next_seq(), moment=now, trigger=trigger, media=(), config="", env={}
            )
            path = f"thumbs/{event.id}.jpg"
            if what == "files":
                (store.root / path).write_bytes((files / str(number)).read_bytes()[:-2] + b"\xff\xd9")
            session.events.settle(
                event.id,
                Verdict("unknown", keep=True),
                thumb=(path, _FILE_BYTES) if what == "files" else None,
            )
        with session.database.write() as connection:
            if what == "files":
                connection.execute("DELETE FROM outbox WHERE kind = 'event'")


def _memory(short: bool) -> dict[str, float]:
    """How much larger a process with Deliver offline is with many events waiting than with none; MB."""
    none_mb = _offline_mb(0)
    return {
        "memory_mb": round(_offline_mb(_WAITING // (10 if short else 1)) - none_mb, 2),
        "memory_many_mb": round(_offline_mb(_MANY_WAITING // (20 if short else 1), "events") - none_mb, 2),
    }


def _offline_mb(count: int, what: str = "waiting") -> float:
    child = [sys.executable, "-m", "bench.delivery", "--child", str(count), what]
    done = subprocess.run(child, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    return float(done.stdout)


def _child(count: int, what: str) -> None:
    from trapd.host.clock import SystemClock
    from trapd.store import Store

    with tempfile.TemporaryDirectory() as root:
        filler = subprocess.run(
            [sys.executable, "-m", "bench.delivery", "--fill", root, str(count), what], check=True
        )
        assert filler.returncode == 0
        clock = SystemClock()
        store = Store.open(Path(root), UNIT, clock=clock, max_bytes=10**11, min_free_bytes=0)
        stage = deliver(store, clock, free_port())
        thread = threading.Thread(target=stage.run)
        thread.start()
        with store.session() as session:
            for _ in range(100):
                session.outbox.depth()
                time.sleep(0.05)  # Deliver tries to connect, and fails
        stage.stop.set()
        thread.join(10)
        store.close(clean=True)
    # Not getrusage: its maximum is the parent's where that was larger.
    status = Path("/proc/self/status").read_text()
    print(next(int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmHWM:")))


def _fill(root: str, count: int, what: str) -> None:
    from trapd.host.clock import SystemClock
    from trapd.store import Store

    clock = SystemClock()
    store = Store.open(Path(root), UNIT, clock=clock, max_bytes=10**11, min_free_bytes=0)
    fill(store, clock, what, count, Path(root))
    store.close(clean=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(int(sys.argv[2]), sys.argv[3])
    elif sys.argv[1:2] == ["--fill"]:
        _fill(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        print(json.dumps(run("--short" in sys.argv[1:])))
