"""What comes in, as every Uplink gives it: until it is acknowledged, again with each link."""

from __future__ import annotations

import pytest

from tests.contracts.test_uplink import EVERY, UNIT, WITH_SESSIONS, connect, first
from tests.contracts.uplink_sites import Site
from trapd.ports import Acknowledged, Link, Received, Subscribed


@pytest.fixture(params=WITH_SESSIONS)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def ask(site: Site, link: Link, *payloads: bytes) -> list[Received]:
    """A subscription, and what an operator then says, as the link gives it."""
    link.subscribe((f"{UNIT}/cmd/+",))
    assert first(link) == Subscribed(())
    operator = site.listen(f"{UNIT}/none")
    for payload in payloads:
        operator.say(f"{UNIT}/cmd/ping", payload)
    return [told(link) for _ in payloads]


def told(link: Link) -> Received:
    event = first(link)
    assert isinstance(event, Received)
    return event


def round_trip(link: Link) -> None:
    """What was written before it has reached the broker."""
    link.publish(f"{UNIT}/event", b"x", retain=False)
    assert isinstance(first(link), Acknowledged)


def test_what_is_not_acknowledged_comes_again_and_says_so(site: Site) -> None:
    uplink = site.uplink()
    link, _ = connect(uplink)
    asked = ask(site, link, b"1", b"2")
    assert [(one.payload, one.again) for one in asked] == [(b"1", False), (b"2", False)]
    site.cut()
    link.close()
    again, _ = connect(uplink)
    try:
        came = [told(again), told(again)]
        assert [(one.payload, one.again) for one in came] == [(b"1", True), (b"2", True)]
        assert [one.number for one in came] == [one.number for one in asked]
        for one in asked:
            again.acknowledge(one)  # of another link: nothing
        round_trip(again)
    finally:
        again.close()
    last, _ = connect(uplink)
    try:
        assert [told(last).payload, told(last).payload] == [b"1", b"2"]
    finally:
        last.close()


def test_what_is_acknowledged_does_not_come_again(site: Site) -> None:
    uplink = site.uplink()
    link, _ = connect(uplink)
    for one in ask(site, link, b"1", b"2"):
        link.acknowledge(one)
        link.acknowledge(one)
    round_trip(link)
    site.cut()
    link.close()
    link.acknowledge(one)
    again, _ = connect(uplink)
    try:
        round_trip(again)
    finally:
        again.close()


def test_the_broker_hears_of_them_in_the_order_in_which_they_came(site: Site) -> None:
    """MQTT asks for that; so one that waits holds back those behind it."""
    uplink = site.uplink()
    link, _ = connect(uplink)
    asked = ask(site, link, b"1", b"2", b"3", b"4")
    for one in (asked[2], asked[0]):
        link.acknowledge(one)
    round_trip(link)
    site.cut()
    link.close()
    again, _ = connect(uplink)
    try:
        assert [told(again).payload for _ in range(3)] == [b"2", b"3", b"4"]
    finally:
        again.close()


@pytest.mark.parametrize("backend", EVERY, indirect=True)
def test_acknowledging_harms_nothing_where_nobody_keeps_a_session(site: Site) -> None:
    link, _ = connect(site.uplink())
    for number in range(3):
        (one,) = ask(site, link, b"%d" % number)
        link.acknowledge(one)
        link.acknowledge(Received(one.topic, one.payload, retained=False))
    round_trip(link)
    link.close()


@pytest.mark.rig
@pytest.mark.parametrize(
    ("backend", "most"), [("paho-mosquitto", 32), ("paho-mosquitto-3.1.1", 20)], indirect=["backend"]
)
def test_no_more_come_than_may_wait_and_then_the_rest(site: Site, most: int) -> None:
    """With MQTT 5 we say how many; with 3.1.1 it is the broker's own limit."""
    link, _ = connect(site.uplink())
    link.subscribe((f"{UNIT}/cmd/+",))
    assert first(link) == Subscribed(())
    operator = site.listen(f"{UNIT}/none")
    for number in range(100):
        operator.say(f"{UNIT}/cmd/ping", b"%d" % number)
    came = [told(link) for _ in range(most)]
    assert link.next(0.3) is None
    for number in range(100):
        link.acknowledge(came[number])
        if len(came) < 100:
            came.append(told(link))
    assert [one.payload for one in came] == [b"%d" % number for number in range(100)]
    link.close()
