"""config/desired as it arrives: who may, what is remembered, what waits, what is reported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.store import FULL
from tests.stages.control_driver import PROVED, ControlDriver
from tests.stages.driver import Bench
from trapd.errors import Fault
from trapd.records import Considered, Note
from trapd.store.queue.obeyed import Begun
from trapd.wire.authority import Authority
from trapd.wire.signing import Keyring

DOCUMENT = json.dumps({"v": 1, "version": 5, "txn": "x", "doc": {}}).encode()
LEAF = "config/desired"


@pytest.fixture
def control(bench: Bench) -> Iterator[ControlDriver]:
    driver = ControlDriver(bench)
    yield driver
    driver.close()


def codes(control: ControlDriver) -> list[int]:
    return [json.loads(payload)["code"] for payload in control.session.obeyed.trail(100)]


def reports(control: ControlDriver) -> list[Any]:
    return [json.loads(payload) for payload in control.bench.leaf("config/reported")]


def test_at_start_the_unit_says_what_is_in_force_and_what_may_be(control: ControlDriver) -> None:
    control.stage._begin(control.session)
    assert reports(control) == [{"v": 1, "version": 4}]
    assert control.bench.leaf("config/schema") == [b'{"title":"schema"}']
    rows = [row.row for row in control.session.outbox.next(10, max_bytes=10**6)]
    control.session.outbox.acknowledge(rows)
    control.stage._begin(control.session)
    assert control.bench.leaf("config/schema") == []  # it has not changed: it is large


def test_a_retained_document_is_what_the_leaf_is_for(control: ControlDriver) -> None:
    control.say(LEAF, DOCUMENT, retained=True)
    assert (codes(control), control.restarts) == ([202], 1)
    assert len(reports(control)) == 1


def test_empty_is_no_opinion(control: ControlDriver) -> None:
    control.say(LEAF, b"", retained=True)
    assert (codes(control), control.overlays.asked) == ([], [])


def test_what_changes_nothing_leaves_no_trace(control: ControlDriver) -> None:
    control.overlays.verdict = None
    control.say(LEAF, DOCUMENT, retained=True)
    assert (codes(control), reports(control), control.restarts) == ([], [], 0)


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"no JSON", 400), (b"[]", 400), (b'{"a":1,"a":2}', 400), (b" " * 300_000, 413), (b"[" * 9999, 400)],
)
def test_what_cannot_be_read_is_rejected_and_reported(
    control: ControlDriver, payload: bytes, code: int
) -> None:
    control.say(LEAF, payload)
    assert codes(control) == [code]
    assert [asked[0] for asked in control.overlays.asked] == ["broken"]
    assert len(reports(control)) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b'{"v":1,"version":7,"txn":"x","doc":{}', b'{"version":7,"txn":"x","doc":NaN}',
        b'{"version":7,"txn":"x","doc":{"a":1,"a":2}}', b'{"version":7,"txn":"x"}]',
        b'{"version":7,"txn":"x","doc":"\\ud800"}', b'{"version":7,"txn":"x","doc":"\xff"}',
        b'{"version":7,"txn":"x","doc":1e999}', b'{"version":7,"txn":"x","doc":[' + b"0," * 2000 + b"0]}",
        b'{"version":7,"txn":"x","doc":"' + b"x" * 300_000 + b'"}',
        b'{"version":7,"txn":"x","doc":[' + b"0," * 20_000 + b"0]}",
        b'{"version":7,"txn":"x","doc":' + b"[" * 50 + b"]" * 50 + b"}",
    ],
    ids=range(11),
)  # fmt: skip
@pytest.mark.parametrize("unsigned", [True, False])
def test_its_record_names_what_can_be_read_of_it(bench: Bench, payload: bytes, unsigned: bool) -> None:
    authority = Authority(Keyring([]), signed_only=not unsigned, open_=True)
    control = ControlDriver(bench, authority)
    control.say(LEAF, payload)
    (record,) = [json.loads(line) for line in control.session.obeyed.trail(10)]
    assert (record["version"], record["txn"]) == (7, "x")
    assert record["code"] in ({400, 413} if unsigned else {400, 401, 413})
    assert len(reports(control)) == int(unsigned)  # a stranger's, maybe: it is never remembered
    control.close()


def test_who_may_not_is_recorded_and_forgotten(bench: Bench) -> None:
    control = ControlDriver(bench, Authority(Keyring([]), signed_only=True, open_=True))
    control.say(LEAF, DOCUMENT)
    assert codes(control) == [401]
    (record,) = [json.loads(line) for line in control.session.obeyed.trail(10)]
    assert (record["version"], record["txn"]) == (5, "x")
    assert (control.overlays.asked, reports(control)) == ([], [])
    control.close()


def test_every_fault_of_a_rejected_document_is_in_one_record(control: ControlDriver) -> None:
    faults = (Fault("a.b", "is wrong", "do"), Fault("c", "is worse", ""))
    control.overlays.verdict = Considered(400, 5, "x", faults, changed=True)
    control.say(LEAF, DOCUMENT)
    (record,) = [json.loads(payload) for payload in control.session.obeyed.trail(10)]
    assert (record["code"], record["message"]) == (400, "a.b is wrong; c is worse")
    assert len(reports(control)) == 1
    assert control.restarts == 0


def test_a_document_waits_for_a_link_that_has_proved_itself(control: ControlDriver) -> None:
    control.standing = frozenset({"link"})
    control.overlays.verdict = Considered(0, 5, "x")
    control.say(LEAF, DOCUMENT)
    assert (codes(control), control.restarts) == ([], 0)
    control.overlays.verdict = Considered(202, 5, "x", changed=True, restart=True)
    control.turn(2)
    assert control.restarts == 0
    control.standing = PROVED
    control.turn()
    assert (codes(control), control.restarts) == ([202], 1)
    control.turn(3)
    assert control.restarts == 1


def test_one_that_the_full_store_did_not_take_is_considered_later(
    control: ControlDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is retained: the broker would not say it again before the next connection."""
    consider = control.overlays.consider

    def full(*_: object, **__: object) -> None:
        monkeypatch.setattr(control.overlays, "consider", consider)
        raise FULL

    monkeypatch.setattr(control.overlays, "consider", full)
    control.say(LEAF, DOCUMENT)
    assert codes(control) == []
    control.turn()
    assert (codes(control), control.restarts) == ([202], 1)


def test_one_that_comes_during_a_trial_is_considered_when_that_has_ended(control: ControlDriver) -> None:
    control.overlays.trial = True
    control.overlays.verdict = Considered(409, 5, "x", (Fault("", "another version is on trial"),))
    control.say(LEAF, DOCUMENT)
    assert (codes(control), reports(control)) == ([409], [])
    control.overlays.verdict = Considered(202, 5, "x", changed=True, restart=True)
    control.turn(2)
    assert control.restarts == 0
    control.overlays.ends = Considered(200, 4, "w", changed=True)
    control.turn(2)
    assert codes(control) == [409, 200, 202]
    assert control.restarts == 1


def test_one_that_comes_before_a_trial_is_settled_is_considered_by_itself_when_it_is(
    control: ControlDriver,
) -> None:
    """The disk refused to end one at start: no trial is on, and none may begin."""
    control.overlays.is_busy = True
    control.overlays.verdict = Considered(409, 5, "x", (Fault("", "another version is on trial"),))
    control.say(LEAF, DOCUMENT, retained=True)
    control.overlays.verdict = Considered(202, 5, "x", changed=True, restart=True)
    control.turn(2)
    assert codes(control) == [409]
    control.overlays.is_busy = False
    control.turn()
    assert (codes(control), control.restarts) == ([409, 202], 1)


def test_what_the_full_store_takes_no_record_of_is_recorded_when_there_is_room(
    bench: Bench, control: ControlDriver
) -> None:
    """The configuration's files know of it."""
    bench.store.faults.make("tell")
    control.say(LEAF, DOCUMENT)
    assert (codes(control), control.restarts) == ([], 1)
    bench.store.faults.end()
    control.turn(1, after_s=11.0)
    assert codes(control) == [202]
    control.turn(3, after_s=11.0)
    assert codes(control) == [202]


def test_what_the_files_know_and_the_trail_does_not_is_recorded_once_by_the_next_process(
    bench: Bench, control: ControlDriver
) -> None:
    noted = Note(3, LEAF, 500, 5, "x", None, "the unit has begun 3 times with it")
    bench.store.faults.make("tell")
    for _ in range(3):
        later = ControlDriver(bench)
        later.overlays.noted.append(noted)
        later.stage._begin(later.session)
        bench.store.faults.end()  # the first of them finds no room when it begins
        later.turn(2, after_s=11.0)
        later.close()
    (record,) = [json.loads(line) for line in control.session.obeyed.trail(10)]
    assert (record["code"], record["version"], record["txn"]) == (500, 5, "x")


def test_a_patch_whose_process_ended_behind_its_files_is_answered_as_they_have_it(
    bench: Bench, control: ControlDriver
) -> None:
    control.session.obeyed.begin(Begun("p", "cmd/config_patch", None))
    later = ControlDriver(bench)
    later.overlays.noted.append(Note(3, "cmd/config_patch", 202, 5, "p", "k"))
    later.stage._begin(later.session)
    (answer,) = [json.loads(line) for line in bench.leaf("res/config_patch")]
    assert (answer["txn"], answer["code"], answer["data"]) == ("p", 202, {"version": 5, "errors": []})
    (record,) = [json.loads(line) for line in control.session.obeyed.trail(10)]
    assert (record["leaf"], record["code"], record["kid"]) == ("cmd/config_patch", 202, "k")
    later.close()


def test_what_comes_while_the_process_ends_begins_no_second_trial(control: ControlDriver) -> None:
    """The next process considers it: it may not run on what this one knows."""
    control.say(LEAF, DOCUMENT)
    assert control.overlays.asked[-1][3] is True
    control.say(LEAF, DOCUMENT.replace(b"5", b"6"))
    control.say("cmd/config_rollback", b'{"txn":"t","args":{}}')
    control.turn(3)
    assert [ready for *_, ready in control.overlays.asked[1:]] == [False, False]


def test_a_trial_that_fails_is_reported_and_begins_anew(control: ControlDriver) -> None:
    control.overlays.trial = True
    control.overlays.ends = Considered(500, 5, "x", (Fault("", "no camera"),), changed=True, restart=True)
    control.turn()
    assert (codes(control), control.restarts, len(reports(control))) == ([500], 1, 1)


def test_on_trial_the_unit_calls_to_itself_until_it_hears_it(control: ControlDriver) -> None:
    control.turn(3, after_s=20.0)
    assert control.bench.leaf("probe") == []  # only on trial
    control.overlays.trial = True
    control.standing = frozenset({"link"})
    control.turn(2)
    assert control.bench.leaf("probe") == []  # nobody would hear it
    control.standing = PROVED
    control.turn(5)
    (probe,) = control.bench.leaf("probe")
    assert "probe" not in control.overlays.seen
    control.turn(1, after_s=11.0)
    assert control.bench.leaf("probe") == [probe, probe]
    control.echo = probe
    control.turn(5, after_s=11.0)
    assert len(control.bench.leaf("probe")) == 2
    assert control.overlays.seen == PROVED | {"probe", "camera", "filter"}


def test_what_was_not_seen_is_not_shown(control: ControlDriver) -> None:
    control.camera_seen = control.model_ready = False
    control.standing = frozenset()
    control.turn()
    assert control.overlays.seen == frozenset()
