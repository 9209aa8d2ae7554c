"""A message is acknowledged when it is noted: what a killed process had in memory comes again, and is one.

A message that ends the process ends two and no more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.fakes.store import FULL
from tests.stages.driver import BASE, Bench
from tests.stages.unit_and_broker import Site
from trapd.ports import Received
from trapd.stages.control import looking
from trapd.stages.control.stage import Control
from trapd.stages.deliver import inbound
from trapd.store.queue import trail_hour

GROUP = "trapd/v1/_group/valley"


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    made = Site(bench)
    yield made
    made.kill()


def test_what_lay_in_memory_when_the_process_was_killed_comes_again(site: Site) -> None:
    for number in range(3):
        site.say("cmd/ping", {"txn": f"t{number}"})
    assert site.records() == []
    site.kill()
    site.begin()
    site.turn(5)
    assert site.records() == [("t0", 200), ("t1", 200), ("t2", 200)]
    assert site.answers() == [("t0", 200), ("t1", 200), ("t2", 200)]
    assert site.unacknowledged() == []


def test_acknowledging_before_noting_loses_it(site: Site) -> None:
    """The test above turns red over it."""
    site.say("cmd/ping", {"txn": "t"})
    for message in list(site.stage._inbox.queue):
        site.link.stage.noted(message)
    site.link.turn()
    site.kill()
    site.begin()
    site.turn()
    assert site.records() == []


def test_what_was_noted_and_not_acknowledged_is_no_second_attempt(site: Site) -> None:
    """The link broke before the acknowledgement went."""
    site.say("cmd/disarm", {"txn": "t1"})
    site.say("cmd/nonsense", {"txn": "t2"})
    site.say("cmd/arm", b"no JSON")
    site.control.turn(4)
    assert site.unacknowledged() == ["cmd/disarm", "cmd/nonsense", "cmd/arm"]
    noted = [("t1", 200), ("t2", 404), (None, 400)]
    assert site.records() == noted
    for _ in range(2):
        site.kill()
        site.begin()
        site.turn()
        assert site.records() == noted
    assert site.answers("res/disarm") == [("t1", 200)]
    site.say("cmd/disarm", {"txn": "t1"})  # the operator's doing, and no repetition of the link's
    site.turn()
    assert site.records() == [*noted, ("t1", 200)]


def test_of_however_many_that_were_not_acknowledged_none_is_a_second_attempt(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MQTT 3.1.1 a broker may have any number under way."""
    monkeypatch.setattr(trail_hour, "MOST_PER_HOUR", 1000)
    for number in range(180):
        site.say("cmd/ping", {"txn": f"t{number}"})
    site.control.turn(180)
    noted = [(f"t{number}", 200) for number in range(180)]
    assert site.records() == noted
    assert len(site.unacknowledged()) == 180
    site.kill()
    site.begin()
    site.turn(200)
    assert site.records() == noted
    assert site.unacknowledged() == []


def test_a_reboot_that_comes_again_is_not_obeyed_again(site: Site) -> None:
    site.say("cmd/reboot", {"txn": "t1"})
    site.control.turn()
    assert site.control.reboots == 1
    for _ in range(3):
        site.kill()
        site.begin()
        site.turn()
        assert site.control.reboots == 0
    assert site.records() == [("t1", 200)]


def test_a_link_that_breaks_while_a_command_waits_makes_no_second_one(site: Site) -> None:
    """It comes again while the first copy still lies in memory."""
    site.say("cmd/ping", {"txn": "t1"})
    site.broker.drop()
    site.link.connect()
    site.turn(4)
    assert site.records() == [("t1", 200)]
    assert site.unacknowledged() == []


def test_commands_that_came_while_the_process_ended_are_one_attempt_each(site: Site) -> None:
    """They are kept for brokers that give nothing again; this one does."""
    site.say("cmd/ping", {"txn": "t1"}, correlation=b"\x00me", response_topic="trapd/v1/_reply/desk")
    site.stage.ended()
    site.kill()
    site.begin()
    site.turn(4)
    assert site.records() == [("t1", 200)]
    reply = [message for message in site.broker.published if message.topic == "trapd/v1/_reply/desk"]
    assert [message.correlation for message in reply] == [b"\x00me"]


def test_a_groups_command_that_is_refused_is_noted_at_once_and_answered_later(bench: Bench) -> None:
    site = Site(bench)
    site.say("cmd/reboot", {"txn": "t1"}, base=GROUP)
    site.control.turn()
    assert site.records() == [("t1", 403)]
    assert site.answers("res/reboot") == []
    site.turn(40, after_s=1.0)
    assert site.records() == [("t1", 403)]
    assert site.answers("res/reboot") == [("t1", 403)]
    site.kill()


def test_a_groups_command_that_comes_again_is_one_attempt(site: Site) -> None:
    site.say("cmd/ping", {"txn": "t1"}, base=GROUP)
    site.control.turn()
    site.kill()
    site.begin()
    site.turn(40, after_s=1.0)
    assert site.records() == [("t1", 500)]  # begun, and interrupted
    assert site.answers() == [("t1", 500)]


def test_while_the_store_is_full_nothing_is_acknowledged_and_nothing_lost(site: Site) -> None:
    event = site.bench.kept()
    site.bench.store.faults.make("begin")
    site.say("cmd/ping", {"txn": "t1"})
    site.say("receipt", {"ids": [event.id]})
    site.turn(5, after_s=0.1)
    assert site.unacknowledged() == ["cmd/ping", "receipt"]
    assert site.link.stage.online
    site.bench.store.faults.end()
    site.turn(5, after_s=1.0)
    assert site.records() == [("t1", 200)]
    assert site.unacknowledged() == []


def test_a_receipt_that_the_full_store_does_not_take_waits_and_the_link_stays(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would come again with each link, and end each."""
    taken: list[bool] = []

    def full(*_: Any) -> list[str]:
        if not taken:
            raise FULL
        return []

    monkeypatch.setattr(site.link.session.outbox, "receipt_ids", full)
    site.say("receipt", {"ids": ["a"]})
    connects = site.broker.connects
    site.turn(5, after_s=1.0)
    assert (site.broker.connects, site.unacknowledged()) == (connects, ["receipt"])
    taken.append(True)
    site.turn(2, after_s=1.0)
    assert site.unacknowledged() == []


def test_what_is_passed_over_is_acknowledged_once_it_is_counted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trapd.stages.control.stage._MOST_WAITING_BYTES", 10)
    site.say("cmd/ping", {"txn": "t1"})
    site.say("cmd/ping", {"txn": "t2"})
    site.turn(2)
    assert site.unacknowledged() == []
    assert [json.loads(line).get("more") for line in site.bench.session.obeyed.trail(9)] == [1, None]
    site.say("cmd/ping", {"txn": "t3"})
    site.say("cmd/ping", {"txn": "t4"})
    site.turn(2)
    assert len(site.unacknowledged()) == 1  # counted with the minute
    site.turn(2, after_s=61.0)
    assert site.unacknowledged() == []


def test_in_an_hour_that_is_full_they_are_counted_with_its_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once, and none as a part of another's count."""
    for number in range(60):
        site.say("cmd/ping", {"txn": f"t{number}"})
        site.control.turn()
    site.turn()
    monkeypatch.setattr("trapd.stages.control.stage._MOST_WAITING_BYTES", 10)
    for number in range(8):
        site.say("cmd/ping", {"txn": f"u{number}"})
    site.turn(2, after_s=61.0)
    monkeypatch.undo()
    site.turn(3, after_s=3600.0)
    lines = [json.loads(line) for line in site.bench.session.obeyed.trail(99)]
    assert [line["more"] for line in lines if "more" in line] == [8]
    assert len(lines) == 61


def test_many_that_are_passed_over_are_counted_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "_TOLD_WITH", 5)
    for _ in range(12):
        site.say("cmd/NONE", b"x")
    assert len(site.unacknowledged()) <= 12
    site.stage._inbox.queue.clear()
    for _ in range(12):
        site.say("receipts", b"x")
    site.turn()
    assert len(site.link.stage._inbound._passed_over) < 5


def test_what_was_passed_over_and_comes_again_counts_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.say("cmd/ping", {"txn": "t0"})
    monkeypatch.setattr("trapd.stages.control.stage._MOST_WAITING_BYTES", 10)
    site.link.stage._inbound._told_ns = site.bench.clock.boot_ns()
    site.say("cmd/ping", {"txn": "t1"})
    monkeypatch.undo()
    site.broker.drop()
    site.link.connect()
    site.turn(5, after_s=61.0)
    assert site.records() == [("t0", 200), ("t1", 200)]


# --- a message that ends the process ------------------------------------------------------------------------


class Killed(BaseException):
    """As SIGKILL: nothing in the process sees it."""


def killing(monkeypatch: pytest.MonkeyPatch, needle: bytes) -> list[bytes]:
    """Whoever looks at what holds this is killed. Gives what was looked at."""
    right, seen = Control._take, list[bytes]()

    def take(self: Control, session: Any, message: Received, **more: Any) -> None:
        seen.append(message.payload)
        if needle in message.payload:
            raise Killed
        right(self, session, message, **more)

    monkeypatch.setattr(Control, "_take", take)
    return seen


@pytest.mark.parametrize("retained", [False, True])
@pytest.mark.parametrize("leaf", ["cmd/ping", "config/desired"])
def test_a_message_that_ends_the_process_ends_two_and_no_more(
    site: Site, monkeypatch: pytest.MonkeyPatch, leaf: str, retained: bool
) -> None:
    seen = killing(monkeypatch, b"poison")
    site.say(leaf, b'{"txn":"poison"}', retain=retained)
    site.broker.say(f"{BASE}/cmd/ping", b'{"txn":"after"}')
    killed = 0
    for _ in range(6):
        try:
            site.turn(4)
        except Killed:
            killed += 1
            site.kill()
            site.begin()
        else:
            site.kill()
            site.begin()
    assert killed == 2
    assert seen.count(b'{"txn":"poison"}') == 2
    site.turn(8)
    assert ("after", 200) in site.answers()
    assert site.unacknowledged() == []
    lines = [json.loads(line) for line in site.bench.session.obeyed.trail(99)]
    unread = [line for line in lines if line["message"] == looking.ENDS_PROCESS]
    # It says whose it is, as far as that can be told of what nobody reads.
    assert [(line["leaf"], line["txn"], line["code"]) for line in unread] == [(leaf, "poison", 500)]
    if leaf == "cmd/ping" and not retained:
        assert ("poison", 500) in site.answers()


def test_a_message_that_ends_delivers_thread_is_bounded_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def receipt(payload: bytes) -> None:
        seen.append(payload)
        raise Killed

    monkeypatch.setattr("trapd.wire.inbound.receipt", receipt)
    site.broker.say(f"{BASE}/receipt", b"poison")
    for _ in range(6):
        try:
            site.turn()
        except Killed:
            site.kill()
            while True:
                try:
                    site.begin()
                except Killed:
                    site.kill()
                else:
                    break
    assert len(seen) == 3  # for the first time it is not looked for: it came from nowhere
    assert site.unacknowledged() == []


def test_chance_and_a_bad_disk_are_no_messages_doing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked at to its end, or could not be noted, does not count."""
    for number in range(4):
        site.say("cmd/ping", {"txn": "t1"})
        site.bench.store.faults.make("begin" if number == 0 else "tell")
        site.turn(2)
        site.bench.store.faults.end()
        site.kill()
        site.begin()
        site.turn(6)
    assert site.records()[0] == ("t1", 200)
    assert 500 not in [code for _, code in site.records()]


def test_another_trapd_looks_at_it_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = killing(monkeypatch, b"poison")
    site.say("cmd/ping", b'{"txn":"poison"}', retain=True)
    for _ in range(4):
        with suppress(Killed):
            site.turn(4)
        site.kill()
        site.begin()
    assert len(seen) == 2
    monkeypatch.setattr(looking, "__version__", "99.0")
    with pytest.raises(Killed):
        site.turn(4)
