"""Sixty megabytes that lie at a real broker for a unit on MQTT 3.1.1."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.brokers import Listener, make_mosquitto
from tests.fakes.camera import jpeg
from tests.system.daemon import BASE, until
from tests.system.sender import Sender
from tests.system.test_ends_link import delivered
from trapd.wire.window import Backoff

pytestmark = [pytest.mark.slow, pytest.mark.rig]

WITHIN_S = 300.0


def test_a_unit_goes_on_beside_sixty_megabytes_that_are_retained(tmp_path: Path) -> None:
    with make_mosquitto(tmp_path) as broker:
        listener = Listener(broker.port, f"{BASE}/event")
        operator = Listener(broker.port, f"{BASE}/alert/#")
        operator.say(f"{BASE}/receipt", bytes(60_000_000), retain=True)
        soon = Backoff(random.Random(3), first_s=0.1, soon_s=0.2, most_s=0.2)
        sender = Sender(tmp_path / "store", broker.port, backoff=soon, watched=False, protocol="3.1.1")
        try:
            with sender.session() as session:
                sender.start()
                until(lambda: session.counters.all().get("inbound_too_large") == 1, "the end of a link")
                until(lambda: "heard" in sender.stage.standing, "another link", WITHIN_S)
                ids = {sender.event(session, [jpeg()]).id for _ in range(20)}
                until(lambda: delivered(session) == ids, "all events", WITHIN_S)
                assert session.counters.all()["inbound_too_large"] == 1
                operator.say(f"{BASE}/receipt", b"", retain=True)
                sender.stage.lift_rests()

                def is_heard() -> bool:
                    operator.say(f"{BASE}/receipt", b"no receipt")
                    return "receipts_bad" in session.counters.all()

                until(is_heard, "an ear for it", WITHIN_S)
        finally:
            sender.stop()
            listener.close()
            operator.close()
