"""The real daemon as a child process, the way a service manager runs it, and what a receiver heard of it."""

from __future__ import annotations

import json
import os
import queue
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.brokers import Listener
from trapd.errors import StoreOlder, UsageError
from trapd.records import Event, State
from trapd.store import Store

UNIT = "ridge-07"
BASE = f"trapd/v1/{UNIT}"
ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 180.0  # only so that nothing hangs: another machine may be slow, and have other work
_LOOK_S = 0.1
_ON_ITS_WAY_S = 30.0  # what a broker has taken, until its receiver has it: on a slow machine


def until(condition: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Look until `condition` holds; fails the test, naming `what`, when it does not in time."""
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {within_s:.0f} s: {what}"
        # A child process works at its own pace: looking again later is all that can be done.
        time.sleep(_LOOK_S)


class Daemon:
    """`trapd run` on a storage folder of its own. `module` is what Python runs: trapd, or a wrapper of it;
    or `program`, with all that Python takes.
    """

    module = "trapd"

    def __init__(self, folder: Path, photographs: Path, port: int, **sections: Any) -> None:
        self.root = folder / "store"
        self.config = folder / "config.yaml"
        self.log = folder / "daemon.log"
        self.document: dict[str, Any] = {
            "unit": {"id": UNIT},
            "storage": {"path": str(self.root), "min_free_bytes": 50_000_000},
            "sensor": {"backend": "timer", "every_s": 0.5},
            "camera": {"backend": "replay", "path": str(photographs)},
            "burst": {"interval_s": 0.05},
            "mqtt": {"host": "127.0.0.1", "port": port, "tls": {"enabled": False}},
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.program: tuple[str, ...] = ()
        self.configure(**sections)

    def configure(self, **sections: Any) -> None:
        """Change these keys of these sections; the next start reads them."""
        for name, keys in sections.items():
            self.document[name] = self.document.get(name, {}) | keys if isinstance(keys, dict) else keys
        self.config.write_text(yaml.safe_dump(self.document))

    def start(self, environ: dict[str, str] | None = None, *, under: Sequence[str] = ()) -> None:
        """`under`: a program that runs the daemon, and steps aside for it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *under,
                    sys.executable,
                    *(self.program or ("-m", self.module)),
                    "run",
                    "--config",
                    str(self.config),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **(environ or {})},
            )

    def ends(self, within_s: float) -> bool:
        """Wait, at most so long, for the process to end by itself; True if it has. Wakes at once."""
        assert self.process is not None
        descriptor = os.pidfd_open(self.process.pid)
        try:
            return bool(select.select([descriptor], [], [], within_s)[0])
        finally:
            os.close(descriptor)

    def stop(self) -> int:
        """SIGTERM, as the service manager does; the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut does to a process."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        return process.wait(WITHIN_S)

    def close(self) -> None:
        if self.process is not None:
            self.kill()

    def events(self) -> list[Event]:
        """Every event in the store, whether or not the daemon runs."""
        try:
            with Store.peek(self.root) as session:
                return session.events.page(limit=1_000_000)
        except (UsageError, StoreOlder):  # no store yet, or one that is just being made
            return []

    def queue(self) -> dict[str, int]:
        with Store.peek(self.root) as session:
            return session.outbox.depth()

    def caught_up(self) -> Callable[[], bool]:
        """A condition: what is here now has been judged and sent. What comes meanwhile is no part of it."""
        now = {event.id for event in self.events()}
        waiting = (State.CAPTURED, State.KEPT)
        return lambda: not any(event.id in now and event.state in waiting for event in self.events())

    def drained(self) -> bool:
        """For a quiet unit: all is judged, and nothing waits to be sent but a heartbeat."""
        if any(event.state in (State.CAPTURED, State.KEPT) for event in self.events()):
            return False
        return not (self.queue().keys() - {"state"})


@dataclass
class Heard:
    """What a receiver makes of the messages: events by id, with every payload of each."""

    listener: Listener
    payloads: dict[str, list[bytes]] = field(default_factory=dict)
    leaves: dict[str, list[bytes]] = field(default_factory=dict)

    def take(self) -> Heard:
        while True:
            try:
                message = self.listener.messages.get_nowait()
            except queue.Empty:
                return self
            leaf = message.topic.removeprefix(f"{BASE}/")
            self.leaves.setdefault(leaf, []).append(message.payload)
            if leaf == "event":
                self.payloads.setdefault(json.loads(message.payload)["id"], []).append(message.payload)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The first payload of each event, in the order of `n`."""
        first = [json.loads(payloads[0]) for payloads in self.payloads.values()]
        return sorted(first, key=lambda event: event["n"])

    def await_all(self, ids: set[str]) -> Heard:
        """The broker took these events: they come, or after a while they count as lost."""
        end_s = time.monotonic() + _ON_ITS_WAY_S
        while not ids <= self.take().payloads.keys() and time.monotonic() < end_s:
            time.sleep(_LOOK_S)
        return self

    def assert_nothing_lost(self, stored: list[Event]) -> None:
        """Every event that was due arrived, numbers have no gap, repeats say the same."""
        due = {event.id for event in stored if event.state in (State.KEPT, State.DELIVERED)}
        self.await_all(due)
        assert due <= set(self.payloads), f"lost: {sorted(due - set(self.payloads))}"
        assert due == set(self.payloads), f"never stored: {sorted(set(self.payloads) - due)}"
        assert [event["n"] for event in self.events] == list(range(1, len(due) + 1))
        for event_id, payloads in self.payloads.items():
            assert len(set(payloads)) == 1, f"{event_id} arrived with different contents"


def kept(daemon: Daemon) -> int:
    return sum(event.state in (State.KEPT, State.DELIVERED) for event in daemon.events())


def all_delivered(daemon: Daemon) -> bool:
    return all(event.state in (State.DELIVERED, State.DISCARDED) for event in daemon.events())


def end(daemon: Daemon, heard: Heard) -> None:
    """No more triggers; what is left arrives, and nothing was lost."""
    assert daemon.stop() == 0
    quietly(daemon)
    until(lambda: all_delivered(daemon), "everything delivered")
    assert daemon.stop() == 0
    heard.assert_nothing_lost(daemon.events())


def quietly(daemon: Daemon) -> None:
    """Start it again, without a trigger; it is connected when this returns."""
    before = daemon.log.read_text().count("trapd.deliver: connected")
    daemon.config.write_text(re.sub(r"every_s: .*", "every_s: 3600", daemon.config.read_text()))
    daemon.start()
    until(lambda: daemon.log.read_text().count("trapd.deliver: connected") > before, "the link")
