"""A real broker in a process of its own, on the loopback only: for the demo and for tests.

It can really be ended and started again on its port. It ends with the process that started it, even when that
one is killed: a small shell holds the other end of a pipe and kills the broker when the pipe closes.
Used by one thread.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from trapd.errors import Unavailable

HOST = "127.0.0.1"

_START_WITHIN_S = 60.0  # the embedded one is an interpreter first: on a slow machine that takes its time
_STOP_WITHIN_S = 5.0
_LOOK_S = 0.02
_TAIL_CHARS = 400
_GIVEN_AWAY = 32_768  # from here on Linux gives ports to outgoing connections
_handed_out: set[int] = set()

# The number of the process to end comes on the first line; the end of input is the end of its owner.
_WATCH = 'read -r broker && { read -r _; kill -9 "$broker"; }'

# rumqttd says each packet at level ERROR; only what the interpreter itself says is of use to us.
_EMBEDDED = """
import logging, sys
logging.basicConfig(level=logging.WARNING)
logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
from iotcore import IotCoreBroker
IotCoreBroker(config_path=sys.argv[1]).run_forever()
"""

_EMBEDDED_TOML = """\
id = 0

[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 16777216
max_segment_count = 8

[v5.main]
name = "main"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.main.connections]
connection_timeout_ms = 5000
max_payload_size = 4000000
max_inflight_count = 200
dynamic_filters = true
"""

_MOSQUITTO_CONF = """\
listener {port} {host}
persistence false
{lines}
"""


class Broker(Protocol):
    """A broker that can be ended and started again."""

    port: int

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises Unavailable."""

    def stop(self) -> None:
        """End its process: all connections break. Nothing to do when it does not run."""

    @property
    def running(self) -> bool:
        """Whether the process lives."""


class _Process:
    """A broker's process and the shell that watches over it."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.folder = folder
        self.output = folder / f"broker-{port}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        """What to run; makes the files it needs. Raises Unavailable."""
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        """The broker's process, for tests that freeze or kill it."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises Unavailable."""
        if self.running:
            return
        self.stop()
        if _answers(self.port):
            raise Unavailable(
                f"port {self.port} is taken by another program", "choose another one with --port"
            )
        try:
            self._spawn(self.command())
        except OSError as error:
            self.stop()
            raise Unavailable(f"the broker cannot be run: {error}", "try the other kind of broker") from error
        until_s = time.monotonic() + _START_WITHIN_S
        while not _answers(self.port):
            if not self.running or time.monotonic() > until_s:
                said = self._tail()
                self.stop()
                raise Unavailable(f"the broker did not start: {said}", f"its output stands in {self.output}")
            time.sleep(_LOOK_S)

    def stop(self) -> None:
        """End the process and free its port; may be called twice."""
        process, watch, self._process, self._watch = self._process, self._watch, None, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_WITHIN_S)
        if watch is not None:
            watch.kill()
            watch.wait(_STOP_WITHIN_S)
            if watch.stdin is not None:
                watch.stdin.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self, command: Sequence[str]) -> None:
        # The watch comes first: whenever this process is killed, somebody is there to see it. Sessions of
        # their own keep a Ctrl-C for whoever is meant by it.
        watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._watch = watch
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if watch.stdin is not None:
            watch.stdin.write(b"%d\n" % self._process.pid)
            watch.stdin.flush()

    def _tail(self) -> str:
        try:
            text = self.output.read_text(errors="replace").strip()
        except OSError as error:
            return f"no output ({error})"
        return text[-_TAIL_CHARS:] or "it said nothing"


class EmbeddedBroker(_Process):
    """The broker that comes with the iotcore package. It keeps nothing over a stop."""

    def command(self) -> Sequence[str]:
        """Run it in an interpreter of its own: it cannot be ended otherwise."""
        if importlib.util.find_spec("iotcore") is None:
            raise Unavailable("the embedded broker is not installed", "install trapd[demo], or Mosquitto")
        config = self.folder / f"broker-{self.port}.toml"
        config.write_text(_EMBEDDED_TOML.format(host=HOST, port=self.port))
        return [sys.executable, "-P", "-c", _EMBEDDED, str(config)]


class MosquittoBroker(_Process):
    """A Mosquitto that is on this machine. `lines` are added to its configuration, after the listener's."""

    def __init__(self, port: int, folder: Path, lines: Sequence[str] = ("allow_anonymous true",)) -> None:
        super().__init__(port, folder)
        self._lines = tuple(lines)

    def command(self) -> Sequence[str]:
        """Run it in the foreground."""
        program = mosquitto_program()
        if program is None:
            raise Unavailable("Mosquitto is not installed", "apt install mosquitto")
        config = self.folder / f"broker-{self.port}.conf"
        lines = list(self._lines)
        if os.geteuid() == 0:
            lines.append("user root")  # else it steps down to a user that cannot read this folder
        config.write_text(_MOSQUITTO_CONF.format(host=HOST, port=self.port, lines="\n".join(lines)))
        return [program, "-c", str(config)]


def mosquitto_program() -> str | None:
    """Where Mosquitto is; Debian keeps it where an ordinary user's PATH does not look."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A port of the loopback that nobody has now, and that the kernel gives to no connection.

    A broker that goes away must find its port free when it comes back: no port is handed out twice.
    """
    for port in random.SystemRandom().sample(range(20_000, _GIVEN_AWAY), 100):
        if port in _handed_out:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            _handed_out.add(port)
            return port
    raise Unavailable("a hundred ports of the loopback are taken", hint="end what listens on them")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1.0):
            return True
    except OSError:
        return False
