"""Rows that do not go now: how many are tried, what is said of them, and that nothing loops or piles up."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.stages.driver import BASE, DEAD_AFTER_S, LIMIT, Bench, DeliverDriver
from trapd.records import Detection, Event, Kind, State, Verdict
from trapd.stages.deliver.stage import DeliverPlan
from trapd.wire import codec

NOBODY, REFUSED = 0x10, 0x87


def only(leaf: str, reason: int) -> Callable[[str], int]:
    """A broker's answer that is `reason` for this leaf and what is below, success for all else."""
    return lambda topic: reason if topic.removeprefix(f"{BASE}/").partition("/")[0] == leaf else 0x00


def many_rows(bench: Bench, count: int, size_bytes: int = 100) -> None:
    for _ in range(count):
        bench.session.outbox.put(Kind.TRAIL, "trail", bytes(size_bytes), retain=False)


# --- refused ---------------------------------------------------------------------------------------------


def test_a_leaf_that_is_refused_again_and_again_rests_and_probes(bench: Bench, link: DeliverDriver) -> None:
    """A forbidden leaf costs a few rows at once and then one a minute, however many wait."""
    link.broker.reason = only("trail", REFUSED)
    many_rows(bench, 300)
    link.connect()
    link.turn(10)
    assert link.leaves().count("trail") <= LIMIT.messages
    link.forget()
    link.turn(60, after_s=10.0)
    assert 10 <= link.leaves().count("trail") <= 15
    assert link.stage.held_back.kinds == {Kind.TRAIL: "refused"}


def test_a_leaf_that_is_allowed_again_goes_with_the_next_probe(bench: Bench, link: DeliverDriver) -> None:
    link.broker.reason = only("trail", REFUSED)
    many_rows(bench, 300)
    link.connect()
    link.turn(10, after_s=10.0)
    link.broker.reason = lambda topic: 0x00
    link.turn(15, after_s=5.0)
    link.turn(60)
    assert 3 <= link.waiting().count("trail") <= 40  # those held one by one wait for an hour
    link.turn(1, after_s=3700.0)
    link.turn(20)
    assert link.waiting() == []


def test_one_refused_row_does_not_make_its_leaf_rest(bench: Bench, link: DeliverDriver) -> None:
    refusals = iter([REFUSED])
    link.broker.reason = lambda topic: next(refusals, 0x00) if topic.endswith("/trail") else 0x00
    many_rows(bench, 50)
    link.connect()
    link.turn(10)
    assert link.waiting() == ["trail"]
    assert (link.stage.held_back.kinds, link.stage.held_back.rows) == ({}, 1)
    assert link.stage.held_back.why == {"refused"}


def test_both_kinds_of_media_are_one_leaf(bench: Bench, link: DeliverDriver) -> None:
    event = bench.settled(bench.burst(frames=2), media=True)
    bench.session.outbox.request_media({event.media[0].id: None}, chunk_bytes=65_536)
    link.broker.reason = only("media", NOBODY)
    link.connect()
    link.turn(5)
    assert set(link.stage.held_back.kinds) == {Kind.MEDIA_REQUESTED, Kind.MEDIA_BULK}
    link.forget()
    link.turn(1, after_s=6.0)
    link.turn(2)
    assert len([leaf for leaf in link.leaves() if leaf.startswith("media/")]) == 1


# --- too large -------------------------------------------------------------------------------------------


def test_many_rows_that_are_too_large_are_not_looked_at_for_ever(bench: Bench, link: DeliverDriver) -> None:
    many_rows(bench, 400, size_bytes=5000)
    bench.kept()
    link.broker.maximum_packet_bytes = 4000
    link.connect()
    link.turn(40, after_s=1.0)
    connection = link.stage._connection
    assert connection is not None
    assert len(connection._held) < 150
    assert link.stage.held_back.kinds == {Kind.TRAIL: "too large"}
    assert [event.state for event in bench.events()] == [State.DELIVERED]


def test_an_event_goes_without_its_weakest_detections_where_they_do_not_fit(
    bench: Bench, link: DeliverDriver
) -> None:
    event = bench.burst(frames=3)
    boxes = tuple(Detection(k % 3, "animal", 0.4 + k / 100, (0.1, 0.2, 0.3, 0.4)) for k in range(50))
    verdict = Verdict("animal", keep=True, score=0.9, detections=boxes, model="fake", threshold=0.35)
    whole = bench.session.events.settle(event.id, verdict)
    assert len(codec.event(whole)) > 4000
    link.broker.maximum_packet_bytes = 4000
    link.connect()
    link.turn(3)
    (payload,) = [message.payload for message in link.broker.published if message.topic.endswith("/event")]
    sent = json.loads(payload)
    assert len(payload) < 4000
    assert 10 < len(sent["detections"]) < 50
    assert min(box["conf"] for box in sent["detections"]) > 0.4
    assert max(box["conf"] for box in sent["detections"]) == pytest.approx(0.89)
    assert [event.state for event in bench.events()] == [State.DELIVERED]


# --- over budget -----------------------------------------------------------------------------------------


def urgent(bench: Bench, count: int) -> list[Event]:
    return [bench.settled(bench.burst(frames=1), urgent=True) for _ in range(count)]


def test_urgent_events_that_await_their_receipt_over_budget_hold_up_no_turn(bench: Bench) -> None:
    """Their rows are due again, and may not go: looking for them again at once would never end."""
    plan = DeliverPlan(LIMIT, DEAD_AFTER_S, receipts=True, bytes_per_day=6000, alert_reserve_bytes=3000)
    link = DeliverDriver(bench, plan=plan)
    link.stage._spending.load(link.session)
    urgent(bench, 4)
    link.connect()
    link.turn(5)
    assert bench.session.outbox.awaiting_count() >= 3
    for _ in range(5):
        link.broker.drop()
        link.connect()
        link.turn(5, after_s=1.0)
    assert bench.session.outbox.awaiting_count() >= 3
    link.close()


def test_the_budgets_alert_is_raised_once_and_stands(bench: Bench) -> None:
    """Also where a full window ends each turn before it comes to what is over budget."""
    plan = DeliverPlan(LIMIT, DEAD_AFTER_S, bytes_per_day=20_000, alert_reserve_bytes=15_000)
    link = DeliverDriver(bench, plan=plan)
    link.stage._spending.load(link.session)
    for _ in range(40):
        bench.kept()
    link.connect()
    for _ in range(40):
        bench.session.outbox.put(Kind.ALERT, "alert/busy", b"{}", retain=True)
        link.broker.receive_maximum = 2
        link.turn(2, after_s=0.3)
    assert link.leaves().count("alert/budget") == 1
    assert bench.alerts.names() == ("budget",)
    link.close()


# --- answers to a response topic ------------------------------------------------------------------------


ELSEWHERE = "@trapd/v1/_reply/desk"


def answers(bench: Bench, leaf: str, count: int) -> None:
    for _ in range(count):
        bench.session.outbox.put(Kind.CONTROL, leaf, b"{}", retain=False)


def replies_refused(topic: str) -> int:
    return REFUSED if "/_reply/" in topic else 0x00


def test_a_response_topic_that_is_refused_rests_alone(bench: Bench, link: DeliverDriver) -> None:
    """The unit's own answers, its report and its probe go on; nothing of it is lost."""
    link.broker.reason = replies_refused
    answers(bench, ELSEWHERE, 30)
    for leaf in ("res/ping", "config/reported", "probe"):
        answers(bench, leaf, 5)
    link.connect()
    link.turn(10)
    assert link.stage.standing >= {"link", "puback"}
    assert set(link.waiting()) == {ELSEWHERE}
    assert (link.stage.held_back.kinds, link.stage.held_back.rows) == ({}, 30)
    assert [message.topic for message in link.broker.published].count(ELSEWHERE[1:]) <= LIMIT.messages
    assert "answers to a response topic" in link.broker.retained[f"{BASE}/alert/refused"].decode()


def test_a_response_topic_that_is_allowed_again_gets_all_its_answers(
    bench: Bench, link: DeliverDriver
) -> None:
    link.broker.reason = replies_refused
    answers(bench, ELSEWHERE, 5)
    link.connect()
    link.turn(3)
    link.broker.reason = lambda topic: 0x00
    answers(bench, ELSEWHERE, 1)
    link.turn(3, after_s=0.1)
    assert link.waiting().count(ELSEWHERE) == 6
    link.turn(1, after_s=6.0)
    answers(bench, ELSEWHERE, 1)
    link.turn(3)
    assert link.waiting() == []
    assert bench.alerts.names() == ()


def test_refused_answers_of_one_command_do_not_hold_up_another(bench: Bench, link: DeliverDriver) -> None:
    link.broker.reason = only("res", REFUSED)
    answers(bench, "res/ping", 10)
    answers(bench, "config/reported", 1)
    link.connect()
    link.turn(10)
    assert set(link.waiting()) == {"res/ping"}


def test_a_rebirth_tries_what_is_held_again(bench: Bench, link: DeliverDriver) -> None:
    link.broker.reason = replies_refused
    answers(bench, ELSEWHERE, 5)
    link.connect()
    link.turn(3)
    link.broker.reason = lambda topic: 0x00
    link.stage.lift_rests()
    link.turn(3)
    assert link.waiting() == []


def test_an_answer_that_its_response_topic_does_not_take_for_a_day_goes(
    bench: Bench, link: DeliverDriver
) -> None:
    """It lies at `res/` too; a hundred of them would lie here for good, and leave no room for others."""
    link.broker.reason = replies_refused
    answers(bench, ELSEWHERE, 30)
    answers(bench, "@trapd/v1/_reply/other", 1)
    link.connect()
    link.turn(3)
    for _ in range(23):
        link.turn(after_s=3600.0)
        link.connect()
    assert len(link.waiting()) == 31
    answers(bench, ELSEWHERE, 1)
    for _ in range(3):
        link.turn(after_s=3600.0)
        link.connect()
        link.turn(5)
    assert link.waiting() == [ELSEWHERE]
    link.broker.reason = lambda topic: 0x00
    link.stage.lift_rests()
    link.turn(3)
    assert (link.waiting(), bench.alerts.names()) == ([], ())


def test_an_answer_that_waits_for_a_link_does_not_go_for_its_age(bench: Bench, link: DeliverDriver) -> None:
    answers(bench, ELSEWHERE, 3)
    bench.clock.advance(3 * 24 * 3600.0)
    link.connect()
    link.turn(3)
    assert link.waiting() == []
    assert [message.topic for message in link.broker.published].count(ELSEWHERE[1:]) == 3
