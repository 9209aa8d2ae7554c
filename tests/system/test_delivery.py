"""The whole daemon before a real Mosquitto that refuses, forgets, freezes and takes little."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Listener, make_mosquitto
from tests.system.daemon import BASE, UNIT, Daemon, Heard, all_delivered, end, kept, quietly, until
from tests.wires import Wire
from trapd.demo.broker import MosquittoBroker
from trapd.records import State

pytestmark = [pytest.mark.slow, pytest.mark.rig]

_ALL = "topic readwrite #\n"  # of the user named above it, or of those who name none


class Rig:
    """A broker, a receiver that may come and go, and daemons; everything ends with the test."""

    def __init__(self, folder: Path, photographs: Path, *lines: str) -> None:
        self.folder = folder
        self.photographs = photographs
        self.broker: MosquittoBroker = make_mosquitto(folder, *lines)
        self.broker.start()
        self.daemons: list[Daemon] = []
        self.wires: list[Wire] = []
        self.listener: Listener | None = None
        self.heard: Heard

    def listen(self) -> Heard:
        """A receiver, from now on."""
        self.listener = Listener(self.broker.port, f"{BASE}/#")
        self.heard = Heard(self.listener)
        return self.heard

    def deaf(self) -> None:
        """The receiver leaves."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None

    def unit(self, **sections: dict[str, Any]) -> Daemon:
        folder = self.folder / f"unit-{len(self.daemons)}"
        folder.mkdir()
        daemon = Daemon(folder, self.photographs, self.broker.port, **sections)
        self.daemons.append(daemon)
        return daemon

    def wire(self, rate: float) -> Wire:
        """A link of so many bytes a second to the broker."""
        made = Wire(self.broker.port, rate=rate)
        self.wires.append(made)
        return made

    def freeze(self, number: signal.Signals) -> None:
        process = self.broker._process
        assert process is not None
        os.kill(process.pid, number)

    def close(self) -> None:
        self.deaf()
        for daemon in self.daemons:
            daemon.close()
        for wire in self.wires:
            wire.close()
        self.broker.stop()


@pytest.fixture
def rig(tmp_path: Path, photographs: Path) -> Iterator[Rig]:
    (tmp_path / "acl").write_text(f"{_ALL}user {UNIT}\n{_ALL}")
    made = Rig(
        tmp_path,
        photographs,
        "allow_anonymous true",
        f"acl_file {tmp_path / 'acl'}",
        "persistence true",
        f"persistence_location {tmp_path}/",
    )
    yield made
    made.close()


def test_receipts_are_what_frees_events(rig: Rig) -> None:
    """The receiver confirms every other one at first; the daemon sends the rest again when it returns."""
    heard, daemon = rig.listen(), rig.unit(mqtt={"delivery": "receipt"})
    assert rig.listener is not None
    daemon.start()
    until(lambda: len(heard.take().events) >= 6, "six events")
    first = heard.events[:6]
    assert not any(event.state is State.DELIVERED for event in daemon.events())
    rig.listener.say(f"{BASE}/receipt", json.dumps({"ids": [e["id"] for e in first[::2]]}).encode())
    until(lambda: sum(e.state is State.DELIVERED for e in daemon.events()) == 3, "three receipts")
    assert {e.n for e in daemon.events() if e.state is State.DELIVERED} == {1, 3, 5}
    daemon.kill()
    daemon.start()
    until(lambda: len(heard.take().payloads[first[1]["id"]]) >= 2, "the second event again")
    assert len(heard.payloads[first[0]["id"]]) == 1
    assert daemon.stop() == 0
    heard.take()
    quietly(daemon)
    last = max(event.n or 0 for event in daemon.events())
    until(lambda: len(heard.take().events) >= last, "every event")
    receipt = {"epoch": first[0]["epoch"], "upto": last}
    until(lambda: _confirmed(rig, daemon, receipt), "everything confirmed")
    assert daemon.stop() == 0
    heard.take().assert_nothing_lost(daemon.events())


def _confirmed(rig: Rig, daemon: Daemon, receipt: dict[str, Any]) -> bool:
    assert rig.listener is not None
    rig.listener.say(f"{BASE}/receipt", json.dumps(receipt).encode())
    # The timer's own first burst of this life has a number above it.
    late = [event for event in daemon.events() if (event.n or 0) > receipt["upto"]]
    receipt["upto"] = max((event.n or 0 for event in late), default=receipt["upto"])
    return all_delivered(daemon)


def test_what_an_access_rule_refuses_waits_and_is_told(rig: Rig) -> None:
    rules = rig.folder / "acl"
    rules.write_text(f"{_ALL}user {UNIT}\ntopic deny {BASE}/event\n{_ALL}")
    rig.broker.stop()
    rig.broker.start()
    heard, daemon = rig.listen(), rig.unit()
    daemon.start()
    until(lambda: "alert/refused" in heard.take().leaves and kept(daemon) >= 3, "the alert")
    assert heard.events == []
    assert not any(event.state is State.DELIVERED for event in daemon.events())
    assert any(leaf.startswith("thumb/") for leaf in heard.leaves)
    rules.write_text(f"{_ALL}user {UNIT}\n{_ALL}")
    rig.deaf()
    rig.broker.stop()
    rig.broker.start()
    heard = rig.listen()
    until(lambda: len(heard.take().events) >= 3, "the events")
    end(daemon, heard)
    assert heard.leaves["alert/refused"][-1] == b""


@pytest.mark.parametrize("protocol", [5, "3.1.1"])
def test_packets_of_4_kb_carry_events_and_photographs(
    tmp_path: Path, photographs: Path, protocol: int | str
) -> None:
    """With 3.1.1 the broker does not tell the limit: it ends the link over what is larger, without a word."""
    rig = Rig(tmp_path, photographs, "allow_anonymous true", "max_packet_size 4096")
    try:
        heard = rig.listen()
        daemon = rig.unit(
            mqtt={"protocol": protocol},
            remote={"allow_plaintext": True},
            sensor={"backend": "timer", "every_s": 2},
        )
        assert rig.listener is not None
        daemon.start()
        until(lambda: len(heard.take().events) >= 2 and "alert/too_large" in heard.leaves, "two events")
        medium = heard.events[0]["media"][0]
        request = {"txn": "t1", "args": {"ids": [medium["id"]]}}
        rig.listener.say(f"{BASE}/cmd/media_get", json.dumps(request).encode())
        until(lambda: "res/media_get" in heard.take().leaves, "an answer")
        assert json.loads(heard.leaves["res/media_get"][0])["code"] == 200
        until(lambda: _photograph(heard.take(), medium["id"]) is not None, "the photograph")
        data = _photograph(heard, medium["id"])
        assert data is not None
        assert len(data) == medium["bytes"] > 8000
        assert hashlib.sha256(data).hexdigest() == medium["sha256"]
        links = daemon.log.read_text().count(": connected")
        events = len(heard.events)
        until(lambda: len(heard.take().events) >= events + 3, "more events")
        assert daemon.log.read_text().count(": connected") == links  # it has learnt: the link stays
        assert daemon.stop() == 0
    finally:
        rig.close()


def _photograph(heard: Heard, medium_id: str) -> bytes | None:
    if f"media/{medium_id}/manifest" not in heard.leaves:
        return None
    manifest = json.loads(heard.leaves[f"media/{medium_id}/manifest"][-1])
    parts = [heard.leaves.get(f"media/{medium_id}/c/{n}") for n in range(manifest["chunks"])]
    return None if None in parts else b"".join(part[-1] for part in parts if part)


def test_a_photograph_survives_kills_on_its_way(rig: Rig) -> None:
    """The link takes fifty chunks a second, so that each kill comes while they are under way."""
    heard = rig.listen()
    wire = rig.wire(rate=50_000)
    daemon = rig.unit(
        mqtt={"port": wire.port},
        remote={"allow_plaintext": True},
        publish={"chunk_bytes": 1024},
        sensor={"backend": "timer", "every_s": 5},
    )
    assert rig.listener is not None
    daemon.start()
    until(lambda: len(heard.take().events) >= 1, "an event")
    ids = [medium["id"] for medium in heard.events[0]["media"]]
    rig.listener.say(f"{BASE}/cmd/media_get", json.dumps({"txn": "t", "args": {"ids": ids}}).encode())
    for count in (3, 30, 60):
        until(lambda: _chunks(heard.take()) >= count, "some chunks")  # noqa: B023 - used at once
        daemon.kill()
        daemon.start()
    until(lambda: all(_photograph(heard.take(), name) is not None for name in ids), "the photographs")
    until(lambda: not {"media_requested"} & daemon.queue().keys(), "nothing left of them")
    for medium in heard.events[0]["media"]:
        assert hashlib.sha256(_photograph(heard, medium["id"]) or b"").hexdigest() == medium["sha256"]
    assert daemon.stop() == 0


def _chunks(heard: Heard) -> int:
    return sum(leaf.startswith("media/") for leaf in heard.leaves)


def test_without_tls_no_command_is_obeyed(rig: Rig) -> None:
    heard, daemon = rig.listen(), rig.unit()
    assert rig.listener is not None
    daemon.start()
    until(lambda: len(heard.take().events) >= 1, "an event")
    request = {"txn": "t9", "args": {"ids": [heard.events[0]["media"][0]["id"]]}}
    rig.listener.say(f"{BASE}/cmd/media_get", json.dumps(request).encode())
    until(lambda: "res/media_get" in heard.take().leaves, "an answer")
    answer = json.loads(heard.leaves["res/media_get"][0])
    assert (answer["txn"], answer["code"]) == ("t9", 401)
    assert daemon.stop() == 0


@pytest.mark.parametrize("keep", [True, False], ids=["with its database", "without"])
def test_a_broker_that_restarts(rig: Rig, keep: bool) -> None:
    heard, daemon = rig.listen(), rig.unit()
    daemon.start()
    until(lambda: len(heard.take().events) >= 3, "three events")
    rig.broker.stop()
    before = kept(daemon)
    until(lambda: kept(daemon) >= before + 3, "bursts in the outage")
    rig.deaf()
    if not keep:
        (rig.folder / "mosquitto.db").unlink()
    rig.broker.start()
    earlier = heard
    heard = rig.listen()
    until(lambda: len(heard.take().events) >= 3, "the catch-up")
    until(lambda: "birth" in heard.take().leaves, "the retained leaves, kept or sent again")
    for event_id, payloads in earlier.payloads.items():
        heard.payloads.setdefault(event_id, []).extend(payloads)
    end(daemon, heard)


def test_a_frozen_broker_is_left_by_the_age_of_its_answers(rig: Rig) -> None:
    heard, daemon = rig.listen(), rig.unit(mqtt={"keepalive_s": 5})
    daemon.start()
    until(lambda: len(heard.take().events) >= 2, "two events")
    rig.freeze(signal.SIGSTOP)
    before = kept(daemon)
    until(lambda: kept(daemon) >= before + 5, "bursts while it is frozen")
    until(lambda: "link lost" in daemon.log.read_text(), "the link given up", within_s=8.0 + 4.0)
    rig.freeze(signal.SIGCONT)
    until(lambda: len(heard.take().events) >= before + 5, "the catch-up")
    end(daemon, heard)


def test_nobody_hears_events_but_the_rest_goes_on(rig: Rig) -> None:
    """Only that leaf rests; it is tried again by itself when somebody listens."""
    daemon = rig.unit()
    others = Listener(rig.broker.port, f"{BASE}/thumb/#")
    daemon.start()
    until(lambda: kept(daemon) >= 3, "three events")
    until(lambda: others.messages.qsize() >= 3, "their thumbnails")
    assert not any(event.state is State.DELIVERED for event in daemon.events())
    heard = rig.listen()
    until(lambda: len(heard.take().events) >= 3, "the probe and what follows it")
    others.close()
    end(daemon, heard)
