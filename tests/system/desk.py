"""What docs/operating.md describes, built as it says: broker, certificates, access rules, a unit, a desk."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import canary
from tests.brokers import Listener
from tests.system import page
from tests.system.daemon import UNIT, Daemon
from trapd import __version__
from trapd.demo.broker import MosquittoBroker, free_port, mosquitto_program
from trapd.ports import Received

ALL = "trapd/v1/#"
OTHER = "ridge-08"
_HOST, _EPOCH, _EVENT = "broker.example.org", "3f9a", f"{UNIT}-3f9a-000123"
_WITHIN_S = 120


class PageBroker(MosquittoBroker):
    """Mosquitto with a whole configuration of its own."""

    def __init__(self, port: int, folder: Path, text: str) -> None:
        super().__init__(port, folder)
        self._text = text

    def command(self) -> Sequence[str]:
        """Run it in the foreground."""
        config = self.folder / "mosquitto.conf"
        # As root it would step down to a user that cannot read this folder.
        config.write_text(self._text + ("user root\n" if os.geteuid() == 0 else ""))
        return [str(mosquitto_program()), "-c", str(config)]

    def read_rules_again(self) -> None:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGHUP)


class Desk:
    """A folder in which all commands of the page are run, with the page's names put right for this machine.

    Only these differ from the page: the broker's name and port, where files are, the ids of real events, and
    on the unit what takes the place of a Pi.
    """

    def __init__(self, folder: Path) -> None:
        if mosquitto_program() is None:
            pytest.skip("Mosquitto is not installed")
        self.folder = folder
        self.port = free_port()
        self.names = {
            "listener 8883\n": f"listener {self.port} 127.0.0.1\n",
            "-p 8883": f"-p {self.port}",
            _HOST: "localhost",
            "/etc/mosquitto/certs/": f"{folder}/",
            "/etc/mosquitto/acl": f"{folder}/acl",
            "/var/lib/mosquitto/": f"{folder}/",
            '"0.1.0"': f'"{__version__}"',
        }
        self._write_tools()
        (conf,), (rules, self._stolen) = page.blocks("conf"), page.blocks("acl")
        self.rules = folder / "acl"
        self.rules.write_text(rules.text)
        self.rules.chmod(0o600)
        self.broker = PageBroker(self.port, folder, self.here(conf.text))
        self.daemon: Daemon | None = None
        self.listeners: list[Listener] = []
        self._shown: subprocess.Popen[bytes] | None = None
        self.shown_file = folder / "shown"

    def here(self, text: str) -> str:
        """A text of the page as it is on this machine."""
        for name, instead in self.names.items():
            text = text.replace(name, instead)
        return text

    def know(self, event: dict[str, Any]) -> None:
        """The event that the page speaks of."""
        epoch, n = event["epoch"], event["n"]
        self.names |= {_EVENT: event["id"], f'"{_EPOCH}"': f'"{epoch}"', '"upto":57': f'"upto":{n}'}

    def step(self, step: page.Step) -> page.Step:
        """A step of the page as it is on this machine."""
        promised = [(self.here(topic), _in_all(self.here, payload)) for topic, payload in step.promised]
        return replace(step, script=self.here(step.script), promised=tuple(promised))

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """As it would be typed."""
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self._environ(),
            capture_output=True,
            text=True,
            timeout=_WITHIN_S,
            check=False,
        )

    def show(self, script: str) -> None:
        """The terminal that listens."""
        with self.shown_file.open("wb") as shown:
            self._shown = subprocess.Popen(
                ["bash", "-c", f"exec {script}"], cwd=self.folder, env=self._environ(), stdout=shown
            )

    def shown(self) -> list[tuple[str, bytes]]:
        """What stands in it so far: topics with payloads."""
        lines = self.shown_file.read_bytes().split(b"\n")[:-1]
        parts = [line.partition(b" ") for line in lines]
        return [(topic.decode(), payload) for topic, _, payload in parts]

    def listen(self, who: str, pattern: str = ALL) -> Listener:
        """A subscriber with the certificate of `who`."""
        pair = (self.folder / f"{who}.crt", self.folder / f"{who}.key")
        made = Listener(self.port, pattern, ca_file=self.folder / "ca.crt", pair=pair)
        self.listeners.append(made)
        return made

    def unit(self, photographs: Path, key: str, **sections: dict[str, Any]) -> Daemon:
        """The page's unit, with its certificates beside its file; `key` is what it trusts."""
        for file in self.folder.glob("*.key"):
            canary.keep(canary.forms_of_key(file.name, file.read_bytes()))
        (block,) = page.blocks("yaml")
        document = yaml.safe_load(self.here(block.text))
        document["remote"]["trusted_keys"] = [key]
        document["sensor"] = {"every_s": 2}
        for name, keys in sections.items():
            document[name] = document.get(name, {}) | keys
        self.daemon = Daemon(self.folder, photographs, self.port, **document)
        text = self.daemon.config.read_text()
        self.daemon.config.write_text(f"{text}heartbeat_s: 2\n")
        return self.daemon

    def rob(self) -> None:
        """The page's lines for a unit that was stolen are added, and read."""
        self.rules.write_text(self.rules.read_text() + "\n" + self._stolen.text)
        self.broker.read_rules_again()

    def close(self) -> None:
        if self._shown is not None:
            self._shown.kill()  # while the broker refuses it, it hears no other signal
            self._shown.wait(10)
        if self.daemon is not None:
            self.daemon.close()
        for listener in self.listeners:
            listener.close()
        self.broker.stop()

    def _write_tools(self) -> None:
        """`trapd` in the PATH, and the options of the three clients."""
        tools, config = self.folder / "bin", self.folder / "config"
        for folder in (tools, config):
            folder.mkdir()
        trapd = tools / "trapd"
        trapd.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m trapd "$@"\n')
        trapd.chmod(0o755)
        (options,) = page.blocks("options")
        for client in ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr"):
            (config / client).write_text(self.here(options.text))

    def _environ(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ.get('PATH', '')}"
        return {**os.environ, "PATH": path, "XDG_CONFIG_HOME": str(self.folder / "config")}


def taken(listener: Listener) -> list[Received]:
    """All that it has heard since it was last asked."""
    found = []
    while True:
        try:
            found.append(listener.messages.get_nowait())
        except queue.Empty:
            return found


def _in_all(change: Any, value: Any) -> Any:
    """`value` with every text in it changed; what looks like a quoted text in JSON is one here."""
    if isinstance(value, dict):
        return {name: _in_all(change, each) for name, each in value.items()}
    if isinstance(value, list):
        return [_in_all(change, each) for each in value]
    if isinstance(value, str):
        changed: str = change(f'"{value}"')
        return changed[1:-1]
    return value
