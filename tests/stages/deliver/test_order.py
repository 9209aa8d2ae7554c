"""What goes first, what may go at all, and what is said of the rest."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tests.stages.driver import BASE, DEAD_AFTER_S, LIMIT, Bench, DeliverDriver
from trapd.ports import Lost
from trapd.records import Kind, Message, State
from trapd.rules import NS_PER_S, PRIORITY
from trapd.stages.deliver.stage import DeliverPlan
from trapd.stages.upkeep.facts import Facts
from trapd.store.queue.outbox import Outbox
from trapd.store.sqlite.rows import queue_row
from trapd.wire.window import Limit

# --- alerts ------------------------------------------------------------------------------------------------


def test_an_alert_overtakes_all_that_is_not_handed_over(bench: Bench) -> None:
    link = DeliverDriver(bench, limit=Limit(3, 500_000))
    link.connect()
    link.forget()
    for _ in range(30):
        bench.kept(thumb=True)
    link.broker.withhold = True
    link.turn(2)
    assert link.leaves() == ["event"] * 3
    bench.alerts.raise_("camera", "no camera", "look")
    urgent = bench.settled(bench.burst(frames=1), urgent=True, thumb=True)
    link.broker.release()
    link.turn(1)
    link.turn(1)
    # The newest first; an event before its thumbnail, which is twenty times as large.
    assert link.leaves()[3:6] == ["event", f"thumb/{urgent.id}", "alert/camera"]
    link.close()


def test_an_alert_does_not_wait_for_the_pace(bench: Bench) -> None:
    """On a slow link little may be in flight; an alert goes all the same, within the window."""
    link = DeliverDriver(bench)
    link.connect()
    connection = link.stage._connection
    assert connection is not None
    connection.window.pace.room_bytes = 1.0
    link.forget()
    link.broker.withhold = True
    for _ in range(5):
        bench.kept()
    link.turn(3)
    assert link.leaves() == ["event"]
    bench.alerts.raise_("camera", "no camera", "look")
    link.turn(1)
    assert link.leaves() == ["event", "alert/camera"]
    link.close()


def test_one_send_in_ten_is_the_oldest_of_the_lower_classes(bench: Bench) -> None:
    event = bench.settled(bench.burst(frames=1), media=True, thumb=True)
    link = DeliverDriver(bench, plan=DeliverPlan(LIMIT, DEAD_AFTER_S, chunk_bytes=100))
    for _ in range(40):
        bench.kept()
    link.connect()
    link.turn(20)
    order = [leaf.partition("/")[0] for leaf in link.leaves()]
    assert order[0] == "availability"
    first_50 = order[1:42]
    assert first_50.count("thumb") + first_50.count("media") == 4
    assert order.index("thumb") == 9  # the tenth send; it is older than the photograph
    assert event.state is State.KEPT
    link.close()


def test_a_mixed_backlog_is_not_looked_up_again_for_each_turn_of_the_lower_classes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row goes once, a tenth of them out of order, and is looked up hardly more often than that."""
    link = DeliverDriver(bench)
    kinds = (Kind.TRAIL, Kind.EVENT, Kind.EVENT, Kind.THUMB)
    with bench.session.database.write() as connection:
        for number in range(800):
            kind, leaf = kinds[number % 4], f"{kinds[number % 4]}/{number}"
            queue_row(
                connection,
                bench.clock.now(),
                kind=kind,
                priority=PRIORITY[kind],
                leaf=leaf,
                size_bytes=2,
                payload=b"{}",
            )
    link.connect()
    looked_up = 0
    real = Outbox.next

    def counting(outbox: Outbox, limit: int, **choice: Any) -> list[Message]:
        nonlocal looked_up
        found = real(outbox, limit, **choice)
        looked_up += len(found)
        return found

    monkeypatch.setattr(Outbox, "next", counting)
    before = len(link.leaves())
    link.turn(60)
    sent = link.leaves()
    assert len(set(sent)) == len(sent) >= 800
    assert looked_up < 3 * (len(sent) - before)
    link.close()


def test_while_alerts_wait_nothing_else_has_a_turn(bench: Bench) -> None:
    link = DeliverDriver(bench, limit=Limit(5, 500_000))
    bench.settled(bench.burst(frames=1), media=True)
    for _ in range(30):
        bench.settled(bench.burst(frames=1), urgent=True)
    link.connect()
    link.turn(30)
    order = [leaf.partition("/")[0] for leaf in link.leaves()]
    assert order[:30] == ["event"] * 30
    assert order[30:] == ["availability", "event", "media", "media"]
    link.close()


# --- budget ------------------------------------------------------------------------------------------------


def budget(bench: Bench, per_day: int, reserve: int = 0) -> DeliverDriver:
    plan = DeliverPlan(LIMIT, DEAD_AFTER_S, bytes_per_day=per_day, alert_reserve_bytes=reserve)
    driver = DeliverDriver(bench, plan=plan)
    driver.stage._spending.load(driver.session)
    return driver


def sent_bytes(link: DeliverDriver) -> int:
    """Payloads, topics, and the least that MQTT adds."""
    return sum(len(m.payload) + len(m.topic) + 8 for m in link.broker.published)


def test_what_the_budget_does_not_allow_waits_and_is_told(bench: Bench) -> None:
    link = budget(bench, 10_000, reserve=2000)
    for _ in range(40):
        bench.kept()
    link.connect()
    link.turn(30, after_s=1.0)
    assert 0 < link.leaves().count("event") < 40
    assert 6500 < sent_bytes(link) <= 10_000
    assert bench.alerts.names() == ("budget",)
    assert "alert/budget" in link.leaves()  # out of the reserve
    held = link.stage.held_back
    assert held.kinds[Kind.EVENT] == "budget"
    facts = Facts(
        store=bench.store,
        clock=bench.clock,
        alerts=bench.alerts,
        online=lambda: True,
        version="0",
        held_back=lambda: held,
    ).read(bench.session)
    assert facts["held_back_rows"] == link.waiting().count("event")
    assert int(facts["held_back_bytes"]) > 1000
    assert facts["held_back_reason"] == "budget"
    link.close()


def test_the_reserve_is_for_alerts(bench: Bench) -> None:
    link = budget(bench, 20_000, reserve=6000)
    for _ in range(60):
        bench.kept()
    link.connect()
    link.turn(30)
    link.forget()
    urgent = bench.settled(bench.burst(frames=1), urgent=True)
    link.turn(3)
    (sent,) = [m for m in link.broker.published if m.topic.endswith("/event")]
    assert json.loads(sent.payload)["id"] == urgent.id
    link.close()


def test_after_a_day_of_running_the_rest_goes(bench: Bench) -> None:
    link = budget(bench, 10_000)
    for _ in range(25):
        bench.kept()
    link.connect()
    link.turn(10)
    before = link.leaves().count("event")
    link.turn(23 * 6, after_s=600.0)
    assert link.leaves().count("event") == before
    link.turn(12, after_s=600.0)
    assert link.leaves().count("event") > before
    link.close()


def test_no_day_has_more_than_its_budget(bench: Bench) -> None:
    """Whatever 24 hours are looked at."""
    link = budget(bench, 10_000)
    sent: list[tuple[float, int]] = []
    begin_ns = link.clock.boot_ns()
    for _ in range(400):
        bench.kept()
        before = sent_bytes(link)
        link.turn(2, after_s=300.0)
        sent.append(((link.clock.boot_ns() - begin_ns) / NS_PER_S, sent_bytes(link) - before))
    for since_s, _ in sent:
        assert sum(size for at_s, size in sent if since_s <= at_s < since_s + 86_400) <= 10_000
    assert sent_bytes(link) > 12_000
    link.close()


def test_the_budget_outlasts_the_process_and_costs_no_sync(bench: Bench) -> None:
    first = budget(bench, 10_000)
    for _ in range(40):
        bench.kept()
    first.connect()
    first.turn(30, after_s=1.0)
    first.session.close()  # killed
    second = budget(bench, 10_000)
    second.connect()
    second.turn(20)
    second.forget()
    second.turn(20)
    assert second.leaves() == []
    second.close()


def test_a_damaged_note_of_the_budget_ends_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.session.counters.remember("budget", '{"spent": 7}')
    link = budget(bench, 10_000)
    bench.kept()
    link.connect()
    assert link.leaves().count("event") == 1
    assert "not known any more" in caplog.text
    link.close()


# --- a copy of the card ------------------------------------------------------------------------------------


def test_a_copy_of_the_card_is_an_alert_and_a_minutes_pause(
    bench: Bench, link: DeliverDriver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    link.connect()
    other = DeliverDriver(bench, link.broker)
    other.connect()
    link.turn()
    assert not link.stage.online
    assert bench.alerts.names() == ("cloned",)
    begin_ns, before = link.clock.boot_ns(), link.broker.connects
    while link.broker.connects == before:
        link.turn(after_s=0.5)
    assert 60.0 <= (link.clock.boot_ns() - begin_ns) / NS_PER_S <= 62.0
    link.turn(3)
    assert link.stage.online
    assert bench.alerts.names() == ("cloned",)
    link.turn(14, after_s=50.0)
    assert bench.alerts.names() == ()
    other.close()


def test_an_ordinary_loss_is_no_copy(bench: Bench, link: DeliverDriver) -> None:
    link.connect()
    link.broker.refusal = Lost("the broker is shutting down", 0x8B)
    link.broker.drop()
    link.turn(3, after_s=1.0)
    assert "cloned" not in bench.alerts.names()


def test_nothing_is_said_of_what_goes(bench: Bench, link: DeliverDriver) -> None:
    bench.kept()
    link.connect()
    link.turn(3)
    assert link.stage.held_back.kinds == {}
    link.broker.reason = lambda topic: 0x10 if topic == f"{BASE}/event" else 0
    bench.kept()
    link.turn(3)
    assert link.stage.held_back.kinds == {Kind.EVENT: "nobody subscribes"}
