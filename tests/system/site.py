"""A unit with a broker of its own as an operator would run them: TLS, certificates, passwords, access rules.

The unit comes by the TLS listener with its certificate and its password; the operator by a plain one, so that
what is done to the unit's way in leaves the operator's alone. Everything is real, and on the loopback.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import canary
from tests.brokers import Certificates, Listener, make_certificates, make_mosquitto
from tests.canary import PASSWORD
from tests.system.daemon import BASE, UNIT, Daemon, until
from tests.system.doorman import Doorman, Introduction
from trapd.demo.broker import MosquittoBroker, free_port
from trapd.records import State
from trapd.remote.files import ConfigFiles
from trapd.remote.ledger import Ledger, Trial

OPERATOR = ("operator", "op3rator")
MUTE = "mute"  # a base topic where the unit may write and not read
RULES = f"""
user operator
topic readwrite #

user {UNIT}
topic readwrite trapd/v1/{UNIT}/#
topic read trapd/v1/_group/+/cmd/+
topic write {MUTE}/{UNIT}/#
"""
NO_RULES = "user operator\ntopic readwrite #\n"
WITHIN_S = 120.0  # the machine is shared: what is measured is measured beside this


@dataclass(frozen=True, slots=True)
class Message:
    """What the operator heard, and when."""

    topic: str
    payload: bytes
    at_s: float

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.payload)
        return found


@dataclass(frozen=True, slots=True)
class Kit:
    """What is costly to make and the same for all: certificates, photographs, the broker's passwords.

    `impostor` has the broker's name and another authority; in `other_passwords` the unit has another one.
    """

    certificates: Certificates
    impostor: Certificates
    photographs: Path
    passwords: str
    other_passwords: str


def make_kit(make_folder: Callable[[str], Path], photographs: Path) -> Kit:
    """`make_folder` gives an empty folder for each name."""
    return Kit(
        make_certificates(make_folder("certificates"), client=UNIT),
        make_certificates(make_folder("impostor"), client=UNIT),
        photographs,
        _passwords(make_folder("passwords"), PASSWORD),
        _passwords(make_folder("other-passwords"), "another"),
    )


def _passwords(folder: Path, units: str) -> str:
    file = _secret(folder / "passwords", "")
    for user, password in (OPERATOR, (UNIT, units)):
        subprocess.run(["mosquitto_passwd", "-b", str(file), user, password], check=True, capture_output=True)
    return file.read_text()


class Site:
    """Not running before `start`. `lines` are added to the broker's configuration.

    `door`: the unit comes without TLS, by somebody who decides whom the broker sees.
    """

    def __init__(
        self,
        folder: Path,
        kit: Kit,
        *lines: str,
        door: Callable[[Introduction], bool] | None = None,
        mqtt: dict[str, Any] | None = None,
        **sections: Any,
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.kit = kit
        self.photographs = folder / "photographs"
        shutil.copytree(kit.photographs, self.photographs)
        self.password = canary.hides(_secret(folder / "password", PASSWORD))
        self.operators_port = free_port()
        self.broker = self._broker(lines)
        tls = {
            "ca_file": str(kit.certificates.ca),
            "cert_file": str(kit.certificates.client_cert),
            "key_file": str(kit.certificates.client_key),
            "enabled": True,
        }
        link = {"host": "localhost", "password_file": str(self.password), "tls": tls} | (mqtt or {})
        self.closing = ExitStack()  # what else ends with it
        port = self.broker.port
        if door is not None:
            doorman = Doorman(self.operators_port, door)
            self.closing.callback(doorman.close)
            port = doorman.port
            link |= {"host": "127.0.0.1", "tls": {"enabled": False}}
        plain: dict[str, Any] = {
            "filter": {"backend": "none"},
            "sensor": {"every_s": 1.5},
            "burst": {"frames": 1},
            "remote": {"locked": [], "confirm_s": 10, "allow_plaintext": door is not None},
        }
        self.daemon = Daemon(folder, self.photographs, port, mqtt=link, **plain | sections)
        self.files = ConfigFiles(self.daemon.root)
        self.heard: list[Message] = []
        self._listener: Listener | None = None

    # --- the broker --------------------------------------------------------------------------------------

    def _broker(self, lines: tuple[str, ...]) -> MosquittoBroker:
        _secret(self.folder / "passwords", self.kit.passwords)
        _secret(self.folder / "rules", RULES)
        self._show_certificate(self.kit.certificates)
        return make_mosquitto(
            self.folder,
            f"certfile {self.folder / 'server.pem'}",
            f"keyfile {self.folder / 'server.key'}",
            f"cafile {self.kit.certificates.ca}",
            "require_certificate true",
            "allow_anonymous false",
            f"password_file {self.folder / 'passwords'}",
            f"acl_file {self.folder / 'rules'}",
            *lines,
            f"listener {self.operators_port} 127.0.0.1",
        )

    def new_passwords(self, content: str) -> None:
        _secret(self.folder / "passwords", content)
        self._reload()

    def new_rules(self, content: str) -> None:
        _secret(self.folder / "rules", content)
        self._reload()

    def new_certificate(self, certificates: Certificates) -> None:
        """The broker comes back as somebody else."""
        self.close_ears()
        self.broker.stop()
        self._show_certificate(certificates)
        self.broker.start()
        self.listen()

    def _show_certificate(self, certificates: Certificates) -> None:
        shutil.copy(certificates.server_cert, self.folder / "server.pem")
        shutil.copy(certificates.server_key, self.folder / "server.key")

    def _reload(self) -> None:
        assert self.broker.pid is not None
        os.kill(self.broker.pid, signal.SIGHUP)

    # --- the operator ------------------------------------------------------------------------------------

    def listen(self) -> None:
        until(self._hears_the_operator, "the operator's way in")
        self._listener = Listener(self.operators_port, "#", user=OPERATOR)

    def _hears_the_operator(self) -> bool:
        with socket.socket() as knock:
            return knock.connect_ex(("127.0.0.1", self.operators_port)) == 0

    def close_ears(self) -> None:
        self.take()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def take(self) -> list[Message]:
        """All that was heard so far."""
        while self._listener is not None:
            try:
                found = self._listener.messages.get_nowait()
            except queue.Empty:
                break
            self.heard.append(Message(found.topic, found.payload, time.monotonic()))
        return self.heard

    def on(self, leaf: str, *, after_s: float = 0.0) -> list[Message]:
        """What was heard on a leaf."""
        return [found for found in self.take() if found.topic == f"{BASE}/{leaf}" and found.at_s > after_s]

    def say(
        self, leaf: str, document: Any, *, retain: bool = False, response_topic: str | None = None
    ) -> None:
        assert self._listener is not None
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._listener.say(f"{BASE}/{leaf}", payload, retain=retain, response_topic=response_topic)

    def desire(self, version: int, doc: dict[str, Any], **more: Any) -> None:
        """Publish a document, retained as it should be."""
        made = {"v": 1, "version": version, "txn": f"v{version}", "doc": doc} | more
        self.say("config/desired", made, retain=True)

    def ask(self, command: str, txn: str, **args: Any) -> dict[str, Any]:
        """A command, and its answer."""
        self.say(f"cmd/{command}", {"txn": txn, "args": args})

        def answers() -> list[dict[str, Any]]:
            return [found.document for found in self.on(f"res/{command}") if found.document["txn"] == txn]

        until(lambda: bool(answers()), f"the answer to {command} {txn}", WITHIN_S)
        return answers()[0]

    def attempts(self, *, after_s: float = 0.0) -> list[dict[str, Any]]:
        """The trail."""
        return [found.document for found in self.on("trail", after_s=after_s)]

    def told(self, version: int, code: int) -> Message:
        """Wait for this line of the trail."""

        def lines() -> list[Message]:
            return [
                found
                for found in self.on("trail")
                if (found.document["version"], found.document["code"]) == (version, code)
            ]

        until(lambda: bool(lines()), f"version {version} with {code}; the trail: {self.attempts()}", WITHIN_S)
        return lines()[0]

    def reported(self, phase: str, version: int, *, after_s: float = 0.0) -> Message:
        """Wait for a report of this phase with this version in force."""

        def reports() -> list[Message]:
            return [
                found
                for found in self.on("config/reported", after_s=after_s)
                if (found.document["phase"], found.document["version"]) == (phase, version)
            ]

        until(lambda: bool(reports()), f"a report of {phase}, version {version}", WITHIN_S)
        return reports()[-1]

    def born_with(self) -> str:
        """The hash of the configuration that the unit said at its latest birth."""
        until(lambda: bool(self.on("birth")), "the unit's birth", WITHIN_S)
        found: str = self.on("birth")[-1].document["config"]
        return found

    def reborn(self, config: str, *, after_s: float) -> Message:
        """Wait for a process that runs on this configuration, and has begun since."""

        def births() -> list[Message]:
            return [
                found for found in self.on("birth", after_s=after_s) if found.document["config"] == config
            ]

        until(lambda: bool(births()), "the old configuration at work", WITHIN_S)
        return births()[0]

    # --- the unit ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Everything runs, and the unit has shown all that it can do."""
        self.broker.start()
        self.listen()
        self.daemon.start()
        until(
            lambda: bool(self.on("event") and self.on("config/reported")), "the unit's first event", WITHIN_S
        )

    def ledger(self) -> Ledger:
        return self.files.ledger()

    def trial(self) -> Trial | None:
        return self.files.trial()

    def assert_nothing_lost(self) -> None:
        """Every event that was due has been heard, on whatever topic it went out."""
        until(self.daemon.caught_up(), "the rest of the events", WITHIN_S)
        assert self.daemon.stop() == 0
        stored = self.daemon.events()
        due = {event.id for event in stored if event.state is State.DELIVERED}
        assert due
        until(lambda: due <= self._events(), "the last events, which the broker has", WITHIN_S)
        assert [event.seq for event in stored] == list(range(1, len(stored) + 1))

    def _events(self) -> set[str]:
        return {found.document["id"] for found in self.take() if found.topic.endswith(f"/{UNIT}/event")}

    def close(self) -> None:
        self.daemon.close()
        self.close_ears()
        self.broker.stop()
        self.closing.close()


@contextmanager
def running(site: Site) -> Iterator[Site]:
    """Started, and gone at the end whatever happens."""
    try:
        site.start()
        yield site
    except Exception as error:
        log = site.daemon.log.read_text(errors="replace") if site.daemon.log.exists() else ""
        log = "".join(line for line in log.splitlines(keepends=True) if " kept" not in line)
        raise AssertionError(f"{error!r}\n--- the unit's log ends with\n{log[-3000:]}") from error
    finally:
        site.close()


def _secret(path: Path, content: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(content)
    return path
