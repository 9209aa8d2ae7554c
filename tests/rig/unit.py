"""A unit as its people have it: the package installed, a broker with TLS beside it, and a listener."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.brokers import make_certificates
from tests.canary import PASSWORD
from tests.rig.machine import Machine, as_root
from tests.rig.root import CHECKOUT
from trapd.demo.photographs import make_bursts

UNIT = "ridge-07"
BASE = f"trapd/v1/{UNIT}"
CONFIG = "/etc/trapd/config.yaml"
CREDENTIAL = "/etc/credstore/trapd.mqtt-password"
PACKAGE = "/shared/trapd.deb"
STAND_INS = ("python3-picamera2", "python3-lgpio")  # Raspberry Pi's archive alone has them
BOOKWORM = (
    "systemd,systemd-sysv,dbus,procps,python3,python3-numpy,python3-pip-whl,python3-gpiozero,"
    "mosquitto,mosquitto-clients"
)
REAL_CAMERA = {"backend": "picamera2", "size": [1280, 720], "filter_size": [640, 360]}
PHOTOGRAPHS = {"backend": "replay", "path": "/shared/photographs"}
MEMORY_OF_THE_CAMERA = "LD_PRELOAD=/usr/local/lib/trapd-rig/dma_heap.so"  # no Pi: no /dev/dma_heap
_INSIDE_BROKER = """
listener 8883
cafile /shared/tls/ca.pem
certfile /shared/tls/server.pem
keyfile /shared/tls/server.key
password_file /shared/tls/passwords
allow_anonymous false
"""


def prepare(shared: Path) -> None:
    """Everything that the machine is handed: the package, stand-ins for what it depends on, certificates."""
    subprocess.run(
        [CHECKOUT / "scripts" / "package", "amd64", "--into", shared], check=True, capture_output=True
    )
    (built,) = shared.glob("trapd_*_amd64.deb")
    built.rename(shared / "trapd.deb")
    for name in STAND_INS:
        stand_in(shared, name)
    tls = shared / "tls"
    tls.mkdir()
    make_certificates(tls, client=UNIT)
    passwords = tls / "passwords"
    passwords.touch(0o600)
    for user, password in ((UNIT, PASSWORD), ("desk", "desk")):
        words = ["mosquitto_passwd", "-b", str(passwords), user, password]
        subprocess.run(words, check=True, capture_output=True)
    for file in tls.iterdir():
        file.chmod(0o644)  # Mosquitto gives up root before it reads
    make_bursts(shared / "photographs")
    (shared / "mosquitto.conf").write_text(_INSIDE_BROKER)
    shutil.copy(Path(__file__).with_name("probe.py"), shared / "probe.py")
    shared.chmod(0o755)


def bookworm() -> Path:
    """A Debian 12, as this machine's mmdebstrap makes it; cached like the other root. It has no camera."""
    cache = Path(os.environ.get("TRAPD_RIG_CACHE", "~/.cache/trapd")).expanduser()
    made = cache / f"bookworm-{hashlib.sha256(BOOKWORM.encode()).hexdigest()[:12]}"
    if not made.exists():
        half = cache / "half-bookworm"
        words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={BOOKWORM}", "bookworm", str(half)]
        subprocess.run([*as_root(), "rm", "-rf", str(half)], check=True)
        subprocess.run([*as_root(), *words], check=True, capture_output=True)
        subprocess.run([*as_root(), "mv", str(half), str(made)], check=True)
    return made


def stand_in(folder: Path, name: str) -> None:
    """An empty package of that name."""
    tree = folder / f"{name}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1~rig\nArchitecture: all\nMaintainer: rig <rig@localhost>\n"
        "Description: stands in for what Raspberry Pi's archive has\n"
    )
    words = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(folder / f"{name}.deb")]
    subprocess.run(words, check=True, capture_output=True)


def document(**sections: Any) -> dict[str, Any]:
    """The unit's configuration; `sections` change some of its keys."""
    found: dict[str, Any] = {
        "unit": {"id": UNIT},
        "sensor": {"backend": "timer", "every_s": 1},
        "burst": {"frames": 1},
        "storage": {"min_free_bytes": 1_000_000},
        "filter": {"classes": ["animal", "person", "vehicle"], "backend": "tflite", "audit_fraction": 1.0},
        "mqtt": {"host": "localhost", "tls": {"enabled": True, "ca_file": "/shared/tls/ca.pem"}},
    }
    for name, keys in sections.items():
        found[name] = found.get(name, {}) | keys
    return found


class Unit:
    """The machine with the package on it."""

    def __init__(self, machine: Machine, camera: dict[str, Any]) -> None:
        self.machine = machine
        self.camera = camera
        self.heard_in = machine.shared / "heard"

    def configure(self, **sections: Any) -> None:
        """Write the configuration file."""
        sections["camera"] = self.camera | sections.get("camera", {})
        self.machine.write(CONFIG, yaml.safe_dump(document(**sections)))

    def drop_in(self, *lines: str, unit: str = "trapd.service", section: str = "Service") -> None:
        """Lines of the tests' own in a unit file."""
        folder = f"/run/systemd/system/{unit}.d"
        self.machine.write(f"{folder}/rig.conf", "\n".join([f"[{section}]", *lines, ""]))
        self.machine.run("systemctl", "daemon-reload")

    def systemctl(self, *words: str, check: bool = True) -> int:
        """systemctl's own exit code."""
        return self.machine.run("systemctl", *words, check=check).returncode

    def begin_broker(self) -> None:
        """Mosquitto, and a subscriber of everything that this unit says."""
        self.machine.write("/etc/hosts", "127.0.0.1 localhost\n")  # the smallest Debian has none
        log = self.machine.shared / "mosquitto.log"
        self.machine.begin("mosquitto", "-v", "-c", "/shared/mosquitto.conf", out=log)
        self.machine.until(lambda: "running" in log.read_text("utf-8", "replace"), "a broker")
        self.machine.begin(
            "mosquitto_sub", "-h", "localhost", "-p", "8883", "--cafile", "/shared/tls/ca.pem",
            "-u", "desk", "-P", "desk", "-q", "1", "-c", "-i", "desk", "-t", f"{BASE}/#",
            "-F", '{"topic":"%t","hex":"%x"}', out=self.heard_in,
        )  # fmt: skip

    def say(self, leaf: str, text: str) -> None:
        """Publish, retained, as the operator does. An empty text clears."""
        words = ("-m", text) if text else ("-n",)
        self.machine.run(
            "mosquitto_pub", "-h", "localhost", "-p", "8883", "--cafile", "/shared/tls/ca.pem",
            "-u", "desk", "-P", "desk", "-q", "1", "-r", "-t", f"{BASE}/{leaf}", *words,
        )  # fmt: skip

    def heard(self, leaf: str) -> list[bytes]:
        """Every payload on a leaf so far."""
        lines = self.heard_in.read_bytes().splitlines()
        messages = [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]
        return [bytes.fromhex(each["hex"]) for each in messages if each["topic"] == f"{BASE}/{leaf}"]

    def events_heard(self) -> dict[str, dict[str, Any]]:
        """Events by id."""
        return {event["id"]: event for event in map(json.loads, self.heard("event"))}

    def events(self) -> list[dict[str, Any]]:
        """Events in the store, as the unit tells them."""
        told = self.machine.told("trapd", "events", "--json", "--limit", "100000")
        return [json.loads(line) for line in told.splitlines()]

    def status(self) -> str:
        """The line that systemctl shows."""
        return self.machine.property("trapd.service", "StatusText")

    def journal(self, *words: str) -> list[dict[str, Any]]:
        """The entries of the daemon, oldest first."""
        told = self.machine.told("journalctl", "--unit", "trapd", "--output", "json", "--no-pager", *words)
        return [json.loads(line) for line in told.splitlines()]

    def restarts(self) -> int:
        return int(self.machine.property("trapd.service", "NRestarts"))


def is_x86_64() -> bool:
    """The root, and the package in it, are for this machine alone."""
    return sys.platform == "linux" and os.uname().machine == "x86_64"
