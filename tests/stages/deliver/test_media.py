"""Photographs on demand: part by part, resumed after any break, never larger than the broker takes."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stages.control_driver import OPEN, ControlDriver
from tests.stages.driver import BASE, DEAD_AFTER_S, LIMIT, UNIT, Bench, DeliverDriver
from trapd.records import Event, State
from trapd.stages.deliver.stage import DeliverPlan
from trapd.wire.authority import Authority
from trapd.wire.signing import Keyring
from trapd.wire.window import Limit

PLAN = DeliverPlan(LIMIT, DEAD_AFTER_S, chunk_bytes=100)
COMMAND = f"{BASE}/cmd/media_get"


_txns = itertools.count(1)


def make_unit(bench: Bench, plan: DeliverPlan = PLAN, authority: Authority = OPEN) -> DeliverDriver:
    """A Deliver, and the Control that obeys."""
    control = ControlDriver(bench, authority)
    driver = DeliverDriver(bench, plan=plan, pass_on=control.stage.offer, beside=control.turn)
    control.chunk_bytes = lambda: driver.stage.chunk_bytes
    return driver


@pytest.fixture
def unit(bench: Bench) -> Iterator[DeliverDriver]:
    driver = make_unit(bench)
    yield driver
    driver.close()


def ask(link: DeliverDriver, *ids: str, chunks: Any = None, txn: str = "", turns: int = 30) -> dict[str, Any]:
    """Say media_get and give the answer."""
    args: dict[str, Any] = {"ids": list(ids)} | ({"chunks": chunks} if chunks is not None else {})
    return say(link, json.dumps({"txn": txn or f"t{next(_txns)}", "args": args}).encode(), turns=turns)


def say(link: DeliverDriver, payload: bytes, *, retain: bool = False, turns: int = 30) -> dict[str, Any]:
    before = len(answers(link))
    link.broker.say(COMMAND, payload, retain=retain)
    link.turn(turns)
    new = answers(link)[before:]
    assert len(new) <= 1
    return new[0] if new else {}


def answers(link: DeliverDriver) -> list[dict[str, Any]]:
    return [json.loads(m.payload) for m in link.broker.published if m.topic.endswith("/res/media_get")]


def received(link: DeliverDriver, medium_id: str) -> tuple[dict[str, Any], dict[int, list[bytes]]]:
    """The last manifest, and every payload of each chunk."""
    manifest: dict[str, Any] = {}
    chunks: dict[int, list[bytes]] = {}
    for message in link.broker.published:
        leaf = message.topic.removeprefix(f"{BASE}/")
        if leaf == f"media/{medium_id}/manifest":
            manifest = json.loads(message.payload)
        elif leaf.startswith(f"media/{medium_id}/c/"):
            chunks.setdefault(int(leaf.rpartition("/")[2]), []).append(message.payload)
    return manifest, chunks


def assert_whole(link: DeliverDriver, event: Event, index: int = 0) -> dict[int, list[bytes]]:
    medium = event.media[index]
    manifest, chunks = received(link, medium.id)
    assert manifest == {
        "id": medium.id,
        "bytes": medium.bytes,
        "sha256": medium.sha256,
        "chunk_bytes": manifest["chunk_bytes"],
        "chunks": -(-medium.bytes // manifest["chunk_bytes"]),
    }
    assert sorted(chunks) == list(range(manifest["chunks"]))
    whole = b"".join(chunks[number][-1] for number in sorted(chunks))
    assert hashlib.sha256(whole).hexdigest() == medium.sha256
    return chunks


def test_a_photograph_comes_whole_and_once(bench: Bench, unit: DeliverDriver) -> None:
    event = bench.kept()
    unit.connect()
    answer = ask(unit, event.media[0].id)
    assert answer == {
        "unit": UNIT,
        "txn": "t1",
        "status": "ok",
        "code": 200,
        "data": {"queued": [event.media[0].id], "unknown": [], "missing": [], "chunk_bytes": 100},
        "error": None,
    }
    chunks = assert_whole(unit, event)
    assert len(chunks) >= 5
    assert all(len(payloads) == 1 for payloads in chunks.values())
    assert unit.waiting() == []
    leaves = [leaf for leaf in unit.leaves() if leaf.startswith("media/")]
    assert leaves[0].endswith("/manifest")


def test_only_some_chunks(bench: Bench, unit: DeliverDriver) -> None:
    event = bench.kept()
    unit.connect()
    ask(unit, event.media[0].id, chunks={event.media[0].id: [[1, 2], [4, 4], [9000, 10**15]]})
    manifest, chunks = received(unit, event.media[0].id)
    assert manifest["id"] == event.media[0].id
    assert sorted(chunks) == [1, 2, 4]
    assert unit.waiting() == []


def test_a_break_costs_what_was_in_flight_and_no_more(bench: Bench) -> None:
    event = bench.kept()
    plan = DeliverPlan(Limit(3, 500_000), DEAD_AFTER_S, chunk_bytes=50)
    unit = make_unit(bench, plan)
    unit.connect()
    ask(unit, event.media[0].id, turns=3)
    for _ in range(4):
        unit.broker.withhold = True
        unit.turn(2)
        unit.broker.drop()
        unit.broker.withhold = False
        unit.connect()
    unit.turn(60)
    chunks = assert_whole(unit, event)
    again = sum(len(payloads) - 1 for payloads in chunks.values())
    assert 1 <= again <= 4 * 3
    assert unit.waiting() == []
    unit.close()


def test_a_new_process_goes_on_where_the_last_ended(bench: Bench) -> None:
    event = bench.kept()
    plan = DeliverPlan(Limit(3, 500_000), DEAD_AFTER_S, chunk_bytes=50)
    first = make_unit(bench, plan)
    first.connect()
    ask(first, event.media[0].id, turns=5)
    _, before = received(first, event.media[0].id)
    assert len(before) >= 3
    first.session.close()  # the process ends as it stands
    second = DeliverDriver(bench, first.broker, plan=plan)
    second.connect()
    second.turn(60)
    chunks = assert_whole(second, event)
    assert sum(len(payloads) - 1 for payloads in chunks.values()) <= 3
    second.close()


def test_chunks_fit_the_brokers_largest_packet(bench: Bench) -> None:
    event = bench.kept()
    unit = make_unit(bench, DeliverPlan(LIMIT, DEAD_AFTER_S, chunk_bytes=65_536))
    unit.broker.maximum_packet_bytes = 400
    unit.connect()
    ask(unit, event.media[0].id)
    chunks = assert_whole(unit, event)
    assert len(chunks) > 1
    sizes = [len(m.topic) + len(m.payload) for m in unit.broker.published if "/c/" in m.topic]
    assert max(sizes) <= 390
    unit.close()


def test_a_smaller_largest_packet_begins_again_in_smaller_chunks(bench: Bench) -> None:
    event = bench.kept()
    unit = make_unit(bench, DeliverPlan(Limit(2, 500_000), DEAD_AFTER_S, chunk_bytes=400))
    unit.connect()
    ask(unit, event.media[0].id, turns=2)
    unit.broker.drop()
    unit.broker.maximum_packet_bytes = 300
    unit.forget()
    unit.connect()
    unit.turn(60)
    assert_whole(unit, event)
    assert unit.waiting() == []
    unit.close()


def test_asking_twice_sends_once(bench: Bench, unit: DeliverDriver) -> None:
    event = bench.kept()
    unit.connect()
    unit.broker.withhold = True
    ask(unit, event.media[0].id, event.media[0].id, turns=1)
    ask(unit, event.media[0].id, turns=1)
    unit.broker.release()
    unit.turn(40)
    chunks = assert_whole(unit, event)
    assert all(len(payloads) == 1 for payloads in chunks.values())


def test_events_go_before_photographs(bench: Bench, unit: DeliverDriver) -> None:
    old = bench.kept()
    unit.connect()
    unit.broker.withhold = True
    unit.turn()
    ask(unit, old.media[0].id, turns=0)
    bench.kept(thumb=True)
    unit.forget()
    unit.broker.release()
    unit.turn(20)
    kinds = [leaf.partition("/")[0] for leaf in unit.leaves() if not leaf.startswith(("res/", "trail"))]
    assert kinds[:3] == ["event", "thumb", "media"]


def test_all_sends_the_photographs_of_what_is_kept_last(bench: Bench, unit: DeliverDriver) -> None:
    event = bench.settled(bench.burst(frames=2), media=True)
    wanted = bench.kept()
    bench.session.outbox.request_media({wanted.media[0].id: None}, chunk_bytes=100)
    unit.connect()
    unit.turn(60)
    assert_whole(unit, event, 0)
    assert_whole(unit, event, 1)
    assert_whole(unit, wanted)
    assert not any(leaf.startswith("media/") for leaf in unit.leaves()[:3])
    order = [leaf.split("/")[1] for leaf in unit.leaves() if leaf.startswith("media/")]
    assert order.index(wanted.media[0].id) < order.index(event.media[0].id)


def test_a_request_overtakes_the_same_photograph_in_bulk(bench: Bench, unit: DeliverDriver) -> None:
    event = bench.settled(bench.burst(frames=2), media=True)
    last = event.media[1].id
    unit.broker.withhold = True
    unit.connect()
    ask(unit, last, turns=0)
    unit.turn(1)
    unit.broker.release()
    unit.turn(60)
    assert_whole(unit, event, 0)
    assert_whole(unit, event, 1)
    assert unit.waiting() == []


@pytest.mark.parametrize(
    "hostile",
    [
        "nothing-like-it",
        "../../../etc/passwd",
        "ridge-07-%-000001-0",
        "#",
        "+/+",
        "ridge-07-0000-000001-٣",
        "ridge-07-0000-000001-00000000000000000000",
        "-0",
        "x" * 128,
        "a\u0000b-0",
    ],
)
def test_an_id_is_looked_up_and_nothing_else(bench: Bench, unit: DeliverDriver, hostile: str) -> None:
    event = bench.kept()
    unit.connect()
    answer = ask(unit, hostile, event.media[0].id)
    assert answer["code"] == 200
    assert answer["data"]["unknown"] == [hostile]
    assert_whole(unit, event)
    answer = ask(unit, hostile, txn="t2")
    assert (answer["txn"], answer["status"], answer["code"]) == ("t2", "error", 404)


def test_an_id_that_only_looks_like_one_of_ours(bench: Bench, unit: DeliverDriver) -> None:
    event = bench.kept()
    unit.connect()
    media_id = event.media[0].id
    for near in (f"{event.id}-00", f"{event.id}-7", f"{media_id} ", media_id.upper(), f"{event.id}-+0"):
        assert ask(unit, near)["code"] == 404


def test_a_photograph_that_is_gone_is_said_to_be(bench: Bench, unit: DeliverDriver) -> None:
    event = bench.kept()
    unit.connect()
    bench.store.space.drop(bench.session, event)
    answer = ask(unit, event.media[0].id)
    assert answer["code"] == 404
    assert answer["data"]["missing"] == [event.media[0].id]


def test_a_photograph_that_goes_while_it_waits_holds_up_nothing(bench: Bench, unit: DeliverDriver) -> None:
    gone, there = bench.kept(), bench.kept()
    unit.connect()
    unit.broker.withhold = True
    ask(unit, gone.media[0].id, there.media[0].id, turns=0)
    (bench.store.root / str(gone.media[0].path)).unlink()
    unit.broker.release()
    unit.turn(60)
    assert_whole(unit, there)
    assert unit.waiting() == []
    assert bench.session.counters.all()["gone"] == 1


BAD: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"not json", 400),
    (b"[]", 400),
    (b'{"args":{"ids":["x"]}}', 400),
    (b'{"txn":7,"args":{"ids":["x"]}}', 400),
    (b'{"txn":"t","args":[]}', 400),
    (b'{"txn":"t","args":{}}', 400),
    (b'{"txn":"t","args":{"ids":[]}}', 400),
    (b'{"txn":"t","args":{"ids":"x"}}', 400),
    (b'{"txn":"t","args":{"ids":[["x"]]}}', 400),
    (b'{"txn":"t","args":{"ids":["x"],"path":"/etc"}}', 400),
    (b'{"txn":"t","args":{"ids":["x"],"chunks":{"y":[[0,1]]}}}', 400),
    (b'{"txn":"t","args":{"ids":["x"],"chunks":{"x":[[1,0]]}}}', 400),
    (b'{"txn":"t","args":{"ids":["x"],"chunks":{"x":[[-1,0]]}}}', 400),
    (b'{"txn":"t","args":{"ids":["x"],"chunks":{"x":[0]}}}', 400),
    (b'{"txn":"t","txn":"u","args":{"ids":["x"]}}', 400),
    (b'{"txn":"t","args":{"ids":["' + b"x" * 2**20 + b'"]}}', 413),
    (b"[" * 200_000, 400),
]


@pytest.mark.parametrize(("payload", "code"), BAD, ids=range(len(BAD)))
def test_what_is_no_request_is_answered_so_and_counted(
    bench: Bench, unit: DeliverDriver, payload: bytes, code: int
) -> None:
    unit.connect()
    answer = say(unit, payload)
    assert (answer["status"], answer["code"]) == ("error", code)
    assert answer["error"]
    assert bench.session.counters.all()["commands_refused"] == 1
    assert unit.stage.online


def test_a_retained_request_is_refused_without_a_word(
    bench: Bench, unit: DeliverDriver, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be obeyed again with every connection."""
    event = bench.kept()
    payload = json.dumps({"txn": "t", "args": {"ids": [event.media[0].id]}}).encode()
    unit.broker.retained[COMMAND] = payload
    unit.connect()
    unit.turn(10)
    assert answers(unit) == []
    assert not [leaf for leaf in unit.leaves() if leaf.startswith("media/")]
    assert bench.session.counters.all()["commands_refused"] == 1
    assert "retained" in caplog.text


def test_where_commands_are_refused_nothing_is_queued(bench: Bench) -> None:
    event = bench.kept()
    unit = make_unit(bench, authority=Authority(Keyring([]), signed_only=False, open_=False))
    unit.connect()
    answer = ask(unit, event.media[0].id)
    assert answer["code"] == 401
    assert "without TLS" in answer["error"]
    assert not [leaf for leaf in unit.leaves() if leaf.startswith("media/")]
    unit.close()


def test_where_remote_control_is_off_nobody_listens(bench: Bench) -> None:
    event = bench.kept()
    unit = DeliverDriver(bench, plan=PLAN)
    unit.connect()
    assert ask(unit, event.media[0].id) == {}
    unit.close()


def test_a_group_cannot_ask_for_photographs(bench: Bench, unit: DeliverDriver) -> None:
    unit.connect()
    link = unit.stage._connection
    assert link is not None
    link.link.subscribe(("trapd/v1/_group/+/cmd/+",))
    unit.broker.say("trapd/v1/_group/all/cmd/media_get", b'{"txn":"t","args":{"ids":["x"]}}')
    unit.turn(5)
    assert answers(unit) == []


def test_a_flood_of_requests_fills_no_disk(bench: Bench, unit: DeliverDriver) -> None:
    unit.connect()
    unit.broker.withhold = True
    for _ in range(1000):
        unit.broker.say(COMMAND, b"nonsense")
    unit.turn(40)
    assert bench.session.outbox.depth()["control"] <= 210


def test_a_delivered_burst_keeps_its_files_while_they_are_asked_for(
    bench: Bench, unit: DeliverDriver
) -> None:
    event = bench.kept()
    unit.connect()
    unit.turn(2)
    assert bench.events()[0].state is State.DELIVERED
    unit.broker.withhold = True
    ask(unit, event.media[0].id, turns=2)
    bench.store.space._max_bytes = 1
    bench.store.space.tidy(bench.session, 10)
    unit.broker.release()
    unit.turn(40)
    assert_whole(unit, event)
