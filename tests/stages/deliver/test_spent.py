"""`publish.bytes_per_day` is wholly spent: the unit stays within reach, and nothing pays for it twice."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.stages.driver import DEAD_AFTER_S, LIMIT, Bench, DeliverDriver
from trapd.records import Kind
from trapd.rules import own_reserve_bytes
from trapd.stages.deliver.stage import DeliverPlan

PER_DAY, RESERVE = 100_000, 20_000
OWN_BYTES = own_reserve_bytes(PER_DAY, RESERVE)
REPORT = bytes(3000)


@pytest.fixture
def spent(bench: Bench) -> Iterator[DeliverDriver]:
    """All is spent, the reserve for alerts too; the link is gone."""
    plan = DeliverPlan(LIMIT, DEAD_AFTER_S, bytes_per_day=PER_DAY, alert_reserve_bytes=RESERVE)
    driver = DeliverDriver(bench, plan=plan)
    driver.stage._spending.load(driver.session)
    for number in range(30):
        bench.session.outbox.put(Kind.ALERT, f"alert/a{number}", bytes(700), retain=True)
    driver.connect()
    driver.turn(5)
    for _ in range(220):
        bench.session.outbox.put(Kind.TRAIL, "trail", bytes(400), retain=False)
    driver.turn(30, after_s=0.1)
    assert driver.waiting().count("trail") > 5
    driver.broker.drop()
    driver.turn()
    driver.forget()
    yield driver
    driver.close()


def own(link: DeliverDriver) -> list[str]:
    """What went, but for alerts."""
    return [leaf for leaf in link.leaves() if not leaf.startswith("alert/")]


def sent_bytes(link: DeliverDriver) -> int:
    return sum(len(m.payload) + len(m.topic) + 14 for m in link.broker.published if "/alert/" not in m.topic)


def test_a_link_proves_itself_all_the_same(bench: Bench, spent: DeliverDriver) -> None:
    spent.connect()
    assert spent.stage.standing >= {"link", "heard", "puback"}
    assert own(spent) == ["availability"]
    assert "budget" in bench.alerts.names()


def test_what_the_operator_has_to_know_of_a_configuration_goes(bench: Bench, spent: DeliverDriver) -> None:
    """Among much else that waits, some of it older."""
    spent.connect()
    bench.session.outbox.put(Kind.CONTROL, "res/ping", b"{}", retain=False)
    for leaf in ("res/config_patch", "probe"):
        bench.session.outbox.put(Kind.CONTROL, leaf, b"{}", retain=False)
    bench.session.outbox.put(Kind.CONTROL, "config/reported", REPORT, retain=True)
    spent.turn(3)
    assert own(spent)[1:] == ["res/config_patch", "probe", "config/reported"]
    assert "res/ping" in spent.waiting()
    assert bench.alerts.names().count("budget") == 1


def test_it_is_small_and_in_the_end_it_is_spent_too(bench: Bench, spent: DeliverDriver) -> None:
    spent.connect()
    for _ in range(10):
        bench.session.outbox.put(Kind.CONTROL, "config/reported", REPORT, retain=True)
        spent.turn(2)
    assert 1 <= spent.leaves().count("config/reported") < 10
    assert sent_bytes(spent) <= OWN_BYTES + 500


def test_a_link_that_comes_and_goes_does_not_use_it_up(bench: Bench, spent: DeliverDriver) -> None:
    for _ in range(200):
        spent.connect()
        spent.broker.drop()
        spent.turn()
    assert sent_bytes(spent) < OWN_BYTES // 2
    spent.turn(60, after_s=60.0)
    spent.forget()
    bench.session.outbox.put(Kind.CONTROL, "config/reported", REPORT, retain=True)
    spent.connect()
    assert own(spent)[-1] == "config/reported"


def test_the_alert_stands_while_only_the_units_own_goes(bench: Bench, spent: DeliverDriver) -> None:
    spent.connect()
    spent.turn()
    spent.forget()
    for _ in range(5):
        bench.session.outbox.put(Kind.CONTROL, "res/config_patch", b"{}", retain=False)
        spent.turn(2, after_s=1.0)
        assert "budget" in bench.alerts.names()
    assert spent.leaves().count("alert/budget") == 0


@pytest.mark.parametrize(("size_bytes", "is_whole"), [(9000, True), (20_000, False)])
def test_a_report_larger_than_its_reserve_goes_in_the_end(
    bench: Bench, size_bytes: int, is_whole: bool
) -> None:
    """Of a small budget, all of which others would take; in its short form where it is more than a day's."""
    plan = DeliverPlan(LIMIT, DEAD_AFTER_S, bytes_per_day=10_000, alert_reserve_bytes=5000)
    link = DeliverDriver(bench, plan=plan)
    link.stage._spending.load(link.session)
    for number in range(400):
        bench.session.outbox.put(Kind.TRAIL, "trail", bytes(400), retain=False)
        bench.session.outbox.put(Kind.ALERT, f"alert/a{number}", bytes(100), retain=True)
    link.connect()
    link.turn(5)
    report = json.dumps({"v": 1, "hash": "h", "doc": {"x": "y" * size_bytes}, "locked": []}).encode()
    bench.session.outbox.put(Kind.CONTROL, "config/reported", report, retain=True)
    for _ in range(130):
        link.turn(after_s=900.0)
        if not link.stage.online:
            link.connect()
        if "config/reported" in link.leaves():
            break
    (told,) = [each.payload for each in link.broker.published if each.topic.endswith("config/reported")]
    assert (told == report) == is_whole
    assert json.loads(told)["hash"] == "h"
    link.close()


def test_a_report_larger_than_the_broker_takes_goes_in_its_short_form(bench: Bench) -> None:
    link = DeliverDriver(bench)
    link.broker.maximum_packet_bytes = 2000
    report = json.dumps({"v": 1, "hash": "h", "doc": {"x": "y" * 3000}, "locked": []}).encode()
    bench.session.outbox.put(Kind.CONTROL, "config/reported", report, retain=True)
    link.connect()
    (told,) = [each.payload for each in link.broker.published if each.topic.endswith("config/reported")]
    assert json.loads(told) == {"v": 1, "hash": "h"}
    link.close()
