"""The whole daemon before a Mosquitto that dies with what it had not saved, and one that is out of reach."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.brokers import Listener, make_mosquitto
from tests.figures import tell
from tests.system.daemon import BASE, Daemon, Heard, end, kept, until
from tests.system.network import BROKER, Network, network
from tests.system.test_delivery import Rig, rig

__all__ = ["network", "rig"]

pytestmark = [pytest.mark.slow, pytest.mark.rig]

PORT = 1884
OUTAGE_S = 20.0
BACK_WITHIN_S = 20.0  # an attempt that has begun in the dark goes on for 15 s


def links(daemon: Daemon) -> int:
    return daemon.log.read_text().count("trapd.deliver: connected")


def test_a_broker_that_died_with_an_older_database_gets_the_retained_leaves_again(rig: Rig) -> None:
    """It knows our session, and not what it was told since it saved: who asks later must hear that too."""
    photographs = rig.folder / "photographs"
    shutil.copytree(rig.photographs, photographs)
    heard, daemon = rig.listen(), rig.unit(camera={"path": str(photographs)})
    daemon.start()
    until(lambda: len(heard.take().events) >= 2, "two events")
    assert rig.broker.pid is not None
    os.kill(rig.broker.pid, signal.SIGUSR1)  # it saves, as it does every half hour
    until((rig.folder / "mosquitto.db").exists, "its database")
    photographs.rename(rig.folder / "away")
    # In its last words: what it says anew later would reach any broker.
    until(lambda: b"cannot read" in heard.take().leaves.get("alert/camera", [b""])[-1], "the alert")
    os.kill(rig.broker.pid, signal.SIGKILL)
    until(lambda: "link lost" in daemon.log.read_text(), "the link lost")
    rig.deaf()
    earlier = heard
    rig.broker.start()
    until(lambda: links(daemon) == 2, "the link")
    heard = rig.listen()
    until(
        lambda: heard.take().leaves.get("alert/camera", [b""])[-1] != b"",
        "the alert, for who comes later",
        20,
    )
    (rig.folder / "away").rename(photographs)
    until(lambda: heard.take().leaves["alert/camera"][-1] == b"", "the alert's end")
    for event_id, payloads in earlier.payloads.items():
        heard.payloads.setdefault(event_id, []).extend(payloads)
    end(daemon, heard)


def test_a_broker_behind_a_router_that_drops_everything(
    network: Network, tmp_path: Path, photographs: Path
) -> None:
    """Nobody tells either side: the unit finds out by the age of what is unanswered, and comes back."""
    folder = tmp_path / "unit"
    folder.mkdir()
    broker = make_mosquitto(tmp_path, "allow_anonymous true", f"listener {PORT} {BROKER}")
    daemon = Daemon(folder, photographs, PORT, mqtt={"host": BROKER, "port": PORT, "keepalive_s": 5})
    listener = None
    try:
        with network.at("broker"):
            broker.start()
            listener = Listener(broker.port, f"{BASE}/#")
        heard = Heard(listener)
        with network.at("unit"):
            daemon.start()
        until(lambda: len(heard.take().events) >= 2, "two events")
        network.drop()
        cut_s = time.monotonic()
        before = kept(daemon)
        until(lambda: "link lost" in daemon.log.read_text(), "the link given up", within_s=8.0 + 4.0)
        found_s = time.monotonic() - cut_s
        until(lambda: time.monotonic() - cut_s > OUTAGE_S, "the outage")
        assert kept(daemon) >= before + 5
        network.mend()
        mended_s = time.monotonic()
        until(lambda: links(daemon) == 2, "the link", BACK_WITHIN_S)
        tell(
            f"packets dropped for {OUTAGE_S:.0f} s: found dead after {found_s:.1f} s (keep-alive 5 s),"
            f" back {time.monotonic() - mended_s:.1f} s after the end"
        )
        with network.at("unit"):
            end(daemon, heard)
    finally:
        daemon.close()
        if listener is not None:
            listener.close()
        broker.stop()
