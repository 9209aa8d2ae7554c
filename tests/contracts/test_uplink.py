"""What every Uplink keeps: the fake, and paho against two brokers, two versions of MQTT, and TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet

from tests.brokers import WITHIN_S
from tests.contracts.uplink_sites import Hearing, Site
from trapd.errors import BadInput, LinkUnavailable
from trapd.ports import Acknowledged, Connected, Link, LinkEvent, Lost, Received, Subscribed, Uplink

WILL = ("t/unit/availability", b"offline")
UNIT = "t/unit"


def on_rig(backend: str) -> ParameterSet:
    return pytest.param(backend, marks=pytest.mark.rig)


MOSQUITTO = [on_rig("paho-mosquitto"), on_rig("paho-mosquitto-3.1.1"), on_rig("paho-mosquitto-tls")]
EVERY = ["fake", "paho-embedded", *MOSQUITTO]
# The embedded broker says that it has a session, and keeps nothing for it.
WITH_SESSIONS = ["fake", *MOSQUITTO]
WITH_RECEIVE_MAXIMUM = ["fake", on_rig("paho-mosquitto"), on_rig("paho-mosquitto-tls")]


@pytest.fixture(params=EVERY)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def link(site: Site) -> Iterator[Link]:
    made, _ = connect(site.uplink())
    try:
        yield made
    finally:
        made.close()


def first(link: Link) -> LinkEvent:
    event = link.next(WITHIN_S)
    assert event is not None, "nothing happened"
    return event


def connect(uplink: Uplink) -> tuple[Link, Connected]:
    link = uplink.connect(WILL)
    event = first(link)
    if not isinstance(event, Connected):
        link.close()
        pytest.fail(f"not connected: {event}")
    return link, event


def heard(hearing: Hearing) -> Received:
    return hearing.messages.get(timeout=WITHIN_S)


def test_the_first_event_is_connected(site: Site) -> None:
    link, connected = connect(site.uplink())
    link.close()
    assert not connected.session_present
    assert connected.receive_maximum > 0


def test_nobody_there_is_lost_within_a_bound(site: Site) -> None:
    link = site.unreachable().connect(WILL)
    try:
        event = first(link)
        assert isinstance(event, Lost)
        assert event.reason
        assert event.unreachable
        assert link.next(0.0) is None
    finally:
        link.close()


def test_a_connection_may_have_no_will(site: Site) -> None:
    link = site.uplink().connect(None)
    try:
        assert isinstance(first(link), Connected)
    finally:
        link.close()


def test_nothing_can_be_sent_before_connected(site: Site) -> None:
    link = site.unreachable().connect(WILL)
    try:
        with pytest.raises(LinkUnavailable):
            link.publish(f"{UNIT}/event", b"x", retain=False)
        with pytest.raises(LinkUnavailable):
            link.subscribe((f"{UNIT}/cmd/+",))
    finally:
        link.close()


def test_a_publish_is_acknowledged_by_its_token(site: Site, link: Link) -> None:
    hearing = site.listen(f"{UNIT}/#")
    token = link.publish(f"{UNIT}/event", b"{}", retain=False)
    assert first(link) == Acknowledged(token, 0x00)
    assert heard(hearing) == Received(f"{UNIT}/event", b"{}", retained=False)


def test_two_hundred_publishes_are_each_acknowledged_once(site: Site) -> None:
    hearing = site.listen(f"{UNIT}/#")
    link, connected = connect(site.uplink())
    try:
        room = min(connected.receive_maximum, 50)
        waiting: set[int] = set()
        for number in range(200):
            while len(waiting) >= room:
                take_answer(link, waiting)
            token = link.publish(f"{UNIT}/event", b"%d" % number, retain=False)
            assert token not in waiting
            waiting.add(token)
        while waiting:
            take_answer(link, waiting)
        assert link.next(0.0) is None
    finally:
        link.close()
    assert [heard(hearing).payload for _ in range(200)] == [b"%d" % number for number in range(200)]


def take_answer(link: Link, waiting: set[int]) -> None:
    answer = first(link)
    assert isinstance(answer, Acknowledged)
    assert answer.reason in (0x00, 0x10)
    waiting.remove(answer.token)


@pytest.mark.parametrize("backend", WITH_RECEIVE_MAXIMUM, indirect=True)
def test_never_more_unanswered_messages_than_the_broker_takes(site: Site) -> None:
    link, connected = connect(site.uplink())
    try:
        assert connected.receive_maximum == 20
        for _ in range(connected.receive_maximum):
            link.publish(f"{UNIT}/event", b"x", retain=False)
        with pytest.raises(LinkUnavailable, match="unanswered"):
            link.publish(f"{UNIT}/event", b"x", retain=False)
        assert isinstance(first(link), Acknowledged)
        link.publish(f"{UNIT}/event", b"x", retain=False)
    finally:
        link.close()


def test_payloads_arrive_byte_for_byte(site: Site, link: Link) -> None:
    hearing = site.listen(f"{UNIT}/#")
    payloads = [b"", bytes(range(256)), b"\x00" * 10, bytes(range(256)) * 1200]  # 300 kB
    for payload in payloads:
        link.publish(f"{UNIT}/thumb/1", payload, retain=False)
        assert isinstance(first(link), Acknowledged)
    assert [heard(hearing).payload for _ in payloads] == payloads


def test_a_retained_message_lies_there_for_who_comes_later(site: Site, link: Link) -> None:
    link.publish(f"{UNIT}/birth", b"born", retain=True)
    assert isinstance(first(link), Acknowledged)
    assert heard(site.listen(f"{UNIT}/birth")) == Received(f"{UNIT}/birth", b"born", retained=True)


def test_the_will_is_sent_when_the_link_breaks(site: Site, link: Link) -> None:
    hearing = site.listen(WILL[0])
    site.cut()
    message = heard(hearing)
    assert (message.topic, message.payload) == WILL
    assert isinstance(first(link), Lost)


def test_the_will_is_not_sent_after_close(site: Site) -> None:
    hearing = site.listen(WILL[0])
    link, _ = connect(site.uplink())
    link.publish(WILL[0], b"stopped", retain=False)
    assert isinstance(first(link), Acknowledged)
    link.close()
    again, _ = connect(site.uplink())  # under the same name: by now the broker is done with the first one
    try:
        again.publish(WILL[0], b"online", retain=False)
        again.flush()
        assert [heard(hearing).payload for _ in range(2)] == [b"stopped", b"online"]
    finally:
        again.close()


def test_flush_sends_what_was_handed_over(site: Site) -> None:
    """Nobody asks this link what has happened."""
    hearing = site.listen(f"{UNIT}/#")
    link, _ = connect(site.uplink())
    try:
        link.flush()
        for number in range(10):
            link.publish(f"{UNIT}/event", b"%d" % number, retain=False)
        link.flush()
        assert [heard(hearing).payload for _ in range(10)] == [b"%d" % number for number in range(10)]
    finally:
        link.close()


def test_what_was_handed_over_before_close_is_sent(site: Site) -> None:
    hearing = site.listen(f"{UNIT}/#")
    link, _ = connect(site.uplink())
    for number in range(10):
        link.publish(f"{UNIT}/event", b"%d" % number, retain=False)
    link.close()
    assert [heard(hearing).payload for _ in range(10)] == [b"%d" % number for number in range(10)]


def test_commands_arrive_and_say_whether_they_were_retained(site: Site, link: Link) -> None:
    operator = site.listen(f"{UNIT}/none")
    operator.say(f"{UNIT}/cmd/reboot", b"old", retain=True)
    link.subscribe((f"{UNIT}/cmd/+", f"{UNIT}/receipt"))
    events = [first(link), first(link)]  # in either order
    assert Subscribed(()) in events
    assert Received(f"{UNIT}/cmd/reboot", b"old", retained=True) in events
    operator.say(f"{UNIT}/receipt", b"new")
    assert first(link) == Received(f"{UNIT}/receipt", b"new", retained=False)
    if site.tells_retained:
        operator.say(f"{UNIT}/cmd/reboot", b"live", retain=True)
        assert first(link) == Received(f"{UNIT}/cmd/reboot", b"live", retained=True)


def test_on_a_live_topic_only_what_lay_there_is_retained(site: Site, link: Link) -> None:
    operator = site.listen(f"{UNIT}/none")
    operator.say(f"{UNIT}/config/desired", b"old", retain=True)
    link.subscribe((f"{UNIT}/config/desired", f"{UNIT}/cmd/+"), live=(f"{UNIT}/config/desired",))
    assert Received(f"{UNIT}/config/desired", b"old", retained=True) in [first(link), first(link)]
    operator.say(f"{UNIT}/config/desired", b"new", retain=True)
    assert first(link) == Received(f"{UNIT}/config/desired", b"new", retained=False)


def test_a_broker_that_ends_is_lost(site: Site, link: Link) -> None:
    site.stop()
    event = first(link)
    assert isinstance(event, Lost)
    assert event.ended  # not we, and not silence
    assert link.next(0.0) is None
    with pytest.raises(LinkUnavailable):
        link.publish(f"{UNIT}/event", b"x", retain=False)


@pytest.mark.parametrize("backend", WITH_SESSIONS, indirect=True)
def test_a_fresh_link_finds_nothing_that_waited(site: Site) -> None:
    operator = site.listen(f"{UNIT}/none")
    uplink = site.uplink()
    link, _ = connect(uplink)
    link.subscribe((f"{UNIT}/cmd/+",))
    assert first(link) == Subscribed(())
    link.close()
    operator.say(f"{UNIT}/cmd/ping", b"{}")
    link = uplink.connect(WILL, fresh=True)
    try:
        event = first(link)
        assert isinstance(event, Connected)
        assert not event.session_present
        link.publish(f"{UNIT}/event", b"x", retain=False)
        assert isinstance(first(link), Acknowledged)
    finally:
        link.close()


@pytest.mark.parametrize("backend", WITH_SESSIONS, indirect=True)
def test_the_session_outlives_the_connection(site: Site) -> None:
    operator = site.listen(f"{UNIT}/none")
    uplink = site.uplink()
    link, connected = connect(uplink)
    assert not connected.session_present
    link.subscribe((f"{UNIT}/cmd/+",))
    assert first(link) == Subscribed(())
    link.close()
    operator.say(f"{UNIT}/cmd/ping", b"while away")
    again, connected = connect(uplink)
    try:
        assert connected.session_present
        assert first(again) == Received(f"{UNIT}/cmd/ping", b"while away", retained=False)
    finally:
        again.close()


def test_a_second_connection_of_the_same_name_ends_the_first(site: Site, link: Link) -> None:
    uplink = site.uplink()
    second, _ = connect(uplink)
    try:
        assert isinstance(first(link), Lost)
    finally:
        second.close()


def test_an_impossible_topic_is_refused_and_harms_nothing(site: Site, link: Link) -> None:
    with pytest.raises(BadInput):
        link.publish(f"{UNIT}/#", b"x", retain=False)
    link.publish(f"{UNIT}/event", b"x", retain=False)
    assert isinstance(first(link), Acknowledged)


def test_close_twice_and_nothing_goes_out_after_it(site: Site) -> None:
    link, _ = connect(site.uplink())
    link.close()
    link.close()
    with pytest.raises(LinkUnavailable):
        link.publish(f"{UNIT}/event", b"x", retain=False)
    assert isinstance(first(link), Lost)


def test_close_before_the_first_event(site: Site) -> None:
    link = site.uplink().connect(WILL)
    link.close()
