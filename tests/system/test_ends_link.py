"""A message that the broker will never take, over real links: all else arrives, and it is kept."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import Listener, make_mosquitto
from tests.fakes.camera import jpeg
from tests.system.daemon import BASE, Heard, until
from tests.system.picky import PickyBroker
from tests.system.sender import Sender
from trapd.records import Kind, State
from trapd.store import Session
from trapd.wire.window import Backoff

pytestmark = [pytest.mark.slow, pytest.mark.rig]

EVENTS = 20
WITHIN_S = 300.0


def make_sender(folder: Path, port: int) -> Sender:
    """One that needs seconds for what takes minutes in the field."""
    soon = Backoff(random.Random(3), first_s=0.1, soon_s=0.2, most_s=0.2)
    return Sender(folder / "store", port, backoff=soon, watched=False, blame_within_s=0.2)


@pytest.fixture(params=[None, 0x81, 0x99], ids=["no word", "0x81", "0x99"])
def picky(request: pytest.FixtureRequest) -> Iterator[PickyBroker]:
    broker = PickyBroker(b"", request.param)
    yield broker
    broker.close()


def until_held(sender: Sender) -> None:
    def is_held() -> bool:
        assert sender.failure is None
        return "ends the link" in sender.stage.held_back.why

    until(is_held, "a row that is held", WITHIN_S)


def delivered(session: Session) -> set[str]:
    return {event.id for event in session.events.page(limit=1000) if event.state is State.DELIVERED}


def test_one_row_that_ends_each_link_holds_up_no_other(tmp_path: Path, picky: PickyBroker) -> None:
    sender = make_sender(tmp_path, picky.port)
    try:
        with sender.session() as session:
            ids = [sender.event(session, [jpeg()]).id for _ in range(EVENTS)]
            picky.ends_over = f'"id":"{ids[EVENTS // 2]}"'.encode()
            sender.start()
            until_held(sender)
            until(lambda: len(delivered(session)) == EVENTS - 1, "all other events", WITHIN_S)
            assert delivered(session) == set(ids) - {ids[EVENTS // 2]}
            assert picky.ended == 6
            assert any(topic == f"{BASE}/alert/ends_link" for topic, payload in picky.taken if payload)
            picky.ends_over = b""
            sender.stage.lift_rests()
            until(lambda: len(delivered(session)) == EVENTS, "the one that was held", WITHIN_S)
    finally:
        sender.stop()
        picky.close()


@pytest.mark.parametrize("lines", [(), ("max_packet_size 4000",)], ids=["plain", "takes little"])
def test_mosquitto_ends_the_link_over_a_topic_of_many_levels(tmp_path: Path, lines: tuple[str, ...]) -> None:
    """It takes 200 levels, and calls more a malformed packet."""
    deep = "@" + "/".join("x" * 250)
    with make_mosquitto(tmp_path, "allow_anonymous true", *lines) as broker:
        heard = Heard(Listener(broker.port, f"{BASE}/#"))
        sender = make_sender(tmp_path, broker.port)
        try:
            with sender.session() as session:
                for _ in range(EVENTS // 2):
                    sender.event(session, [jpeg()])
                session.outbox.put(Kind.CONTROL, deep, b"{}", retain=False)
                session.outbox.put(Kind.CONTROL, "res/ping", b"{}", retain=False)
                for _ in range(EVENTS // 2):
                    sender.event(session, [jpeg()])
                sender.start()
                until_held(sender)
                until(lambda: len(delivered(session)) == EVENTS, "all events", WITHIN_S)
                waiting = [row.leaf for row in session.outbox.next(100, max_bytes=10**6)]
                assert deep in waiting
                assert "res/ping" not in waiting
                until(lambda: len(heard.take().events) >= EVENTS, "every event", WITHIN_S)
                heard.assert_nothing_lost(session.events.page(limit=1000))
        finally:
            sender.stop()
            heard.listener.close()
