"""delivery: receipt. An event stays until its receiver has it; no receipt frees more than was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.stages.driver import BASE, DEAD_AFTER_S, LIMIT, UNIT, Bench, DeliverDriver
from trapd.parts import TOMBSTONES
from trapd.records import Kind, State
from trapd.stages.deliver.stage import DeliverPlan
from trapd.store.room.eviction import give_up_rows

PLAN = DeliverPlan(LIMIT, DEAD_AFTER_S, receipts=True)
RECEIPT = f"{BASE}/receipt"


@pytest.fixture
def receipts(bench: Bench) -> Iterator[DeliverDriver]:
    driver = DeliverDriver(bench, plan=PLAN)
    yield driver
    driver.close()


def states(bench: Bench) -> list[State]:
    return [event.state for event in bench.events()]


def say(link: DeliverDriver, document: object) -> None:
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    link.broker.say(RECEIPT, payload)
    link.turn(2)


def test_an_event_stays_until_its_receipt_and_goes_once(bench: Bench, receipts: DeliverDriver) -> None:
    first, second = bench.kept(thumb=True), bench.kept()
    receipts.connect()
    receipts.turn(20, after_s=1.0)
    assert receipts.leaves().count("event") == 2
    assert states(bench) == [State.KEPT, State.KEPT]
    assert receipts.waiting() == ["event", "event"]  # the thumbnail went on the broker's word
    assert bench.session.outbox.awaiting_count() == 2
    say(receipts, {"ids": [second.id]})
    assert states(bench) == [State.KEPT, State.DELIVERED]
    say(receipts, {"ids": [first.id]})
    assert states(bench) == [State.DELIVERED, State.DELIVERED]
    assert receipts.waiting() == []
    assert bench.session.outbox.awaiting_count() == 0


def test_a_receipt_by_number_frees_what_is_up_to_it(bench: Bench, receipts: DeliverDriver) -> None:
    events = [bench.kept() for _ in range(5)]
    receipts.connect()
    receipts.turn(3)
    say(receipts, {"epoch": events[0].epoch, "upto": events[2].n})
    assert states(bench) == [State.DELIVERED] * 3 + [State.KEPT] * 2


def test_what_was_not_sent_is_not_freed(bench: Bench, receipts: DeliverDriver) -> None:
    """Nor what the broker has not acknowledged: a receiver may be wrong, or an impostor."""
    receipts.connect()
    receipts.broker.withhold = True
    event = bench.kept()
    receipts.turn()
    for document in ({"ids": [event.id]}, {"epoch": event.epoch, "upto": 10}):
        say(receipts, document)
        assert states(bench) == [State.KEPT]
    receipts.broker.release()
    receipts.turn(2)
    say(receipts, {"ids": [event.id]})
    assert states(bench) == [State.DELIVERED]


def test_a_receipt_right_behind_the_acknowledgement_counts(bench: Bench, receipts: DeliverDriver) -> None:
    receipts.connect()
    receipts.broker.withhold = True
    event = bench.kept()
    receipts.turn()
    receipts.broker.release()
    say(receipts, {"ids": [event.id]})  # both wait to be taken when the turn begins
    assert states(bench) == [State.DELIVERED]


def test_without_a_receipt_it_goes_again_on_the_next_link(bench: Bench, receipts: DeliverDriver) -> None:
    event = bench.kept()
    receipts.connect()
    receipts.turn(3)
    receipts.broker.drop()
    receipts.forget()
    receipts.connect()
    assert receipts.leaves().count("event") == 1
    receipts.turn(10)
    assert receipts.leaves().count("event") == 1
    say(receipts, {"ids": [event.id]})
    assert states(bench) == [State.DELIVERED]


def test_without_a_receipt_it_goes_again_after_an_hour(bench: Bench, receipts: DeliverDriver) -> None:
    bench.kept()
    receipts.connect()
    receipts.turn(2)
    receipts.turn(59, after_s=60.0)
    assert receipts.leaves().count("event") == 1
    receipts.turn(3, after_s=60.0)
    assert receipts.leaves().count("event") == 2
    receipts.turn(50, after_s=60.0)
    assert receipts.leaves().count("event") == 2  # and then after another


def test_the_mark_outlasts_the_process(bench: Bench, receipts: DeliverDriver) -> None:
    """Sent and acknowledged by an earlier process: a receipt that comes now counts."""
    event = bench.kept()
    receipts.connect()
    receipts.turn(2)
    receipts.close()
    later = DeliverDriver(bench, receipts.broker, plan=PLAN)
    later.broker.withhold = True
    later.connect()
    say(later, {"ids": [event.id]})
    assert states(bench) == [State.DELIVERED]
    later.close()


def test_what_waits_for_receipts_does_not_hold_up_what_is_new(bench: Bench, receipts: DeliverDriver) -> None:
    for _ in range(45):
        bench.kept()
    receipts.connect()
    receipts.turn(10)
    receipts.broker.drop()
    receipts.turn(1)
    newest = bench.kept()
    receipts.forget()
    receipts.connect()
    receipts.turn(10)
    sent = [json.loads(m.payload)["id"] for m in receipts.broker.published if m.topic.endswith("/event")]
    assert sent[0] == newest.id
    assert len(sent) == len(set(sent)) == 46


BAD = [
    b"",
    b"not json",
    b"\xff\xfe",
    b"[]",
    b"null",
    b'{"ids":["x"],"ids":["y"]}',
    b'{"ids":[NaN]}',
    b'{"ids":"x"}',
    b'{"ids":[1]}',
    b'{"ids":[""]}',
    b'{"ids":["' + b"x" * 200 + b'"]}',
    b'{"upto":3}',
    b'{"epoch":"3f9a","upto":-1}',
    b'{"epoch":"3f9a","upto":true}',
    b'{"epoch":"3f9a","upto":1e99}',
    b'{"epoch":"3f9a","upto":99999999999999999999}',
    b'{"epoch":7,"upto":1}',
    b'{"ids":[],"more":1}',
    b"[" * 100_000,
    b'{"ids":["' + b"a" * 1_000_000 + b'"]}',
]


@pytest.mark.parametrize("payload", BAD, ids=range(len(BAD)))
def test_a_bad_receipt_is_named_counted_and_passed_over(
    bench: Bench, receipts: DeliverDriver, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    bench.kept()
    receipts.connect()
    receipts.turn(2)
    say(receipts, payload)
    assert receipts.stage.online
    assert states(bench) == [State.KEPT]
    assert bench.session.counters.all()["receipts_bad"] == 1
    assert "a receipt that cannot be used" in caplog.text
    assert max(map(len, caplog.text.splitlines())) < 400


@pytest.mark.parametrize(
    "document",
    [
        {"ids": ["ridge-07-ffff-000001", "../../etc/passwd"]},
        {"ids": [f"{UNIT}-%-%", "#", "+", "'; DROP TABLE event; --", "\u0000"]},
        {"epoch": "no such", "upto": 5},
        {"epoch": "%", "upto": 0},
    ],
)
def test_a_receipt_for_what_nobody_knows_is_named_and_counted(
    bench: Bench, receipts: DeliverDriver, document: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    bench.kept()
    receipts.connect()
    receipts.turn(2)
    say(receipts, document)
    assert states(bench) == [State.KEPT]
    ids = document.get("ids", ["one"])
    assert isinstance(ids, list)
    assert bench.session.counters.all()["receipts_unknown"] == len(ids)
    assert "a receipt for" in caplog.text


def test_a_receipt_for_numbers_beyond_the_last_frees_what_there_is(
    bench: Bench, receipts: DeliverDriver
) -> None:
    event = bench.kept()
    receipts.connect()
    receipts.turn(2)
    say(receipts, {"epoch": event.epoch, "upto": 4812})
    assert states(bench) == [State.DELIVERED]
    assert bench.session.counters.all()["receipts_unknown"] == 1


def test_a_receipt_given_twice_changes_nothing(bench: Bench, receipts: DeliverDriver) -> None:
    event = bench.kept()
    receipts.connect()
    receipts.turn(2)
    for _ in range(3):
        say(receipts, {"ids": [event.id, event.id]})
    assert states(bench) == [State.DELIVERED]
    assert "receipts_unknown" not in bench.session.counters.all()


def test_in_puback_mode_a_receipt_only_lifts_rests(bench: Bench, link: DeliverDriver) -> None:
    link.broker.reason = lambda topic: 0x10 if topic.endswith("/event") else 0x00
    event = bench.kept()
    link.connect()
    link.turn(2)
    link.forget()
    link.turn(3)
    assert link.leaves() == []
    link.broker.reason = lambda topic: 0x00
    say(link, {"ids": [event.id]})
    assert states(bench) == [State.DELIVERED]
    assert link.leaves() == ["event"]  # sent again at once: the receipt alone freed nothing


def test_what_awaited_receipts_goes_on_the_brokers_word_when_none_are_asked_for_any_more(
    bench: Bench, receipts: DeliverDriver
) -> None:
    bench.kept()
    receipts.connect()
    receipts.turn(2)
    receipts.close()
    plain = DeliverDriver(bench, receipts.broker)
    plain.connect()
    assert states(bench) == [State.DELIVERED]
    plain.close()


def test_a_broker_that_does_not_let_us_listen_is_an_alert(bench: Bench, receipts: DeliverDriver) -> None:
    receipts.broker.forbidden = frozenset({RECEIPT})
    receipts.connect()
    assert bench.alerts.names() == ("unheard",)
    receipts.broker.forbidden = frozenset()
    receipts.broker.drop()
    receipts.connect()
    assert bench.alerts.names() == ()


def test_trails_and_alerts_need_no_receipt(bench: Bench, receipts: DeliverDriver) -> None:
    bench.session.outbox.put(Kind.TRAIL, "trail", b"{}", retain=False)
    bench.alerts.raise_("camera", "no camera", "look")
    receipts.connect()
    receipts.turn(2)
    assert receipts.waiting() == []


# --- events that had to be given up ----------------------------------------------------------------------


def given_up(bench: Bench, receipts: DeliverDriver) -> list[dict[str, object]]:
    """Two kept events lose their rows for want of space; the broker has their tombstones."""
    bench.kept(), bench.kept()
    bench.session.database.one("UPDATE event SET has_files = 0")
    give_up_rows(bench.session.database, bench.clock.now(), TOMBSTONES)
    receipts.connect()
    receipts.turn(3)
    lost = [json.loads(m.payload) for m in receipts.broker.published if m.topic.endswith("/event")]
    assert [set(stone) for stone in lost] == [{"v", "id", "epoch", "n", "lost"}] * 2
    assert bench.session.outbox.awaiting_count() == 2
    return lost


def test_a_tombstone_is_receipted_by_its_id(bench: Bench, receipts: DeliverDriver) -> None:
    first, second = given_up(bench, receipts)
    say(receipts, {"ids": [second["id"]]})
    assert bench.session.outbox.awaiting_count() == 1
    say(receipts, {"ids": [first["id"]]})
    assert receipts.waiting() == []
    assert "receipts_unknown" not in bench.session.counters.all()


def test_a_tombstone_is_receipted_by_its_number(bench: Bench, receipts: DeliverDriver) -> None:
    first, _ = given_up(bench, receipts)
    say(receipts, {"epoch": first["epoch"], "upto": 1})
    assert bench.session.outbox.awaiting_count() == 1
    say(receipts, {"epoch": first["epoch"], "upto": 2})
    assert receipts.waiting() == []
    assert "receipts_unknown" not in bench.session.counters.all()


def test_a_receipt_for_an_earlier_epoch_is_known_by_what_is_left_of_it(
    bench: Bench, receipts: DeliverDriver
) -> None:
    event = bench.kept()
    bench.session.database.one("UPDATE event SET epoch = 'old1', n = 4000")
    receipts.connect()
    receipts.turn(2)
    say(receipts, {"epoch": "old1", "upto": 4000})
    assert states(bench) == [State.DELIVERED]
    assert "receipts_unknown" not in bench.session.counters.all()
    say(receipts, {"epoch": "old1", "upto": 4001})
    assert bench.session.counters.all()["receipts_unknown"] == 1
    assert event.epoch != "old1"
