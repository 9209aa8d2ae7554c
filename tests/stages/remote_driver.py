"""Control with the real configuration files behind it, beside a Deliver before a broker in memory.

What an operator publishes enters where the uplink's callback hands it over, and goes through Deliver's
Inbound, Control, the configuration's files and the store. A restart is what it is on the unit: a new Control,
which begins with what lies on the disk.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml

from tests.stages.driver import BASE, UNIT, Bench, DeliverDriver
from trapd.config import Here
from trapd.ports import Received
from trapd.remote import start as starting
from trapd.remote.configuration import RemoteConfiguration
from trapd.remote.here import Surroundings
from trapd.stages.capture.orders import Orders
from trapd.stages.control.commands import Means
from trapd.stages.control.desired import Desired, Eyes
from trapd.stages.control.stage import Control
from trapd.stages.control.trail import Trail
from trapd.stages.deliver.stage import DeliverPlan
from trapd.wire.authority import Authority
from trapd.wire.signing import Keyring
from trapd.wire.topics import Topics
from trapd.wire.window import Limit

GROUP = "valley"
TOPICS = Topics("trapd/v1", UNIT)
CONFIRM_S = 60.0


def local_file(bench: Bench, folder: Path, **remote: Any) -> Path:
    """The unit's own configuration. `remote`: more of that section."""
    path = folder / "config.yaml"
    document = {
        "unit": {"id": UNIT, "groups": [GROUP]},
        "storage": {"path": str(bench.store.root)},
        "sensor": {"backend": "timer"},
        "camera": {"backend": "replay", "path": str(folder)},
        "filter": {"backend": "none"},
        "mqtt": {"host": "127.0.0.1", "port": 1883, "tls": {"enabled": False}},
        "remote": {"allow_plaintext": True, "locked": [], "confirm_s": CONFIRM_S} | remote,
    }
    path.write_text(yaml.safe_dump(document))
    return path


class RemoteDriver:
    """`restarts` and `reboots` count; `orders` are what Capture would obey."""

    def __init__(self, bench: Bench, path: Path) -> None:
        self.bench = bench
        self.path = path
        self.restarts = self.reboots = 0
        plan = DeliverPlan(Limit(messages=100, bytes=500_000), 96.0, groups=(GROUP,))
        self.link = DeliverDriver(bench, plan=plan, pass_on=self._offer)
        self.session = bench.store.session()
        self.trail = Trail(bench.clock)
        self.begin()
        self.link.connect()

    def begin(self) -> None:
        """A process of the unit begins."""
        clock, start = self.bench.clock, starting.begin(self.path, Here())
        remote = start.loaded.settings.remote
        authority = Authority(Keyring(remote.trusted_keys), signed_only=remote.require_signature, open_=True)
        around = Surroundings(cannot=lambda wanted: (), used_bytes=lambda: 0, free_bytes=lambda: 10**12)
        self.overlays = RemoteConfiguration(start, around, clock)
        self.orders = Orders()
        self.orders.recall(self.session)
        self._restart_due = False
        desired = Desired(
            topic=TOPICS.full("config/desired"),
            clock=clock,
            authority=authority,
            overlays=self.overlays,
            eyes=Eyes(
                standing=lambda: self.link.stage.standing,
                echo=lambda: self.link.stage.echo,
                camera_seen=lambda: True,
                model_ready=lambda: True,
            ),
            trail=self.trail,
            restart=self._restart,
        )
        means = Means(
            clock=clock,
            overlays=self.overlays,
            orders=self.orders,
            facts=lambda session: {"armed": int(self.orders.armed)},
            rebirth=self.link.stage.lift_rests,
            reboot=self._reboot,
            no_reboot=lambda: "",
            forget_reboot=lambda: None,
            chunk_bytes=lambda: 65_536,
        )
        self.stage = Control(
            topics=TOPICS,
            store=self.bench.store,
            clock=clock,
            authority=authority,
            means=means,
            desired=desired,
            trail=self.trail,
            schema=lambda: b"{}",
            draw=random.Random(1),
            noted=self.link.stage.noted,
        )
        self.stage._begin(self.session)

    def hear(self, topic: str, payload: bytes, *, retained: bool = False, **more: Any) -> None:
        """What the uplink's callback hands over, and the turn of Control that takes it."""
        connection = self.link.stage._connection
        assert connection is not None
        message = Received(topic, payload, retained, **more)
        self.link.stage._inbound.take(self.link.session, connection, message)
        self.stage._turn(self.session, 0.0)

    def say(self, leaf: str, document: object, **more: Any) -> None:
        """A document on one of the unit's own leaves."""
        self.hear(f"{BASE}/{leaf}", json.dumps(document).encode(), **more)

    def pass_by(self, seconds: float = 0.0) -> None:
        """Time passes for all; a restart that is due happens."""
        self.bench.clock.advance(seconds)
        self.link.turn()
        if self.link.stage._connection is None:  # what was on its way has aged by all this time
            self.link.connect()
        self.stage._turn(self.session, 0.0)
        if self._restart_due:
            self.begin()

    def settle(self) -> None:
        """Until no restart is due, and a trial has come to its end."""
        for _ in range(20):
            self.pass_by(CONFIRM_S / 10)
            if not self.overlays.on_trial and not self._restart_due:
                return
        raise AssertionError("the trial does not end")

    @property
    def restart_due(self) -> bool:
        """Whether the process is told to begin anew."""
        return self._restart_due

    def records(self) -> list[dict[str, Any]]:
        """The trail."""
        return [json.loads(payload) for payload in self.session.obeyed.trail(1000)]

    def close(self) -> None:
        self.link.close()
        self.session.close()

    def _offer(self, message: Received) -> bool:
        return self.stage.offer(message)

    def _restart(self) -> None:
        self.restarts += 1
        self._restart_due = True

    def _reboot(self) -> None:
        self.reboots += 1
