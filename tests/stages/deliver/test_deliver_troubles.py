"""Deliver when the broker refuses or forgets, when the store is damaged or full, and its goodbye."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from tests.fakes.store import FULL
from tests.stages.driver import BASE, UNIT, Bench, DeliverDriver
from trapd.errors import StoreCorrupt, StoreError
from trapd.ports import Lost
from trapd.records import Kind, State
from trapd.rules import NS_PER_S
from trapd.stages.deliver import stage as deliver

NOBODY, REFUSED = 0x10, 0x87


def only(leaf: str, reason: int) -> Callable[[str], int]:
    """A broker's answer that is `reason` for this leaf and what is below, success for all else."""
    return lambda topic: reason if topic.removeprefix(f"{BASE}/").partition("/")[0] == leaf else 0x00


def states(bench: Bench) -> list[State]:
    return [event.state for event in bench.events()]


# --- refused -----------------------------------------------------------------------------------------------


def test_what_the_broker_refuses_waits_and_is_an_alert_and_the_others_go_on(
    bench: Bench, link: DeliverDriver
) -> None:
    link.broker.reason = only("event", REFUSED)
    events = [bench.kept(thumb=True) for _ in range(25)]
    link.connect()
    link.turn(10)
    assert 3 <= link.leaves().count("event") <= 20  # a window at most: then they rest
    assert link.waiting() == ["event"] * 25
    assert [leaf for leaf in link.leaves() if leaf.startswith("thumb/")] == [
        f"thumb/{event.id}" for event in events
    ]
    assert bench.alerts.names() == ("refused",)
    alert = json.loads(link.broker.retained[f"{BASE}/alert/refused"])
    assert alert["message"] == "the broker refuses event with reason 0x87"
    link.forget()
    link.turn(10, after_s=60.0)
    sent = [message.payload for message in link.broker.published]
    assert len(sent) == len(set(sent))  # a probe a minute, each with another row


def test_what_was_refused_goes_again_on_the_next_link_and_the_alert_ends(
    bench: Bench, link: DeliverDriver
) -> None:
    link.broker.reason = only("event", REFUSED)
    bench.kept()
    link.connect()
    link.broker.reason = lambda topic: 0x00
    link.broker.drop()
    link.connect()
    link.turn(3)
    assert states(bench) == [State.DELIVERED]
    assert bench.alerts.names() == ()
    assert f"{BASE}/alert/refused" not in link.broker.retained


def test_what_was_refused_is_tried_again_after_an_hour_of_the_same_link(
    bench: Bench, link: DeliverDriver
) -> None:
    link.broker.reason = only("event", REFUSED)
    bench.kept()
    link.connect()
    link.broker.reason = lambda topic: 0x00
    link.turn(35, after_s=100.0)
    assert states(bench) == [State.KEPT]
    link.turn(5, after_s=100.0)
    assert states(bench) == [State.DELIVERED]
    assert link.broker.connects == 1
    assert bench.alerts.names() == ()


def test_a_broker_that_refuses_even_alerts_is_not_asked_for_ever(bench: Bench, link: DeliverDriver) -> None:
    link.broker.reason = lambda topic: REFUSED if topic.endswith("event") or "/alert/" in topic else 0
    for _ in range(10):
        bench.kept()
    link.connect()
    link.turn(50)
    assert link.leaves().count("alert/refused") <= 3
    assert link.leaves().count("event") <= 10


def test_a_packet_larger_than_the_broker_takes_is_not_sent(bench: Bench, link: DeliverDriver) -> None:
    """It would end the connection, and the next one again."""
    event = bench.kept(thumb=True)
    bench.session.outbox.put(Kind.TRAIL, "trail", b"x" * 5000, retain=False)
    link.broker.maximum_packet_bytes = 4000
    link.connect()
    link.turn(5)
    assert link.waiting() == ["trail"]
    assert f"thumb/{event.id}" in link.leaves()
    assert "trail" not in link.leaves()
    assert bench.alerts.names() == ("too_large",)
    link.broker.maximum_packet_bytes = None
    link.broker.drop()
    link.connect()
    link.turn(3)
    assert (link.waiting(), bench.alerts.names()) == ([], ())


# --- a broker that has forgotten ---------------------------------------------------------------------------


def came_back(link: DeliverDriver, *, keep: bool) -> list[str]:
    """The broker ends and runs again, with its database or without; what it is told then."""
    link.broker.stop()
    link.turn()
    link.forget()
    link.broker.start(keep=keep)
    link.connect()
    link.turn(3)
    return sorted(link.leaves())


@pytest.mark.parametrize("keep", [True, False])
def test_retained_leaves_go_again_to_a_broker_that_comes_back(
    bench: Bench, link: DeliverDriver, keep: bool
) -> None:
    """Its database may be as old as its last save; each goes once, and no event goes again."""
    bench.session.outbox.put(Kind.STATE, "state", b"{}", retain=True)
    bench.session.outbox.put(Kind.CONTROL, "birth", b"{}", retain=True)
    bench.alerts.raise_("camera", "no camera", "look")
    bench.alerts.clear("camera")
    bench.kept()
    link.connect()
    link.turn(3)
    link.broker.retained[f"{BASE}/alert/camera"] = b"of the old database"
    assert came_back(link, keep=keep) == ["alert/camera", "availability", "birth", "state"]
    assert link.broker.retained[f"{BASE}/birth"] == b"{}"
    assert f"{BASE}/alert/camera" not in link.broker.retained


def test_a_link_that_comes_and_goes_does_not_pay_for_them_each_time(
    bench: Bench, link: DeliverDriver
) -> None:
    bench.session.outbox.put(Kind.CONTROL, "birth", b"{}", retain=True)
    link.connect()
    told = [came_back(link, keep=True).count("birth") for _ in range(10)]
    assert sum(told) <= 4
    assert told[-1] == 0
    link.forget()
    link.turn(3, after_s=3600.0)
    assert link.leaves().count("birth") == 1  # what was left out comes when it may
    assert came_back(link, keep=False).count("birth") == 1  # for sure lost: always


# --- damage and full disks ---------------------------------------------------------------------------------


def test_a_thumbnail_whose_file_is_gone_is_made_again(bench: Bench, link: DeliverDriver) -> None:
    event = bench.kept(thumb=True)
    assert event.thumb is not None
    (bench.store.root / event.thumb[0]).unlink()
    link.connect()
    link.turn(3)
    (payload,) = [m.payload for m in link.broker.published if m.topic.endswith(f"thumb/{event.id}")]
    assert payload.startswith(b"\xff\xd8")
    assert link.waiting() == []


def test_a_thumbnail_without_file_and_photograph_is_given_up_and_the_event_goes(
    bench: Bench, link: DeliverDriver
) -> None:
    event = bench.kept(thumb=True)
    assert event.thumb is not None
    (bench.store.root / event.thumb[0]).unlink()
    (bench.store.root / str(event.media[0].path)).unlink()
    link.connect()
    link.turn(3)
    assert link.waiting() == []
    assert states(bench) == [State.DELIVERED]
    assert bench.session.counters.all()["gone"] == 1


def test_an_event_that_cannot_be_written_as_json_does_not_stop_the_others(
    bench: Bench, link: DeliverDriver
) -> None:
    damaged, sound = bench.kept(), bench.kept()
    with bench.session.database.write() as connection:
        connection.execute("UPDATE event SET wall_ms = ? WHERE id = ?", (10**17, damaged.id))
    link.connect()
    link.turn(5)
    by_id = {event.id: event.state for event in bench.events()}
    assert by_id == {damaged.id: State.KEPT, sound.id: State.DELIVERED}
    assert bench.session.counters.all()["unsendable"] == 1


def test_a_leaf_that_no_topic_can_have_does_not_stop_the_others(bench: Bench, link: DeliverDriver) -> None:
    bench.session.outbox.put(Kind.TRAIL, "trail/#", b"{}", retain=False)
    bench.kept()
    link.connect()
    link.turn(3)
    assert link.waiting() == ["trail/#"]
    assert states(bench) == [State.DELIVERED]


def test_answers_that_cannot_be_noted_are_as_good_as_not_given(bench: Bench, link: DeliverDriver) -> None:
    link.connect()
    bench.kept()
    bench.store.faults.make("acknowledge")
    link.turn(2)
    assert not link.stage.online
    assert states(bench) == [State.KEPT]
    bench.store.faults.end()
    link.connect()
    link.turn(2)
    assert states(bench) == [State.DELIVERED]
    assert link.leaves().count("event") == 2


def test_a_full_store_at_connecting_is_tried_again(bench: Bench, link: DeliverDriver) -> None:
    bench.store.faults.make("put")
    link.turn(100, after_s=1.0)
    assert link.broker.connects > 3
    assert not link.stage.online
    bench.store.faults.end()
    link.connect()


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("acknowledge", StoreCorrupt("damaged", "")),
        ("acknowledge", StoreError("the disk failed", "")),
        ("get", StoreCorrupt("damaged", "")),
    ],
)
def test_a_store_that_is_broken_ends_the_stage(
    bench: Bench, link: DeliverDriver, operation: str, error: StoreError
) -> None:
    link.connect()
    bench.kept()
    bench.store.faults.make(operation, error)
    with pytest.raises(type(error)):
        link.turn(2)


def test_an_event_that_cannot_be_read_does_not_stop_the_others(bench: Bench, link: DeliverDriver) -> None:
    bench.kept()
    bench.session.outbox.put(Kind.TRAIL, "trail", b"{}", retain=False)
    bench.store.faults.make("get", StoreError("the disk failed", ""))
    link.connect()
    assert link.waiting() == ["event"]
    bench.store.faults.end()
    link.broker.drop()
    link.connect()
    assert link.waiting() == []


# --- goodbye -----------------------------------------------------------------------------------------------


def stop(link: DeliverDriver) -> None:
    """As `run` does when it is told to stop."""
    link.stage.stop.set()
    link.stage._say_goodbye(link.session)
    link.stage._drop_link()


def test_what_waits_goes_before_stopped_is_said(bench: Bench, link: DeliverDriver) -> None:
    link.connect()
    link.forget()
    for _ in range(30):
        bench.kept()
    stop(link)
    assert link.leaves() == ["event"] * 30 + ["availability"]
    assert link.broker.retained[f"{BASE}/availability"] == b"stopped"  # and not the will
    assert link.waiting() == []


def test_stopped_is_the_last_word_even_where_much_is_left(
    bench: Bench, link: DeliverDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "_DRAIN_S", 0.0)
    link.connect()
    link.forget()
    for _ in range(30):
        bench.kept()
    stop(link)
    assert link.leaves()[-1] == "availability"
    assert 0 < link.waiting().count("event") < 30
    assert link.broker.retained[f"{BASE}/availability"] == b"stopped"


def test_without_a_link_there_is_nobody_to_say_it_to(link: DeliverDriver) -> None:
    link.broker.refusal = Lost("nothing listens there")
    link.turn(3)
    stop(link)
    assert link.leaves() == []


def test_a_broker_that_answers_nothing_any_more_is_left_in_time(
    bench: Bench, link: DeliverDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    link.connect()
    link.broker.withhold = True
    bench.kept()
    advance_in_next(link, monkeypatch)
    before_ns = link.clock.boot_ns()
    stop(link)
    assert link.clock.boot_ns() - before_ns < 6 * NS_PER_S
    assert states(bench) == [State.KEPT]


def advance_in_next(link: DeliverDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the broker takes the time it takes, on the test's clock."""
    connection = link.stage._connection
    assert connection is not None
    real = connection.link.next

    def waiting(timeout_s: float) -> object:
        link.clock.advance(timeout_s)
        return real(0.0)

    monkeypatch.setattr(connection.link, "next", waiting)


def test_a_goodbye_that_finds_no_room_ends_well_all_the_same(bench: Bench, link: DeliverDriver) -> None:
    link.connect()
    bench.store.faults.make("put", FULL)
    stop(link)
    assert link.broker.retained[f"{BASE}/availability"] == b"online"


def test_run_delivers_and_says_goodbye(bench: Bench, link: DeliverDriver) -> None:
    events = [bench.kept() for _ in range(3)]
    thread = threading.Thread(target=link.stage.run)
    heard = link.broker.watch(f"{BASE}/event")
    thread.start()
    got = [json.loads(heard.get(timeout=20).payload)["id"] for _ in events]
    link.stage.stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert got == [event.id for event in events]
    assert link.broker.retained[f"{BASE}/availability"] == b"stopped"


# --- what is passed over --------------------------------------------------------------------------------


def trail(bench: Bench) -> list[dict[str, object]]:
    return [json.loads(line) for line in bench.session.obeyed.trail(100)]


def test_what_nobody_has_room_for_has_its_count_on_the_trail(bench: Bench) -> None:
    """The first at once; of what goes on, one record a minute."""
    link = DeliverDriver(bench, pass_on=lambda message: False)
    link.connect()
    for _ in range(50):
        link.broker.say(f"{BASE}/cmd/ping", b"{}")
        link.turn(after_s=0.1)
    assert [line["more"] for line in trail(bench)] == [1]
    link.turn(2, after_s=60.0)
    assert [line["more"] for line in trail(bench)] == [1, 49]
    assert bench.session.counters.all()["commands_dropped"] == 50
    link.broker.say(f"{BASE}/cmd/ping", b"{}")
    link.turn()
    link.stage.stop.set()
    link.stage.run()
    assert [line["more"] for line in trail(bench)] == [1, 49, 1]
    link.close()


def test_what_is_not_for_the_unit_has_its_count_too(bench: Bench) -> None:
    """A session of before may still hold what is not listened to any more."""
    link = DeliverDriver(bench, pass_on=None)
    link.connect()
    link.broker._sessions[f"trapd-{UNIT}"].append(f"{BASE}/cmd/+")
    link.broker.say(f"{BASE}/cmd/ping", b"{}")
    link.turn(2)
    assert [line["more"] for line in trail(bench)] == [1]
    link.close()


def test_a_full_disk_keeps_the_count_for_later(bench: Bench) -> None:
    link = DeliverDriver(bench, pass_on=lambda message: False)
    link.connect()
    bench.store.faults.make("tell", FULL)
    link.broker.say(f"{BASE}/cmd/ping", b"{}")
    link.turn(2)
    assert link.stage.online
    bench.store.faults.end()
    link.turn(1, after_s=61.0)
    assert [line["more"] for line in trail(bench)] == [1]
    link.close()
