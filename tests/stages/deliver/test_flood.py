"""Messages that are too large for the unit: told, counted, and no reason to come and go for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.stages.driver import BASE, DEAD_AFTER_S, LIMIT, Bench, DeliverDriver
from trapd.ports import Lost, Received, TooLarge
from trapd.records import State
from trapd.stages.deliver.stage import DeliverPlan

HOUR_S = 3600.0
HUGE = bytes(5000)


@pytest.fixture
def heard() -> list[Received]:
    """What came as far as Control."""
    return []


@pytest.fixture
def unit(bench: Bench, heard: list[Received]) -> Iterator[DeliverDriver]:
    """One that listens, and takes 4,000 bytes."""

    def pass_on(message: Received) -> bool:
        heard.append(message)
        return True

    plan = DeliverPlan(LIMIT, DEAD_AFTER_S, limit_is_told=False, groups=("valley",))
    driver = DeliverDriver(bench, plan=plan, pass_on=pass_on)
    driver.broker.unit_takes_bytes = 4000
    yield driver
    driver.close()


def minutes(unit: DeliverDriver, count: int) -> None:
    unit.turn(count * 30, after_s=2.0)


def trail(bench: Bench) -> list[dict[str, object]]:
    return [json.loads(line) for line in bench.session.obeyed.trail(100)]


def topics(heard: list[Received]) -> list[str]:
    return [message.topic.removeprefix("trapd/v1/") for message in heard]


@pytest.mark.parametrize("leaf", ["cmd/ping", "cmd/no_such_thing", "config/desired", "receipt"])
def test_a_retained_one_ends_one_link_and_is_not_asked_for_again(
    bench: Bench, unit: DeliverDriver, leaf: str
) -> None:
    unit.broker.say(f"{BASE}/{leaf}", HUGE, retain=True)
    event = bench.kept()
    unit.connect()
    minutes(unit, 20)
    assert unit.broker.refused_by_unit == 1
    assert unit.stage.standing >= {"link", "heard", "puback"}
    assert [stored.state for stored in bench.events()] == [State.DELIVERED]
    alert = json.loads(unit.broker.retained[f"{BASE}/alert/flooded"])
    assert f"5000 bytes on {BASE}/{leaf}" in alert["message"]
    assert "rebirth" in alert["hint"]
    assert bench.session.counters.all()["inbound_too_large"] == 1
    assert [(line["leaf"], line["code"]) for line in trail(bench)] == [(leaf, 413)]
    assert event.n == 1


def test_the_other_commands_are_still_heard(unit: DeliverDriver, heard: list[Received]) -> None:
    unit.broker.say(f"{BASE}/cmd/ping", HUGE, retain=True)
    unit.connect()
    minutes(unit, 2)
    for leaf in ("cmd/ping", "cmd/status", "cmd/config_patch", "config/desired"):
        unit.broker.say(f"{BASE}/{leaf}", b"{}")
    unit.broker.say("trapd/v1/_group/valley/cmd/ping", b"{}")
    unit.turn(2)
    assert topics(heard) == [
        "ridge-07/cmd/status",
        "ridge-07/cmd/config_patch",
        "ridge-07/config/desired",
        "_group/valley/cmd/ping",
    ]


def test_one_on_a_groups_topic_leaves_its_other_commands(unit: DeliverDriver, heard: list[Received]) -> None:
    unit.broker.say("trapd/v1/_group/valley/cmd/ping", HUGE, retain=True)
    unit.connect()
    minutes(unit, 2)
    for command in ("ping", "capture"):
        unit.broker.say(f"trapd/v1/_group/valley/cmd/{command}", b"{}")
    unit.turn(2)
    assert topics(heard) == ["_group/valley/cmd/capture"]


def test_one_that_waits_in_the_session_comes_once(unit: DeliverDriver, heard: list[Received]) -> None:
    """And what waited with it is lost: that is what the alert says."""
    unit.connect()
    unit.broker.drop()
    unit.turn()
    unit.broker.say(f"{BASE}/cmd/ping", HUGE)
    unit.broker.say(f"{BASE}/cmd/status", b"{}")
    unit.connect()
    minutes(unit, 5)
    assert unit.broker.refused_by_unit == 1
    assert topics(heard) == []
    unit.broker.say(f"{BASE}/cmd/status", b"{}")
    unit.turn(2)
    assert topics(heard) == ["ridge-07/cmd/status"]


def test_it_is_listened_to_again_after_an_hour_then_two(unit: DeliverDriver) -> None:
    unit.broker.say(f"{BASE}/cmd/ping", HUGE, retain=True)
    unit.connect()
    minutes(unit, 55)
    assert unit.broker.refused_by_unit == 1
    minutes(unit, 10)
    assert unit.broker.refused_by_unit == 2
    minutes(unit, 110)
    assert unit.broker.refused_by_unit == 2
    minutes(unit, 20)
    assert unit.broker.refused_by_unit == 3


def test_once_it_is_cleared_all_is_heard_and_the_alert_is_over(
    bench: Bench, unit: DeliverDriver, heard: list[Received]
) -> None:
    unit.broker.say(f"{BASE}/cmd/ping", HUGE, retain=True)
    unit.connect()
    minutes(unit, 5)
    unit.broker.say(f"{BASE}/cmd/ping", b"", retain=True)
    unit.stage.lift_rests()
    minutes(unit, 2)
    assert bench.alerts.names() == ()
    heard.clear()
    unit.broker.say(f"{BASE}/cmd/ping", b"{}")
    unit.turn(2)
    assert topics(heard) == ["ridge-07/cmd/ping"]


def test_where_nobody_knows_on_what_it_came_nothing_is_listened_to(bench: Bench, unit: DeliverDriver) -> None:
    unit.broker.names_topic = lambda topic: None
    unit.broker.say(f"{BASE}/cmd/ping", HUGE, retain=True)
    event = bench.kept()
    unit.connect()
    minutes(unit, 55)
    assert unit.broker.refused_by_unit == 1
    assert bench.session.events.get(event.id) == replace(event, state=State.DELIVERED)
    assert trail(bench)[0]["leaf"] == "?"
    assert "cannot be known" in unit.broker.retained[f"{BASE}/alert/flooded"].decode()
    unit.broker.say(f"{BASE}/cmd/ping", b"", retain=True)
    minutes(unit, 15)
    assert bench.alerts.names() == ()
    assert unit.stage.standing >= {"link", "heard"}


def test_a_broker_that_sends_unasked_is_called_ever_more_seldom(unit: DeliverDriver) -> None:
    for _ in range(30):
        unit.connect()
        unit.stage._lost(unit.session, Lost("too large", too_large=TooLarge(5000, None)))
        unit.clock.advance(600)
    waits_s = (unit.stage._next_try_ns - unit.clock.boot_ns()) / 1e9 + 600
    assert waits_s == pytest.approx(600, abs=1)


def test_many_topics_take_no_room(unit: DeliverDriver) -> None:
    """Whoever may publish to `cmd/+` may think of any number of names."""
    for number in range(300):
        unit.broker.say(f"{BASE}/cmd/name_{number}", HUGE)
        unit.connect()
        unit.broker.say(f"{BASE}/cmd/name_{number}", HUGE)
        unit.turn(2, after_s=1.0)
    assert len(unit.stage._flood._avoided) <= 100
