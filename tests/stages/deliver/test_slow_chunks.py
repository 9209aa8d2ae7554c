"""Photographs on a link that is too slow for their chunks, and on one that only breaks often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stages.driver import DEAD_AFTER_S, LIMIT, Bench, DeliverDriver
from trapd.stages.deliver.stage import DeliverPlan

CHUNK_BYTES = 4096


@pytest.fixture
def unit(bench: Bench) -> Iterator[DeliverDriver]:
    driver = DeliverDriver(bench, plan=DeliverPlan(LIMIT, DEAD_AFTER_S, chunk_bytes=CHUNK_BYTES))
    yield driver
    driver.close()


def asked_for(bench: Bench, photographs: int) -> None:
    for _ in range(photographs):
        event = bench.burst(frames=1)
        bench.session.outbox.request_media({event.media[0].id: None}, chunk_bytes=CHUNK_BYTES)


def chunk_sizes_of_dead_links(unit: DeliverDriver, links: int) -> list[int]:
    sizes = []
    for _ in range(links):
        unit.connect()
        sizes.append(unit.stage._link_ends.chunk_bytes)
        unit.turn(2, after_s=DEAD_AFTER_S)
        assert not unit.stage.online
    return sizes


def test_a_link_too_slow_for_a_chunk_gets_smaller_ones(bench: Bench, unit: DeliverDriver) -> None:
    """Else the same chunk would end each link in turn, and nothing would ever arrive."""
    asked_for(bench, 1)
    unit.broker.slow = "/c/"
    assert chunk_sizes_of_dead_links(unit, 4) == [4096, 2048, 1024, 1024]
    unit.broker.slow = ""
    unit.connect()
    unit.turn(20)
    assert unit.waiting() == []


def test_chunks_that_go_well_grow_again(bench: Bench, unit: DeliverDriver) -> None:
    unit.stage._link_ends.chunk_bytes = 1024
    asked_for(bench, 12)
    sizes = []
    for _ in range(4):
        unit.connect()
        unit.turn(30)
        asked_for(bench, 12)
        unit.turn(30)
        unit.broker.drop()
        unit.turn(2)
        sizes.append(unit.stage._link_ends.chunk_bytes)
    assert sizes == [2048, 4096, 4096, 4096]


def test_a_link_that_dies_behind_chunks_that_arrived_keeps_their_size(
    bench: Bench, unit: DeliverDriver
) -> None:
    asked_for(bench, 2)
    unit.connect()
    unit.turn(10)
    unit.broker.slow = "/c/"
    asked_for(bench, 1)
    unit.turn(2)
    unit.turn(2, after_s=DEAD_AFTER_S)
    assert unit.stage._link_ends.chunk_bytes == CHUNK_BYTES


def test_a_link_that_ends_by_its_silence_behind_a_chunk_gets_smaller_ones_too(bench: Bench) -> None:
    """While a chunk is on its way a broker has nothing to say, and the link takes it for dead first."""
    plan = DeliverPlan(LIMIT, DEAD_AFTER_S, chunk_bytes=CHUNK_BYTES, keepalive_s=DEAD_AFTER_S / 1.6)
    unit = DeliverDriver(bench, plan=plan)
    asked_for(bench, 1)
    unit.broker.slow = "/c/"
    sizes = []
    for _ in range(3):
        unit.connect()
        sizes.append(unit.stage._link_ends.chunk_bytes)
        unit.turn(2, after_s=1.0)
        unit.turn(1, after_s=DEAD_AFTER_S * 1.5 / 1.6)
        unit.broker.fall_silent()
        unit.turn(2)
    unit.close()
    assert sizes == [4096, 2048, 1024]
