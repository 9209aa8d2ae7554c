"""A broker of our own that misbehaves in every way: the unit outlives it, costs no more, loses nothing."""

from __future__ import annotations

import gc
import logging
import random
import re
import threading
import time
from pathlib import Path

import pytest

from tests.brokers import Listener
from tests.figures import PROVE, tell
from tests.system.daemon import BASE, Daemon, Heard, end, kept, until
from tests.system.rogue import RogueBroker
from tests.system.sender import Sender
from tests.system.test_thin_link import noise
from trapd.demo.broker import MosquittoBroker
from trapd.records import State
from trapd.wire.window import Backoff

pytestmark = [pytest.mark.slow, pytest.mark.rig]

CONNECTIONS = 20_000 if PROVE else 2_000
WARM = 300  # connections until everything has been used once
DAEMONS_CONNECTIONS = 200 if PROVE else 8
EVENTS = 30
MORE_MB = 3.0


class Upkeep:
    """What the process costs now."""

    def __init__(self) -> None:
        gc.collect()
        self.threads = threading.active_count()
        self.descriptors = len(list(Path("/proc/self/fd").iterdir()))
        status = Path("/proc/self/status").read_text()
        self.resident_mb = next(
            int(line.split()[1]) / 1000 for line in status.splitlines() if "VmRSS" in line
        )


def test_deliver_outlives_a_broker_that_misbehaves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else minutes after each of its huge packets.
    monkeypatch.setattr("trapd.stages.deliver.flood._PAUSE_S", 0.0)
    caplog.set_level(logging.CRITICAL, "trapd")  # what a test has logged stays in memory to its end
    soon = Backoff(random.Random(3), first_s=0.001, soon_s=0.002, most_s=0.002)
    rogue = RogueBroker(11, f"{BASE}/")
    sender = Sender(tmp_path / "store", rogue.port, backoff=soon, watched=False)
    began_s = time.monotonic()
    try:
        with sender.session() as session:
            events = [sender.event(session, [noise()]) for _ in range(EVENTS)]
            sender.start()
            until(lambda: rogue.connections >= WARM or not sender.thread.is_alive(), "a start")
            early = Upkeep()
            until(lambda: rogue.connections >= CONNECTIONS or not sender.thread.is_alive(), "all of it", 3000)
            late = Upkeep()
            assert sender.thread.is_alive(), sender.failure
            took_s = time.monotonic() - began_s
            rogue.close()
            assert all(event.state is State.KEPT for event in session.events.page(limit=1000))
            with MosquittoBroker(rogue.port, tmp_path) as broker:
                heard = Heard(Listener(broker.port, f"{BASE}/#"))
                until(lambda: not (session.outbox.depth().keys() - {"state"}), "the rest")
                until(lambda: len(heard.take().events) >= EVENTS, "every event")
                heard.assert_nothing_lost(session.events.page(limit=1000))
                heard.listener.close()
            assert {event.id for event in events} == set(heard.payloads)
    finally:
        rogue.close()
        sender.stop()
    tell(
        f"misbehaving broker: {rogue.connections} connections of {len(rogue.met)} kinds in {took_s:.0f} s;"
        f" threads {early.threads} to {late.threads}, descriptors {early.descriptors} to {late.descriptors},"
        f" {late.resident_mb - early.resident_mb:+.1f} MB; then all {EVENTS} events arrived"
    )
    assert late.threads <= early.threads + 1
    assert late.descriptors <= early.descriptors + 4
    assert late.resident_mb <= early.resident_mb + MORE_MB


def test_the_whole_daemon_outlives_it_too(tmp_path: Path, photographs: Path) -> None:
    """At the pace of its own back-off; bursts go on meanwhile."""
    rogue = RogueBroker(23, f"{BASE}/")
    folder = tmp_path / "unit"
    folder.mkdir()
    daemon = Daemon(folder, photographs, rogue.port)
    try:
        daemon.start()
        until(lambda: rogue.connections >= DAEMONS_CONNECTIONS and kept(daemon) >= 5, "connections", 1000)
        assert daemon.process is not None
        assert daemon.process.poll() is None, daemon.log.read_text()[-3000:]
        rogue.close()
        with MosquittoBroker(rogue.port, tmp_path) as broker:
            heard = Heard(Listener(broker.port, f"{BASE}/#"))
            until(lambda: len(heard.take().events) >= 5, "the events")
            end(daemon, heard)
            heard.listener.close()
        tell(f"misbehaving broker: the whole daemon, {rogue.connections} connections")
    finally:
        rogue.close()
        daemon.close()
    assert not re.search("stage .* failed", daemon.log.read_text())
