"""A unit's Deliver and Control before a broker in memory that keeps a session, one process after another.

A kill is what it is to the broker: the link breaks, and what was not acknowledged comes again with the next.
"""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.uplink import FakeBroker
from tests.stages.control_driver import OPEN, ControlDriver
from tests.stages.driver import BASE, LIMIT, UNIT, Bench, DeliverDriver
from trapd.ports import Received
from trapd.stages.deliver.stage import DeliverPlan
from trapd.wire.authority import Authority

CLIENT = f"trapd-{UNIT}"


class Site:
    """A unit's two stages, one process after another, and their broker."""

    def __init__(self, bench: Bench, authority: Authority = OPEN) -> None:
        self.bench = bench
        self.broker = FakeBroker()
        self.authority = authority
        self.begin()

    def begin(self) -> None:
        """A process begins."""
        plan = DeliverPlan(LIMIT, 96.0, groups=("valley",))
        self.link = DeliverDriver(self.bench, self.broker, plan=plan, pass_on=self._offer)
        self.control = ControlDriver(self.bench, self.authority)
        self.stage = self.control.stage
        self.stage._noted = self.link.stage.noted
        self.stage._begin(self.control.session)
        self.link.connect()

    def _offer(self, message: Received) -> bool:
        return self.stage.offer(message)

    def kill(self) -> None:
        """And ends, wherever it was."""
        self.broker.drop()
        self.control.close()
        self.link.close()

    def say(self, leaf: str, document: object, *, base: str = BASE, **more: Any) -> None:
        """An operator publishes, and Deliver passes it on."""
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.broker.say(f"{base}/{leaf}", payload, **more)
        self.link.turn()

    def turn(self, times: int = 3, *, after_s: float = 0.0) -> None:
        """Both stages."""
        for _ in range(times):
            self.link.turn(after_s=after_s)
            self.control.turn()
            self.link.turn()

    def unacknowledged(self) -> list[str]:
        return [message.topic.removeprefix(f"{BASE}/") for message in self.broker.unacknowledged(CLIENT)]

    def records(self) -> list[tuple[str | None, int | None]]:
        """The trail: txn and code of each."""
        found = [json.loads(line) for line in self.bench.session.obeyed.trail(1000)]
        return [(record.get("txn"), record.get("code")) for record in found]

    def answers(self, leaf: str = "res/ping") -> list[tuple[str, int]]:
        found = [message for message in self.broker.published if message.topic == f"{BASE}/{leaf}"]
        said = [json.loads(message.payload) for message in found]
        return [(each["txn"], each["code"]) for each in said]
