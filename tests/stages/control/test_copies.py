"""What lies retained at the broker comes with each connection, and is one record."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stages.driver import BASE, Bench
from tests.stages.unit_and_broker import Site
from trapd.ports import Received
from trapd.records import Considered
from trapd.stages.control import copies
from trapd.stages.control.copies import Copies, lying
from trapd.wire.authority import Authority
from trapd.wire.signing import Keyring


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    made = Site(bench)
    yield made
    made.kill()


def test_a_retained_command_is_one_record_however_often_the_link_gives_it(site: Site) -> None:
    site.say("cmd/reboot", {"txn": "t1"}, retain=True)
    site.turn()
    refused = [("t1", 400)]
    assert site.records() == refused
    for _ in range(2):
        site.broker.drop()
        site.link.connect()
        site.turn()
        site.kill()
        site.begin()
        site.turn()
    assert site.records() == refused
    assert site.control.reboots == 0
    site.turn(2, after_s=10.0)
    site.say("cmd/reboot", {"txn": "t1"}, retain=True)  # somebody says it again
    site.turn()
    assert site.records() == refused * 2
    site.say("cmd/reboot", {"txn": "t2"}, retain=True)
    site.turn()
    assert site.records() == [*refused, *refused, ("t2", 400)]


def test_a_retained_command_with_an_impossible_name_is_one_record_and_clearing_it_is_none(site: Site) -> None:
    site.say("cmd/FORMAT", {"txn": "t1"}, retain=True)
    site.turn()
    for _ in range(2):
        site.broker.drop()
        site.link.connect()
        site.turn()
    site.say("cmd/FORMAT", b"", retain=True)
    site.turn()
    assert site.records() == [(None, 404)]


def test_a_retained_command_that_replaced_another_while_the_unit_was_away_is_one_more(site: Site) -> None:
    """The session gives it, and the subscription its copy."""
    site.say("cmd/reboot", {"txn": "t1"}, retain=True)
    site.turn()
    site.kill()
    site.broker.say(f"{BASE}/cmd/reboot", b'{"txn":"t2"}', retain=True)
    site.begin()
    site.turn()
    assert site.records() == [("t1", 400), ("t2", 400)]


@pytest.mark.parametrize("document", [b'{"v":1,"version":1,"txn":"t1","doc":{}}', b"{", b" " * 300_000])
def test_a_strangers_document_that_lies_retained_is_one_record(bench: Bench, document: bytes) -> None:
    """It is judged each time: a key may be trusted meanwhile."""
    site = Site(bench, Authority(Keyring([]), signed_only=True, open_=True))
    site.say("config/desired", document, retain=True)
    site.turn()
    refused = site.records()
    assert len(refused) == 1
    for _ in range(3):
        site.kill()
        site.begin()
        site.turn()
    assert site.records() == refused
    site.say("config/desired", document, retain=True)
    site.turn()
    assert site.records() == refused * 2
    site.kill()


def test_a_document_that_waits_for_the_end_of_a_trial_is_one_record_though_links_break(site: Site) -> None:
    site.control.overlays.is_busy = True
    site.control.overlays.verdict = Considered(409, 7, "later")
    site.say("config/desired", {"v": 1, "version": 7, "txn": "later", "doc": {}}, retain=True)
    site.turn()
    for _ in range(3):
        site.broker.drop()
        site.link.connect()
        site.turn()
    assert site.records() == [("later", 409)]


def test_a_document_that_was_refused_and_may_be_obeyed_now_is_obeyed(site: Site) -> None:
    """That it lies there is no reason to pass over it."""
    site.control.overlays.verdict = Considered(422, 7, "t7")
    site.say("config/desired", {"v": 1, "version": 7, "txn": "t7", "doc": {}}, retain=True)
    site.turn()
    site.kill()
    site.begin()
    site.control.overlays.verdict = Considered(202, 7, "t7", changed=True, restart=True)
    site.turn()
    assert (site.records(), site.control.restarts) == ([("t7", 422), ("t7", 202)], 1)


def test_a_document_that_is_out_of_date_is_one_record_through_restarts(site: Site) -> None:
    site.control.overlays.verdict = Considered(202, 1, "t1", changed=True)
    site.say("config/desired", {"v": 1, "version": 1, "txn": "t1", "doc": {}}, retain=True)
    site.turn()
    for _ in range(3):
        site.kill()
        site.begin()
        site.control.overlays.verdict = Considered(409, 1, "t1")  # a patch has taken its place
        site.turn()
    assert site.records() == [("t1", 202), ("t1", 409)]


def test_one_that_the_full_store_had_no_room_to_refuse_is_refused_when_there_is(site: Site) -> None:
    site.bench.store.faults.make("tell")
    site.say("cmd/reboot", {"txn": "t1"}, retain=True)
    site.turn(4)
    site.bench.store.faults.end()
    site.turn(4)
    assert site.records() == [("t1", 400)]
    site.broker.drop()
    site.link.connect()
    site.turn()
    assert site.records() == [("t1", 400)]


def test_topics_that_anybody_makes_up_take_no_room(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_MOST_TOPICS", 2)
    seen = Copies(bench.clock)
    for number in range(4):
        message = Received(f"{BASE}/cmd/c{number}", b"x", True, number=number, link=1)
        with bench.session.obeyed.hearing(lying(message)):
            bench.session.obeyed.tell((), b"line")
        assert seen.is_one(bench.session, message) == (number < 2)
