"""kill -9 of the daemon while commands come: each is obeyed or known to be interrupted, and one record.

The broker is a real Mosquitto, which keeps what is not acknowledged. At most 60 records are written in an
hour of running time: so there are fewer commands. One that two processes were killed over, by chance, is
refused by the third, which does not read it, and names it all the same.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.brokers import Listener, make_mosquitto
from tests.figures import PROVE, tell
from tests.system.daemon import BASE, Daemon, until
from trapd.demo.broker import EmbeddedBroker, MosquittoBroker, free_port
from trapd.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.rig]

CAMPAIGNS = 10 if PROVE else 1
ROUNDS, OF_A_ROUND = 5, 10
_LIFE_S = 20.0
_CALLS = {"fdatasync": 25, "pwrite64": 120, "recvfrom": 40, "sendto": 40}

Broker = EmbeddedBroker | MosquittoBroker


class Desk:
    """One store and one broker; who asks, and what they hear."""

    def __init__(self, folder: Path, broker: Broker, protocol: int | str) -> None:
        if shutil.which("strace") is None:
            pytest.skip("strace is not installed")
        self.broker = broker
        broker.start()
        (folder / "none").mkdir()
        self.daemon = Daemon(
            folder,
            folder / "none",
            broker.port,
            sensor={"every_s": 3600},
            filter={"backend": "none"},
            remote={"allow_plaintext": True},
        )
        self.daemon.configure(
            mqtt={"host": "127.0.0.1", "port": broker.port, "tls": {"enabled": False}, "protocol": protocol}
        )
        self.trace = folder / "trace"
        self.listener = Listener(broker.port, f"{BASE}/#")
        self.asked: list[str] = []
        self.answers: dict[str, Counter[int]] = {}
        self.is_online = False

    def ask(self) -> None:
        """One command more."""
        txn = f"t{len(self.asked)}"
        self.asked.append(txn)
        name = ("ping", "disarm", "arm", "status", "rebirth")[len(self.asked) % 5]
        self.listener.say(f"{BASE}/cmd/{name}", json.dumps({"txn": txn}).encode())

    def hear(self) -> None:
        while not self.listener.messages.empty():
            message = self.listener.messages.get()
            if message.topic.endswith("/availability"):
                self.is_online = message.payload == b"online"
            if "/res/" in message.topic:
                said = json.loads(message.payload)
                self.answers.setdefault(said["txn"], Counter())[said["code"]] += 1

    def live(self) -> None:
        """A life that answers all that was asked, and one command more; an orderly end."""
        self.begin()
        self.ask()
        until(self.is_answered, "an answer to each command")
        assert self.daemon.stop() == 0

    def begin(self) -> None:
        """A process, and its link."""
        self.hear()
        self.is_online = False
        self.daemon.start()
        until(self.is_connected, "a link")

    def die(self, under: list[str]) -> None:
        """A life that ends when `under` says."""
        self.daemon.start(under=under)
        self.daemon.ends(_LIFE_S)
        self.daemon.kill()

    def is_connected(self) -> bool:
        """The process that runs has a link, and has asked for its commands: that goes first."""
        self.hear()
        return self.is_online

    def is_answered(self) -> bool:
        self.hear()
        return set(self.asked) <= set(self.answers)

    def under(self, draw: random.Random) -> list[str]:
        call = draw.choice(list(_CALLS))
        return self.after(call, draw.randint(1, _CALLS[call]))

    def after(self, call: str, number: int) -> list[str]:
        return [
            "strace", "-D", "-f", "-qq", "-s", "0", "-o", str(self.trace), "-e", f"trace={call}",
            "-e", f"inject={call}:signal=KILL:when={number}",
        ]  # fmt: skip

    def check(self) -> None:
        """Each was answered alike, and is one record."""
        self.hear()
        with Store.peek(self.daemon.root) as session:
            records = [json.loads(line) for line in session.obeyed.trail(1000)]
        found = Counter(record["txn"] for record in records)
        lost = set(self.asked) - set(found)
        assert not lost, f"without a record: {sorted(lost)}"
        assert set(found.values()) == {1}, f"more than one record: {found.most_common(3)}"
        codes = {record["txn"]: record["code"] for record in records}
        for txn in found:
            assert set(self.answers[txn]) == {codes[txn]}
            assert codes[txn] in (200, 500)

    def close(self) -> None:
        self.daemon.close()
        self.listener.close()
        self.broker.stop()


@contextmanager
def desk(folder: Path, broker: Broker, protocol: int | str) -> Iterator[Desk]:
    made = Desk(folder, broker, protocol)
    try:
        yield made
    finally:
        made.close()


def mosquitto(folder: Path) -> MosquittoBroker:
    return make_mosquitto(folder, "allow_anonymous true", "max_queued_messages 0")


def campaign(made: Desk, seed: int) -> int:
    """So many lives that end badly, and a good one; how often it was killed."""
    draw = random.Random(seed)
    made.live()  # the broker knows the unit from here on
    kills = 0
    for _ in range(ROUNDS):
        for _ in range(OF_A_ROUND):
            made.ask()
        for _ in range(2):
            made.die(made.under(draw))
            kills += 1
    made.live()
    return kills


@pytest.mark.parametrize("protocol", [5, "3.1.1"])
@pytest.mark.parametrize("seed", range(CAMPAIGNS))
def test_whenever_it_is_killed_each_command_is_one_record(
    tmp_path: Path, protocol: int | str, seed: int
) -> None:
    with desk(tmp_path, mosquitto(tmp_path), protocol) as made:
        kills = campaign(made, seed)
        made.check()
        interrupted = sum(500 in codes for codes in made.answers.values())
    tell(
        f"kill -9 while commands come, MQTT {protocol}: {kills} kills, {len(made.asked)} commands,"
        f" 0 lost, one record each ({interrupted} interrupted, and said so)"
    )


def test_acknowledging_before_noting_is_found(tmp_path: Path) -> None:
    with desk(tmp_path, mosquitto(tmp_path), 5) as made:
        made.live()
        made.daemon.module = "tests.system.forgetful"
        for number in (20, 26, 32, 38, 44):  # while it notes them; where exactly depends on the machine
            for _ in range(OF_A_ROUND):
                made.ask()
            made.die(made.after("fdatasync", number))
        made.daemon.module = "trapd"
        made.begin()
        made.ask()
        until(lambda: made.is_answered() or made.asked[-1] in made.answers, "the last one's answer")
        made.daemon.stop()
        with pytest.raises(AssertionError, match="without a record"):
            made.check()


def test_a_broker_that_keeps_no_session_loses_what_was_on_its_way_and_nothing_else(tmp_path: Path) -> None:
    """The embedded one: it acknowledges what it drops."""
    with desk(tmp_path, EmbeddedBroker(free_port(), tmp_path), 5) as made:
        for _ in range(3):
            made.begin()
            for _ in range(3):
                made.ask()
            until(made.is_answered, "its answers")
            made.daemon.kill()
        made.check()
