"""A broker that cannot say what it takes at most, and ends the link over what is larger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stages.driver import DEAD_AFTER_S, LIMIT, Bench, DeliverDriver
from trapd.records import Kind
from trapd.stages.deliver.stage import DeliverPlan

CHUNK_BYTES = 65_536
TAKES_BYTES = 4096
QUARTER_OF_A_DAY_S = 6 * 3600.0


@pytest.fixture
def unit(bench: Bench) -> Iterator[DeliverDriver]:
    plan = DeliverPlan(LIMIT, DEAD_AFTER_S, chunk_bytes=CHUNK_BYTES, limit_is_told=False)
    driver = DeliverDriver(bench, plan=plan)
    driver.broker.ends_over_bytes = TAKES_BYTES
    yield driver
    driver.close()


def links_until_calm(unit: DeliverDriver) -> int:
    before = unit.broker.connects
    for _ in range(60):
        unit.connect()
        unit.turn(20, after_s=0.1)
        if unit.stage.online:
            return unit.broker.connects - before
    raise AssertionError("the link ends again and again")


def test_what_it_takes_is_found_and_all_else_goes_on(bench: Bench, unit: DeliverDriver) -> None:
    event = bench.kept()
    size_bytes = event.media[0].bytes
    bench.session.outbox.request_media({event.media[0].id: None}, chunk_bytes=CHUNK_BYTES)
    bench.session.outbox.put(Kind.CONTROL, "config/schema", bytes(15_000), retain=True)
    assert links_until_calm(unit) <= 9
    unit.turn(20, after_s=0.1)
    assert unit.waiting() == ["config/schema"]
    assert bench.alerts.names() == ("too_large",)
    parts = [sent for sent in unit.broker.published if "/c/" in sent.topic]
    assert sum(len(sent.payload) for sent in parts) >= size_bytes


def test_more_is_tried_again_now_and_then(bench: Bench, unit: DeliverDriver) -> None:
    bench.session.outbox.put(Kind.CONTROL, "config/schema", bytes(15_000), retain=True)
    links_until_calm(unit)
    unit.broker.ends_over_bytes = None
    for _ in range(3):
        unit.clock.advance(QUARTER_OF_A_DAY_S + 1)
        unit.broker.drop()
        links_until_calm(unit)
    assert unit.waiting() == []


def test_links_that_end_with_nothing_large_under_way_say_nothing(bench: Bench, unit: DeliverDriver) -> None:
    """What was taken once is not suspected."""
    unit.broker.ends_over_bytes = None
    bench.session.outbox.put(Kind.CONTROL, "config/schema", bytes(15_000), retain=True)
    unit.connect()
    unit.turn(5)
    unit.broker.withhold = True
    for _ in range(10):
        bench.session.outbox.put(Kind.CONTROL, "config/schema", bytes(14_000), retain=True)
        unit.connect()
        unit.turn(3)
        unit.broker.drop()
        unit.turn(2)
    assert bench.alerts.names() == ()
    assert unit.stage._link_ends.packet_limit.most_bytes is None
