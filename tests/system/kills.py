"""Lives of a daemon that end by SIGKILL, with its link: at any moment, or at the n-th call of one kind.

The way to the broker is a wire with a delay, cut as soon as the process is dead: what was in the socket or on
its way is lost, as with the radio of a unit whose power goes. Between two calls nothing changes on a disk: a
kill at the entry of one call is a kill right after the call before it.
"""

from __future__ import annotations

import hashlib
import random
import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests import canary
from tests.brokers import Listener, make_mosquitto
from tests.system.daemon import BASE, Daemon, Heard, until
from tests.wires import Wire
from trapd import parts
from trapd.records import Event, State

WINDOW = parts.WINDOW.messages

_DELAY_S = 0.1
_EVERY_S = 0.1
_LONGEST_LIFE_S = 3.0
_MODEL_IN = 12  # one life in so many judges with the real model
_RANDOM_IN = 4  # and one in so many ends at any moment

# What is written, each with how often one thread calls it in a life of a few bursts, about.
_CALLS = {
    "write": 60,
    "pwrite64": 150,
    "fsync": 90,
    "fdatasync": 40,
    "link": 50,
    "unlink": 50,
    "rename": 2,
    "ftruncate": 2,
    "mkdir": 2,
    "sendto": 40,
    "recvfrom": 40,
}
_DONE = re.compile(r"(?P<thread>\d+) +(?:<\.\.\. )?(?P<call>\w+)(?:\(| resumed)")


class Campaign:
    """One store, killed again and again, before a Mosquitto that never is."""

    def __init__(self, folder: Path, photographs: Path, seed: int, *, module: str = "trapd") -> None:
        folder.mkdir()
        self.folder = folder
        self.draw = random.Random(seed)
        self.after: Counter[str] = Counter()  # what had been done last before each kill
        self.most_repeats = 0
        self.repeats = 0
        self.kills = 0
        self._heard_before = 0
        self.broker = make_mosquitto(folder, "allow_anonymous true", "max_queued_messages 0")
        self.broker.start()
        self.wire = Wire(self.broker.port, delay_s=_DELAY_S)
        self.heard = Heard(Listener(self.broker.port, f"{BASE}/#"))
        self.daemon = Daemon(
            folder,
            photographs,
            self.wire.port,
            burst={"interval_s": 0},
            trigger={"max_per_hour": 1_000_000},
            heartbeat_s=1,
        )
        self.daemon.module = module

    def run(self, kills: int) -> None:
        """So many lives, and a quiet one that hands over what is left; then nothing may be missing."""
        try:
            for _ in range(kills):
                self._one_life()
            self._last_life()
            self._check()
        finally:
            self.close()

    def close(self) -> None:
        self.daemon.close()
        self.heard.listener.close()
        self.wire.close()
        self.broker.stop()
        canary.look_through(self.folder)

    def _one_life(self) -> None:
        model = self.draw.randrange(_MODEL_IN) == 0
        self.daemon.configure(sensor={"every_s": _EVERY_S}, filter={"backend": "tflite" if model else "none"})
        trace = self.folder / "trace"
        trace.unlink(missing_ok=True)
        at_random = self.draw.randrange(_RANDOM_IN) == 0
        self.daemon.start(under=() if at_random else self._strace(trace))
        by_itself = self.daemon.ends(
            self.draw.uniform(0.2, _LONGEST_LIFE_S / 2) if at_random else _LONGEST_LIFE_S
        )
        self.daemon.kill()
        self.wire.cut()
        self.kills += 1
        self.after["any moment" if at_random or not by_itself else _last_done(trace)] += 1
        self._count_repeats()

    def _strace(self, trace: Path) -> list[str]:
        call = self.draw.choice(list(_CALLS))
        number = self.draw.randint(1, _CALLS[call])
        return [
            "strace", "-D", "-f", "-qq", "-s", "0", "-o", str(trace), "-e", f"trace={','.join(_CALLS)}",
            "-e", f"inject={call}:signal=KILL:when={number}",
        ]  # fmt: skip

    def _last_life(self) -> None:
        self.daemon.configure(sensor={"every_s": 3600}, filter={"backend": "none"})
        lives = self._log().count("is up; epoch")
        self.daemon.start()
        until(lambda: self._log().count("is up; epoch") > lives and self.daemon.drained(), "the queue empty")
        assert self.daemon.stop() == 0
        # The goodbye goes last: whatever the broker had before it has been passed on.
        until(lambda: self.heard.take().leaves.get("availability", [b""])[-1] == b"stopped", "the goodbye")
        self._count_repeats()

    def _log(self) -> str:
        return self.daemon.log.read_text() if self.daemon.log.exists() else ""

    def _count_repeats(self) -> None:
        """What came again since the kill before; of whatever life its first copy was."""
        repeats = sum(len(payloads) - 1 for payloads in self._messages().values())
        self.most_repeats = max(self.most_repeats, repeats - self.repeats)
        self.repeats = repeats

    def _messages(self) -> dict[str, list[bytes]]:
        """Every copy of each event and thumbnail."""
        self.heard.take()
        thumbs = {leaf: copies for leaf, copies in self.heard.leaves.items() if leaf.startswith("thumb/")}
        return self.heard.payloads | thumbs

    def _check(self) -> None:
        assert self.most_repeats <= WINDOW, f"{self.most_repeats} repeats after one kill"
        stored = self.daemon.events()
        self.heard.assert_nothing_lost(stored)
        due = [event for event in stored if event.state is State.DELIVERED]
        lost = {f"thumb/{event.id}" for event in due if event.thumb} - set(self.heard.leaves)
        assert not lost, f"lost: {sorted(lost)}"
        assert all(len(set(copies)) == 1 for copies in self._messages().values())
        assert_nothing_left_over(self.daemon.root, stored)


def assert_nothing_left_over(root: Path, stored: list[Event]) -> None:
    """No file without a row, no row without its file, every file as its row has it, a sound database."""
    media = {medium.path or "": medium for event in stored for medium in event.media}
    assert {str(path.relative_to(root)) for path in (root / "media").rglob("*.jpg")} == set(media)
    for path, medium in media.items():
        assert hashlib.sha256((root / path).read_bytes()).hexdigest() == medium.sha256
    thumbs = {event.thumb[0] for event in stored if event.thumb}
    assert {str(path.relative_to(root)) for path in (root / "thumbs").iterdir()} == thumbs
    for folder in ("tmp", "orphans"):
        assert not list((root / folder).iterdir())
    with closing(sqlite3.connect(root / "trapd.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []


def _last_done(trace: Path) -> str:
    """The call that had come back last when the process was killed."""
    until(lambda: trace.exists() and "killed by SIGKILL" in trace.read_text(), "the trace's end")
    done = [
        found["call"]
        for line in trace.read_text().splitlines()
        if not line.endswith(("= ?", "<unfinished ...>")) and (found := _DONE.match(line))
    ]
    return f"after {done[-1]}" if done else "at the start"
