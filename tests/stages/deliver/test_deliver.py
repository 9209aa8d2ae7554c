"""Deliver: connecting, order, the window, and leaves that nobody hears."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.stages.driver import BASE, DEAD_AFTER_S, LIMIT, Bench, DeliverDriver
from trapd.errors import StoreUnwritable
from trapd.ports import Lost
from trapd.records import Kind, State
from trapd.rules import NS_PER_S
from trapd.wire.window import Limit

NOBODY, REFUSED = 0x10, 0x87


def only(leaf: str, reason: int) -> Callable[[str], int]:
    """A broker's answer that is `reason` for this leaf and what is below, success for all else."""
    return lambda topic: reason if topic.removeprefix(f"{BASE}/").partition("/")[0] == leaf else 0x00


def states(bench: Bench) -> list[State]:
    return [event.state for event in bench.events()]


# --- connecting --------------------------------------------------------------------------------------------


def test_the_will_says_offline_and_the_first_word_is_online(link: DeliverDriver) -> None:
    link.connect()
    assert link.leaves() == ["availability"]
    assert link.broker.retained[f"{BASE}/availability"] == b"online"
    link.broker.drop()
    assert link.broker.retained[f"{BASE}/availability"] == b"offline"
    link.connect()
    assert link.broker.retained[f"{BASE}/availability"] == b"online"


def test_nothing_is_published_before_the_broker_has_us(
    bench: Bench, link: DeliverDriver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bench.kept()
    link.broker.silent = True
    link.turn(10, after_s=1.0)
    assert link.leaves() == []
    assert not link.stage.online
    assert "waits" not in caplog.text  # nor tried


def test_a_broker_that_does_not_answer_is_tried_again(link: DeliverDriver) -> None:
    link.broker.silent = True
    link.turn(44, after_s=1.0)
    assert link.broker.connects == 1
    link.turn(20, after_s=1.0)
    assert link.broker.connects == 2


def test_the_pause_between_attempts_grows_and_is_bounded(link: DeliverDriver) -> None:
    link.broker.refusal = Lost("nothing listens there")
    attempts_s = []
    begin_ns = link.clock.boot_ns()
    while (now_s := (link.clock.boot_ns() - begin_ns) / NS_PER_S) < 3600:
        before = link.broker.connects
        link.turn(after_s=0.1)
        if link.broker.connects > before:
            attempts_s.append(now_s)
    pauses = [later - earlier for earlier, later in pairwise(attempts_s)]
    assert max(pauses[:15]) <= 6.0
    assert 30.0 < max(pauses) <= 121.0


def test_a_stop_is_not_kept_waiting_by_the_pause(link: DeliverDriver) -> None:
    link.broker.refusal = Lost("nothing listens there")
    link.turn(2)
    link.stage.stop.set()
    before_ns = link.clock.boot_ns()
    link.turn()
    assert link.clock.boot_ns() - before_ns <= NS_PER_S


def test_who_refuses_us_is_an_alert_until_it_takes_us(bench: Bench, link: DeliverDriver) -> None:
    link.broker.refusal = Lost("the broker does not accept user name or password", 0x86)
    link.turn(2)
    assert bench.alerts.names() == ("broker",)
    assert bench.session.counters.all()["links_refused"] == 1
    link.broker.refusal = None
    link.connect()
    assert bench.alerts.names() == ()


def test_an_outage_is_an_alert_after_a_minute(bench: Bench, link: DeliverDriver) -> None:
    """Such as a password that cannot be read: it does not come from the broker, so it has no code."""
    link.broker.refusal = Lost("the file of mqtt.password_file cannot be read")
    begin_ns = link.clock.boot_ns()
    while link.clock.boot_ns() - begin_ns < 60 * NS_PER_S:
        link.turn()
        assert bench.alerts.names() == ()
    link.turn(10, after_s=1.0)
    assert bench.alerts.names() == ("broker",)
    link.broker.refusal = None
    link.connect()
    assert bench.alerts.names() == ()


# --- order and once ----------------------------------------------------------------------------------------


def test_the_order_is_that_of_priority(bench: Bench, link: DeliverDriver) -> None:
    first, second = bench.kept(thumb=True), bench.kept(thumb=True)
    bench.session.outbox.put(Kind.STATE, "state", b"{}", retain=True)
    bench.session.outbox.put(Kind.CONTROL, "birth", b"{}", retain=True)
    bench.alerts.raise_("camera", "no camera", "look")
    link.connect()
    link.turn(3)
    assert link.leaves() == [
        "alert/camera",
        "state",
        "birth",
        "availability",
        "event",
        "event",
        f"thumb/{first.id}",
        f"thumb/{second.id}",
    ]
    sent = [json.loads(m.payload)["id"] for m in link.broker.published if m.topic.endswith("/event")]
    assert sent == [first.id, second.id]


def test_a_row_goes_once_per_link_while_it_is_unanswered(bench: Bench, link: DeliverDriver) -> None:
    link.connect()
    link.forget()
    link.broker.withhold = True
    bench.kept()
    link.turn(20)
    assert link.leaves() == ["event"]
    assert states(bench) == [State.KEPT]
    link.broker.release()
    link.turn()
    assert (states(bench), link.waiting()) == ([State.DELIVERED], [])
    link.turn(5)
    assert link.leaves() == ["event"]


def test_what_was_in_flight_goes_again_on_the_next_link(bench: Bench, link: DeliverDriver) -> None:
    link.connect()
    link.forget()
    link.broker.withhold = True
    events = [bench.kept(thumb=True) for _ in range(3)]
    link.turn(2)
    first = list(link.broker.published)
    assert len(first) == 6
    link.broker.drop()
    link.turn()
    assert states(bench) == [State.KEPT] * 3
    link.forget()
    link.broker.withhold = False
    link.connect()
    again = [message for message in link.broker.published if not message.topic.endswith("/availability")]
    assert again == first
    assert states(bench) == [State.DELIVERED] * len(events)


def test_answers_that_came_before_the_link_was_lost_count(bench: Bench, link: DeliverDriver) -> None:
    link.connect()
    link.broker.withhold = True
    bench.kept()
    link.turn()
    link.broker.release()
    link.broker.drop()
    link.turn()
    assert states(bench) == [State.DELIVERED]


def test_an_empty_outbox_is_left_in_peace(link: DeliverDriver) -> None:
    link.connect()
    link.forget()
    link.turn(50, after_s=1.0)
    assert link.leaves() == []
    assert link.broker.connects == 1


# --- the window --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "receive_maximum", "most"),
    [(Limit(5, 500_000), 65535, 5), (LIMIT, 3, 3), (LIMIT, 65535, 20), (Limit(20, 1500), 65535, 3)],
)
def test_what_is_in_flight_is_bounded(
    bench: Bench, limit: Limit, receive_maximum: int, most: int, caplog: pytest.LogCaptureFixture
) -> None:
    """By messages, by what the broker takes, by bytes (an event has some 600)."""
    caplog.set_level("INFO")
    for _ in range(30):
        bench.kept()
    link = DeliverDriver(bench, limit=limit)
    link.broker.receive_maximum = receive_maximum
    link.connect()
    for _ in range(30):
        bench.kept()
    link.forget()
    assert link.stage._connection is not None
    link.stage._connection.window.pace.room_bytes = 500_000.0  # a link that has shown to be fast
    link.broker.withhold = True
    link.turn(10)
    assert 2 <= len(link.leaves()) <= most
    if limit.bytes == 500_000:
        assert len(link.leaves()) == most
    link.broker.release()
    link.turn(40)
    assert set(states(bench)) == {State.DELIVERED}
    assert "waits" not in caplog.text  # the link was never asked for more
    link.close()


def test_what_a_power_cut_sends_again_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a disk that takes its time the link waits: one window is noted, one is not."""
    link = DeliverDriver(bench, limit=Limit(10, 500_000))
    link.connect()
    link.forget()
    for number in range(50):
        bench.session.outbox.put(Kind.TRAIL, "trail", b"%d" % number, retain=False)
    with monkeypatch.context() as disk:
        disk.setattr(link.session.late_sync, "ended", lambda: False)
        for _ in range(50):
            link.stage._turn(link.session, 0.0)
        assert 10 < len(link.leaves()) <= 20
    link.turn(60)
    assert [message.payload for message in link.broker.published] == [b"%d" % n for n in range(50)]
    link.close()


def test_a_sync_that_fails_ends_the_stage_as_a_commit_would(
    bench: Bench, link: DeliverDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise StoreUnwritable("the disk failed", "")

    link.connect()
    monkeypatch.setattr(link.session.database.log, "sync", refuse)
    bench.kept()
    with pytest.raises(StoreUnwritable):
        link.turn(3)


def test_a_message_larger_than_the_window_goes_alone(bench: Bench) -> None:
    link = DeliverDriver(bench, limit=Limit(20, 100))
    bench.kept()
    bench.kept()
    link.connect()
    link.turn(5)
    assert set(states(bench)) == {State.DELIVERED}
    link.close()


def test_a_link_on_which_a_publish_stays_unanswered_is_dead(bench: Bench, link: DeliverDriver) -> None:
    link.connect()
    link.broker.withhold = True
    bench.kept()
    link.turn()
    link.turn(after_s=DEAD_AFTER_S - 1)
    bench.kept()  # a younger one does not hide the older
    link.turn()
    assert link.stage.online
    link.turn(after_s=1.1)
    assert not link.stage.online
    link.broker.withhold = False
    link.connect()
    assert link.broker.connects == 2
    assert set(states(bench)) == {State.DELIVERED}


def test_a_flood_of_messages_does_not_hold_the_stage(link: DeliverDriver) -> None:
    link.connect()
    link.stage._connection.link.subscribe((f"{BASE}/cmd/+",))  # type: ignore[union-attr]  # it is connected
    for _ in range(500):
        link.broker.say(f"{BASE}/cmd/ping", b"{}")
    link.turn()
    assert link.stage._connection.link.next(0.0) is not None  # type: ignore[union-attr]  # the turn has ended


# --- nobody subscribes -------------------------------------------------------------------------------------


def test_an_event_that_nobody_hears_stays_and_probes_ever_more_seldom(
    bench: Bench, link: DeliverDriver
) -> None:
    for _ in range(5):
        bench.kept(thumb=True)
    link.broker.reason = only("event", NOBODY)
    link.connect()
    link.turn(2)
    assert [event.state for event in bench.events()] == [State.KEPT] * 5
    assert not [leaf for leaf in link.waiting() if leaf.startswith("thumb/")]  # only that kind rests
    link.forget()
    probes_s = []
    begin_ns = link.clock.boot_ns()
    for _ in range(2100):
        before = len(link.leaves())
        link.turn(after_s=0.1)
        if new := link.leaves()[before:]:
            assert new == ["event"]  # one row, not all of them
            probes_s.append(round((link.clock.boot_ns() - begin_ns) / NS_PER_S))
    pauses = [later - earlier for earlier, later in pairwise([0, *probes_s])]
    assert pauses == [5, 10, 20, 40, 60, 60]

    link.broker.reason = lambda topic: 0x00
    link.turn(700, after_s=0.1)
    assert set(states(bench)) == {State.DELIVERED}
    assert link.waiting() == []


def test_new_events_rest_with_the_others(bench: Bench, link: DeliverDriver) -> None:
    link.broker.reason = only("event", NOBODY)
    bench.kept()
    link.connect()
    link.turn()
    link.forget()
    bench.kept()
    link.turn(10)
    assert link.leaves() == []


def test_a_new_link_asks_at_once(bench: Bench, link: DeliverDriver) -> None:
    link.broker.reason = only("event", NOBODY)
    bench.kept()
    link.connect()
    link.broker.reason = lambda topic: 0x00
    link.broker.drop()
    link.connect()
    link.turn()
    assert set(states(bench)) == {State.DELIVERED}


def test_for_what_is_retained_and_for_answers_nobody_is_success(bench: Bench, link: DeliverDriver) -> None:
    link.broker.reason = lambda topic: NOBODY
    bench.session.outbox.put(Kind.STATE, "state", b"{}", retain=True)
    bench.session.outbox.put(Kind.CONTROL, "res/ping", b"{}", retain=False)
    bench.alerts.raise_("camera", "no camera", "look")
    link.connect()
    assert link.waiting() == []


def test_an_earlier_links_will_is_put_right(bench: Bench, link: DeliverDriver) -> None:
    """It may come when the unit is back already, and would stand for as long as the unit is there."""
    link.connect()
    link.broker.say(f"{BASE}/availability", b"offline", retain=True)
    link.turn(3)
    assert link.broker.retained[f"{BASE}/availability"] == b"online"
    link.forget()
    link.turn(5)
    assert link.leaves() == []  # its own word coming back is no reason for another
