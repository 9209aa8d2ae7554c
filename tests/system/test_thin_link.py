"""A thin link, 32 kB/s and 300 ms there and back or each way: used, overtaken by alerts, answered in time."""

from __future__ import annotations

import io
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from tests.brokers import WITHIN_S, Listener
from tests.figures import PROVE, tell
from tests.system.daemon import BASE, until
from tests.system.sender import Handed, Sender
from tests.wires import Wire
from trapd.demo.broker import MosquittoBroker
from trapd.records import Kind
from trapd.store import Session

pytestmark = [pytest.mark.slow, pytest.mark.rig, pytest.mark.alone]

RATE = 32_000
EVENTS = 60 if PROVE else 16  # each about 110 kB with its thumbnail and photograph
ALERT_EVERY_S = 4.0
USED = 0.90
OLDEST_S = 5.0


def noise() -> bytes:
    """A photograph of about 90 kB: two chunks."""
    out = io.BytesIO()
    Image.effect_noise((640, 360), 60).convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue()


@dataclass
class Drain:
    """What was seen while a backlog went out."""

    sender: Sender
    alerts: dict[str, int] = field(default_factory=dict)  # by leaf: how much had been handed over before it
    oldest_s: float = 0.0

    def until_empty(self, session: Session) -> None:
        """An alert is raised every now and then."""
        began_s = time.monotonic()

        def empty() -> bool:
            now_s = time.monotonic()
            self.oldest_s = max([self.oldest_s, *(each.waited_s(now_s) for each in list(self.handed))])
            if now_s - began_s > ALERT_EVERY_S * (len(self.alerts) + 1):
                leaf = f"alert/trial{len(self.alerts)}"
                session.outbox.put(Kind.ALERT, leaf, b"{}", retain=True)
                self.alerts[leaf] = len(self.handed)
            return not session.outbox.depth()

        until(empty, "the backlog", within_s=60.0 * EVENTS)

    @property
    def handed(self) -> list[Handed]:
        return self.sender.uplink.handed


@pytest.mark.parametrize("delay_s", [0.15, 0.3])
def test_a_backlog_over_a_thin_link(tmp_path: Path, mosquitto: MosquittoBroker, delay_s: float) -> None:
    listener = Listener(mosquitto.port, f"{BASE}/#")
    wire = Wire(mosquitto.port, rate=RATE, delay_s=delay_s)
    sender = Sender(tmp_path / "store", wire.port)
    drain = Drain(sender)
    try:
        with sender.session() as session:
            for _ in range(EVENTS):
                sender.event(session, [noise()], media=True)
            sender.start()
            until(lambda: sender.stage.online, "the link")
            began_s, before = time.monotonic(), wire.up_bytes
            drain.until_empty(session)
            took_s, sent = wire.up_s - began_s, wire.up_bytes - before
        order = [each.leaf for each in drain.handed]
        arrived = [listener.messages.get(timeout=WITHIN_S).topic.removeprefix(f"{BASE}/") for _ in order]
    finally:
        sender.stop()
        listener.close()
        wire.close()
    used = sent / (RATE * took_s)
    waits = [each.waited_s(0) for each in drain.handed if each.leaf in drain.alerts]
    tell(
        f"thin link ({RATE // 1000} kB/s, {2 * delay_s * 1000:.0f} ms): {sent / 1e6:.1f} MB"
        f" in {took_s:.0f} s, {used:.1%} of it used, oldest unanswered {drain.oldest_s:.2f} s,"
        f" {len(waits)} alerts answered after {statistics.median(waits):.2f} s (median),"
        f" {max(waits):.2f} s at most"
    )
    assert arrived == order
    for leaf, before in drain.alerts.items():
        # One may have been on its way from the store to the socket when the alert was raised.
        assert order.index(leaf) <= before + 1, f"{leaf} waited behind {order[before : order.index(leaf)]}"
    assert len(drain.alerts) >= 5
    assert used >= USED
    assert drain.oldest_s < OLDEST_S
