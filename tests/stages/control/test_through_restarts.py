"""What outlasts a process: whom to answer, a configuration that has to wait, what a reboot was answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stages.driver import Bench
from tests.stages.remote_driver import RemoteDriver, local_file
from tests.stages.unit_and_broker import Site
from trapd.records import Considered


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    made = Site(bench)
    yield made
    made.kill()


# --- to where it was asked ----------------------------------------------------------------------------------


def test_the_answer_to_an_interrupted_command_goes_to_where_it_was_asked(site: Site) -> None:
    site.say("cmd/capture", {"txn": "t1"}, response_topic="trapd/v1/_reply/desk/7", correlation=b"who")
    site.control.turn()
    site.kill()
    site.begin()
    site.turn(5)
    reply = [message for message in site.broker.published if message.topic == "trapd/v1/_reply/desk/7"]
    assert [(json.loads(one.payload)["code"], one.correlation) for one in reply] == [(500, b"who")]
    assert site.answers("res/capture") == [("t1", 500)]
    assert all(one.correlation is None for one in site.broker.published if "/res/" in one.topic)


def test_correlation_data_that_nobody_needs_is_not_carried(site: Site) -> None:
    site.say("cmd/ping", {"txn": "t1"}, response_topic="trapd/v1/_reply/desk", correlation=b"x" * 257)
    site.say("cmd/ping", {"txn": "t2"}, response_topic="trapd/v1/other", correlation=b"x")
    site.turn(4)
    assert [one.correlation for one in site.broker.published if "_reply" in one.topic] == [None]
    assert site.answers() == [("t1", 200), ("t2", 200)]


# --- a configuration that has to wait -----------------------------------------------------------------------


def test_a_document_that_waits_is_considered_when_the_trial_has_been_taken_back(site: Site) -> None:
    """It was published without retain; the end of the trial is another process."""
    site.control.overlays.is_busy = True
    site.control.overlays.verdict = Considered(409, 7, "later")
    site.say("config/desired", {"v": 1, "version": 7, "txn": "later", "doc": {}})
    site.turn()
    assert site.records() == [("later", 409)]
    assert site.unacknowledged() == []
    site.kill()
    site.begin()
    site.control.overlays.verdict = Considered(202, 7, "later", changed=True, restart=True)
    site.turn(3)
    assert [asked[1]["txn"] for asked in site.control.overlays.asked] == ["later"]
    assert (site.records(), site.control.restarts) == ([("later", 409), ("later", 202)], 1)
    site.kill()
    site.begin()
    site.turn(3)
    assert site.control.overlays.asked == []


def test_the_newest_document_alone_waits(site: Site) -> None:
    site.control.overlays.is_busy = True
    site.control.overlays.verdict = Considered(409, 7, "x")
    for txn in ("first", "second"):
        site.say("config/desired", {"v": 1, "version": 7, "txn": txn, "doc": {}})
        site.turn()
    site.kill()
    site.begin()
    site.turn(3)
    assert [asked[1]["txn"] for asked in site.control.overlays.asked] == ["second"]


def test_what_is_larger_than_any_document_waits_in_memory(site: Site) -> None:
    """And takes the place of what waited."""
    site.control.overlays.is_busy = True
    site.control.overlays.verdict = Considered(409, 7, "x")
    site.say("config/desired", {"v": 1, "version": 7, "txn": "first", "doc": {}})
    site.turn()
    site.say("config/desired", b" " * 300_000)
    site.turn()
    assert site.control.desired._put_off.message is not None
    site.kill()
    site.begin()
    site.turn(3)
    assert site.control.overlays.asked == []


def test_no_opinion_ends_the_waiting(site: Site) -> None:
    site.control.overlays.is_busy = True
    site.control.overlays.verdict = Considered(409, 7, "x")
    site.say("config/desired", {"v": 1, "version": 7, "txn": "first", "doc": {}})
    site.say("config/desired", b"", retain=True)
    site.turn()
    site.kill()
    site.begin()
    site.turn(3)
    assert site.control.overlays.asked == []


def test_a_document_that_waits_for_the_link_outlasts_the_process(site: Site) -> None:
    site.control.standing = frozenset()
    site.control.overlays.verdict = Considered(0, 7, "x")
    site.say("config/desired", {"v": 1, "version": 7, "txn": "first", "doc": {}})
    site.turn()
    assert (site.records(), site.unacknowledged()) == ([], [])
    site.kill()
    site.begin()
    site.turn(3)
    assert [asked[1]["txn"] for asked in site.control.overlays.asked] == ["first"]


# --- a reboot -----------------------------------------------------------------------------------------------


def test_a_reboot_that_nobody_does_is_answered_again(site: Site) -> None:
    site.say("cmd/reboot", {"txn": "t1"})
    site.turn(3)
    assert site.answers("res/reboot") == [("t1", 200)]
    site.turn(3, after_s=30.0)
    assert site.answers("res/reboot") == [("t1", 200), ("t1", 500)]
    assert site.records() == [("t1", 200), ("t1", 500)]
    assert site.control.forgotten == 1
    site.say("cmd/reboot", {"txn": "t1"})
    site.turn(3)
    assert (site.control.reboots, site.answers("res/reboot")[-1]) == (1, ("t1", 500))


def test_a_reboot_that_nobody_does_is_taken_back_by_the_next_process_too(site: Site) -> None:
    """It began within the minute, and the boot is the same."""
    site.say("cmd/reboot", {"txn": "t1"}, response_topic="trapd/v1/_reply/desk", correlation=b"who")
    site.turn(3)
    for _ in range(2):
        site.kill()
        site.begin()
    site.turn(3)
    assert site.answers("res/reboot") == [("t1", 200)]
    site.turn(3, after_s=30.0)
    assert site.answers("res/reboot") == [("t1", 200), ("t1", 500)]
    assert site.records() == [("t1", 200), ("t1", 500)]
    assert site.control.forgotten == 1
    reply = [message for message in site.broker.published if message.topic == "trapd/v1/_reply/desk"]
    assert [(json.loads(one.payload)["code"], one.correlation) for one in reply] == [
        (200, b"who"), (500, b"who"),
    ]  # fmt: skip
    site.kill()
    site.begin()
    site.turn(3, after_s=30.0)
    assert site.records() == [("t1", 200), ("t1", 500)]


def test_a_reboot_that_came_is_not_taken_back(site: Site) -> None:
    site.say("cmd/reboot", {"txn": "t1"})
    site.turn(3)
    site.kill()
    site.bench.clock.boot_anew("another")
    site.begin()
    site.turn(5, after_s=30.0)
    assert site.records() == [("t1", 200)]


def test_a_reboot_that_cannot_be_asked_for_says_so(site: Site) -> None:
    site.control.reboot_fails = OSError(28, "No space left on device")
    site.say("cmd/reboot", {"txn": "t1"})
    site.turn(3)
    site.turn(3, after_s=61.0)
    assert site.answers("res/reboot") == [("t1", 500)]
    assert site.records() == [("t1", 500)]


def test_a_reboot_that_came_before_its_answer_is_answered_by_the_next_boot(site: Site) -> None:
    site.bench.store.faults.make("end")
    site.say("cmd/reboot", {"txn": "t1"})
    site.control.turn()
    assert site.control.reboots == 1
    site.bench.store.faults.end()
    site.kill()
    site.bench.clock.boot_anew("another")
    site.begin()
    site.turn(3)
    assert site.answers("res/reboot") == [("t1", 200)]
    assert site.control.reboots == 0


# --- with the real files of a configuration -----------------------------------------------------------------


@pytest.fixture
def remote(bench: Bench, tmp_path: Path) -> Iterator[RemoteDriver]:
    driver = RemoteDriver(bench, local_file(bench, tmp_path))
    yield driver
    driver.close()


def desired(version: int, doc: dict[str, Any]) -> dict[str, Any]:
    return {"v": 1, "version": version, "txn": f"v{version}", "doc": doc}


def codes(remote: RemoteDriver) -> list[tuple[str, int]]:
    return [(record["txn"], record["code"]) for record in remote.records()]


@pytest.mark.parametrize("fails", [True, False])
def test_a_document_that_came_during_a_trial_has_its_own_when_that_has_ended(
    remote: RemoteDriver, fails: bool
) -> None:
    """Published without retain; after a roll-back, which is a restart, and after a trial that was kept."""
    remote.say("config/desired", desired(1, {"heartbeat_s": 60}))
    remote.pass_by()
    assert remote.overlays.on_trial
    for version in (2, 3):
        remote.say("config/desired", desired(version, {"heartbeat_s": 70 + version}))
    assert codes(remote) == [("v1", 202), ("v2", 409), ("v3", 409)]
    if fails:
        remote.say("cmd/config_rollback", {"txn": "back", "args": {}})
        ended = ("back", 200)
    else:
        ended = ("v1", 200)
    for _ in range(20):
        remote.pass_by(5.0)
        if remote.overlays.version == 3 and not remote.overlays.on_trial:
            break
    assert codes(remote)[3:] == [ended, ("v3", 202), ("v3", 200)]
    for _ in range(3):
        remote.begin()
        remote.pass_by(5.0)
    assert len(codes(remote)) == 6
