"""The Overlays port: what a document, a patch, a confirmation and a way back do, step by step."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from tests.config.common import ONE_KEY
from tests.remote.common import ALL, CONFIRM_S, LOCAL, Unit, document, mark
from tests.remote.test_files import refuses_from
from trapd.errors import StoreError, StoreFull
from trapd.records import Considered, TsQuality
from trapd.remote.ledger import VERSION_STEP
from trapd.wire import signing
from trapd.wire.authority import Authority, Refused

OTHER_KEY = f"ed25519:{'B' * 42}A="
LINK = frozenset({"link", "heard", "puback", "probe"})


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


def patch(unit: Unit, base: object, version: object, patch: object, **more: Any) -> Considered:
    args = {"base": base, "version": version, "patch": patch, **more}
    return unit.remote.patch("p", args, kid=None, ready=True)


def state(unit: Unit) -> tuple[int, str, tuple[int, int]]:
    return unit.report["version"], unit.report["phase"], unit.attempt


def test_a_good_document_is_tried_and_kept(unit: Unit) -> None:
    assert unit.remote.consider(document(1), kid=None, ready=True) == Considered(
        202, 1, "t1", changed=True, restart=True
    )
    assert state(unit) == (0, "trial", (1, 202))
    unit.start()
    assert (unit.remote.on_trial, state(unit)) == (True, (1, "trial", (1, 202)))
    assert unit.watch(LINK - {"probe"}) is None
    assert unit.watch(LINK) == Considered(200, 1, "t1", changed=True)
    assert (unit.remote.on_trial, state(unit)) == (False, (1, "committed", (1, 200)))
    unit.start()
    assert (unit.settings.trigger.max_per_hour, state(unit)) == (mark(1), (1, "committed", (1, 200)))


def test_what_worked_before_must_work_on_trial(unit: Unit) -> None:
    unit.watch(ALL - {"camera"})
    assert unit.desire(document(1)) == 202
    assert unit.began.files.trial().needs == ("link", "heard", "puback", "probe", "filter")  # type: ignore[union-attr]  # it has begun
    unit.start()
    assert unit.watch(LINK) is None
    assert unit.watch(LINK | {"filter"}) is not None


def test_the_deadline_is_that_of_the_old_configuration(unit: Unit) -> None:
    assert unit.desire(document(1, {"remote": {"confirm_s": 300}})) == 202
    unit.start()
    assert unit.watch(frozenset(), CONFIRM_S) is None
    considered = unit.watch(LINK - {"puback"}, 1.0)
    assert considered is not None
    assert (considered.code, considered.restart) == (500, True)
    assert [fault.message for fault in considered.faults] == ["the broker did not take what it published"]
    assert state(unit) == (0, "rolled_back", (1, 500))
    unit.start()
    assert state(unit) == (0, "rolled_back", (1, 500))


def test_the_operator_confirms_where_that_is_asked_for(unit: Unit) -> None:
    assert unit.desire(document(1, confirm="operator")) == 202
    assert unit.remote.confirm({}).code == 409
    unit.start()
    assert unit.watch() is None
    for args, code in (({"version": 2}, 409), ({"verison": 1}, 400), ({"version": 1}, 200)):
        assert unit.remote.confirm(args).code == code
    unit.start()  # the word is kept over a start
    assert unit.watch() == Considered(200, 1, "t1", changed=True)


def test_without_the_operators_word_it_is_rolled_back(unit: Unit) -> None:
    assert unit.desire(document(1, confirm="operator")) == 202
    unit.start()
    considered = unit.watch(ALL, CONFIRM_S + 1)
    assert considered is not None
    assert [fault.message for fault in considered.faults] == ["the operator did not confirm it"]


def test_the_document_of_the_last_attempt_changes_nothing_when_it_comes_again(unit: Unit) -> None:
    """At every stage of its way, also after a roll-back; with another signature it is another."""
    asked = document(1, sig={"kid": "0" * 16, "b64": "x"})
    assert unit.desire(asked) == 202
    for step in (lambda: None, unit.start, unit.fail, unit.start):
        step()
        before = unit.report
        assert unit.desire(asked) is None
        assert unit.report == before
    assert state(unit) == (0, "rolled_back", (1, 500))
    assert unit.desire(asked | {"sig": {"kid": "1" * 16, "b64": "x"}}) == 423


def test_what_arrives_during_a_trial_is_no_attempt_whatever_it_is(unit: Unit) -> None:
    """It is considered when the trial has ended."""
    assert unit.desire(document(1)) == 202
    for starts in range(2):
        before = unit.report
        for asked in (document(2), {"version": 7}, document(2, {"burst": {"frames": 0}}), {}):
            assert unit.desire(asked) == 409
        waits = unit.remote.consider(document(2), kid=None, ready=True)
        assert waits is not None
        assert waits == Considered(409, 2, "t2", waits.faults)
        assert waits.faults[0].hint == "this one is considered when that has ended"
        # A command does not wait.
        patched = unit.remote.patch("p", {"base": 1, "version": 2, "patch": {}}, kid=None, ready=True)
        assert (patched.code, patched.faults[0].hint) == (409, "ask again when that has ended")
        assert unit.report == before
        if starts == 0:
            unit.start()
    unit.watch()
    assert unit.desire(document(2)) == 202


def test_a_document_that_waits_for_the_link_is_not_remembered(unit: Unit) -> None:
    assert unit.desire(document(1), ready=False) == 0
    assert unit.report["last_attempt"] is None
    assert unit.desire(document(1)) == 202


def test_what_fails_401_is_never_remembered(unit: Unit) -> None:
    """The signature is seen to before; a forged document of any version bars no other."""
    forged = signing.sign("t", document(10**9, issued_at="2026-11-22T05:13:22Z"), bytes(32))
    with pytest.raises(Refused):
        Authority(signing.Keyring([]), signed_only=True, open_=True).check("t", forged)
    assert unit.report["last_attempt"] is None
    assert unit.desire(document(1)) == 202


def test_a_version_moves_with_trials_alone(unit: Unit) -> None:
    for asked in (document(VERSION_STEP + 1), document(10**15), document(9, {"burst": 5}), {"version": 8}):
        unit.desire(asked)
    unit.commit(document(1))
    unit.commit(document(1 + VERSION_STEP))
    assert unit.desire(document(VERSION_STEP)) == 409


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"v": 2**53}, {"version": 2**53, "txn": "\ud800"}, {"\ud800" * 300: 1}, {"version": True},
        document(1, {"\ud800": "\ud800"}), document(1, {"burst": {"frames": 2**53}}), document(2**53),
        document(1, {"unit": {"name": "\ud800"}}), document(1, {"x" * 100_000: {}}), document(-5),
    ],
    ids=lambda asked: ascii(asked)[:40],
)  # fmt: skip
def test_whatever_arrives_can_be_answered_reported_and_known_again(unit: Unit, asked: dict[str, Any]) -> None:
    assert unit.desire(asked) in (400, 409)
    assert len(unit.remote.report()) < 2000
    assert unit.report["phase"] == "rejected"
    assert unit.desire(asked) is None


def test_what_nests_without_an_end_is_answered_and_not_remembered(unit: Unit) -> None:
    deep: Any = 1
    for _ in range(2000):
        deep = {"a": deep}
    assert unit.desire(document(1, sig=deep)) == 400
    assert patch(unit, 0, 1, deep).code == 400
    assert unit.report["last_attempt"] is None
    while isinstance(deep, dict):
        deep = deep.pop("a")


def test_a_patch_changes_what_is_in_force_and_makes_an_older_document_too_old(unit: Unit) -> None:
    unit.commit(document(1, {"burst": {"frames": 2, "interval_s": 0.5}}))
    assert patch(unit, 1, 2, {"burst": {"interval_s": None}, "heartbeat_s": 60}).code == 202
    unit.start()
    unit.watch()
    assert unit.report["doc"] == {"burst": {"frames": 2}, "heartbeat_s": 60}
    assert unit.desire(document(1, {"burst": {"frames": 2, "interval_s": 0.5}})) == 409
    assert state(unit) == (2, "rejected", (1, 409))


@pytest.mark.parametrize(
    ("base", "version", "change", "code"),
    [
        (0, 2, {}, 409), (2, 2, {}, 409), (True, 2, {}, 409), (1.0, 2, {}, 409), ("1", 2, {}, 409),
        (None, 2, {}, 409), (1, 1, {}, 409), (1, "2", {}, 400), (1, None, {}, 400), (1, 2**60, {}, 400),
        (1, 2, [], 400), (1, 2, 5, 400), (1, 2, {"burst": {"frames": 0}}, 400), (1, 2, {"\ud800": 1}, 400),
        (1, 2, {"mqtt": {"host": "x"}}, 403), (1, 2, {"trigger": None}, 202), (1, 2, {}, 202),
    ],
)  # fmt: skip
def test_each_code_of_a_patch(unit: Unit, base: object, version: object, change: object, code: int) -> None:
    unit.commit(document(1))
    considered = patch(unit, base, version, change)
    assert (considered.code, considered.txn) == (code, "p")
    unit.remote.report()


def test_a_patch_takes_three_things_and_no_other(unit: Unit) -> None:
    assert patch(unit, 0, 1, {}, confirm="operator").code == 400
    assert unit.remote.patch("p", {}, kid=None, ready=True).code == 400


def test_going_back_ends_a_trial(unit: Unit) -> None:
    unit.commit(document(1))
    assert unit.desire(document(2)) == 202
    assert unit.remote.go_back("b", ready=True).code == 409  # it has not begun: after the restart
    unit.start()
    considered = unit.remote.go_back("b", ready=True)
    assert (considered.code, considered.txn, considered.restart) == (200, "b", True)
    assert state(unit) == (1, "rolled_back", (2, 500))
    assert unit.remote.go_back("c", ready=True).code == 409
    unit.start()
    assert unit.settings.trigger.max_per_hour == mark(1)


def test_going_back_tries_what_was_before_and_the_retained_document_does_not_overwrite_that(
    unit: Unit,
) -> None:
    unit.commit(document(1))
    unit.commit(document(2))
    assert unit.remote.go_back("b", ready=False).code == 0
    assert unit.remote.go_back("b", ready=True).code == 202
    for _ in range(2):
        unit.start()
        assert (unit.settings.trigger.max_per_hour, unit.report["version"]) == (mark(1), 1)
        assert unit.desire(document(2)) is None
        unit.watch()
    assert state(unit) == (1, "rolled_back", (1, 200))
    assert unit.desire(document(1, txn="again")) == 409
    assert unit.remote.go_back("c", ready=True).code == 202
    unit.start()
    assert unit.report["version"] == 2


def test_going_back_to_the_local_file_alone_is_a_trial_too_and_can_be_tried_again(unit: Unit) -> None:
    assert unit.remote.go_back("b", ready=True).code == 409
    unit.commit(document(1))
    assert unit.remote.go_back("b", ready=True).code == 202
    unit.start()
    assert (unit.settings.trigger.max_per_hour, state(unit)) == (600, (0, "trial", (0, 202)))
    unit.fail()
    assert (unit.settings.trigger.max_per_hour, state(unit)) == (mark(1), (1, "rolled_back", (0, 500)))
    assert unit.remote.go_back("c", ready=True).code == 202
    for _ in range(2):
        unit.start()
        unit.watch()
    assert (unit.settings.trigger.max_per_hour, state(unit)) == (600, (0, "rolled_back", (0, 200)))
    assert unit.report["doc"] == {}


def test_going_back_to_what_has_failed_since_is_refused(unit: Unit) -> None:
    unit.commit(document(1))
    unit.commit(document(2))
    assert unit.remote.go_back("b", ready=True).code == 202
    unit.start()
    unit.fail()
    assert unit.remote.go_back("c", ready=True).code == 423


def test_going_back_to_what_cannot_be_read_is_refused(unit: Unit) -> None:
    """It is not the local file alone."""
    unit.commit(document(1))
    unit.commit(document(2))
    (unit.config / "previous.json").write_bytes(b"")
    assert unit.remote.go_back("b", ready=True).code == 409


def test_no_way_leads_back_to_keys_that_were_replaced(tmp_path: Path) -> None:
    unit = Unit(tmp_path, {**LOCAL, "remote": {"trusted_keys": [ONE_KEY]}})
    rotated = {"remote": {"trusted_keys": [OTHER_KEY]}}
    unit.commit(document(1))
    unit.commit(document(2, rotated, issued_at="2026-11-22T05:13:22Z"), kid="0" * 16)
    assert unit.remote.go_back("b", ready=True).code == 403


def test_a_unit_is_not_restarted_into_a_local_file_that_became_unusable(unit: Unit) -> None:
    """Nobody could reach it then; and what stands in the file is not told."""
    unit.commit(document(1))
    unit.edit({**LOCAL, "unit": {"id": "CANARY IS NO ID"}})
    assert unit.desire(document(2)) == 400
    assert "canary" not in json.dumps(unit.report).lower()
    assert patch(unit, 1, 3, {}).code == 400
    assert unit.remote.go_back("b", ready=True).code == 400
    unit.edit(LOCAL)
    assert unit.desire(document(2, txn="again")) == 202


def test_a_local_file_that_was_edited_since_the_start_is_no_change_from_afar(unit: Unit) -> None:
    unit.commit(document(1))
    unit.edit({**LOCAL, "mqtt": {"host": "new.example.org"}})
    assert unit.desire(document(2)) == 202
    unit.start()
    assert unit.settings.mqtt.host == "new.example.org"


def test_expiry_is_not_judged_while_the_clock_is_unset(unit: Unit) -> None:
    unit.clock.set_quality(TsQuality.UNSET)
    assert unit.desire(document(1, expires_at="2001-01-01T00:00:00Z")) == 202


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_what_the_disk_refuses_has_changed_nothing(unit: Unit, code: int) -> None:
    unit.commit(document(1))
    unit.commit(document(2))
    before = unit.report
    with pytest.MonkeyPatch.context() as disk:
        refuses_from(disk, 0, code)
        for ask in (
            lambda: unit.desire(document(3)),
            lambda: unit.desire(document(1, txn="again")),
            lambda: patch(unit, 2, 3, {}),
            lambda: unit.remote.go_back("b", ready=True),
        ):
            with pytest.raises(StoreFull if code == errno.ENOSPC else StoreError):
                ask()
            assert unit.report == before
    assert unit.desire(document(3, confirm="operator")) == 202
    unit.start()
    with pytest.MonkeyPatch.context() as disk:
        refuses_from(disk, 0, code)
        with pytest.raises(StoreError):
            unit.remote.confirm({})
    assert unit.watch() is None


@pytest.mark.parametrize("call", range(16))
def test_a_trial_ends_though_the_disk_refuses_from_any_call_on(unit: Unit, call: int) -> None:
    """One that has proved itself is kept as soon as it can be; if it never can, the old one returns."""
    unit.commit(document(1))
    assert unit.desire(document(2)) == 202
    unit.start()
    with pytest.MonkeyPatch.context() as disk:
        refuses_from(disk, call, errno.EROFS)
        considered = unit.watch()
        for _ in range(100):
            if considered is not None:
                break
            considered = unit.watch(after_s=10.0)
        assert considered is not None
        if considered.restart:
            assert considered.code == 500
            unit.start()
            assert unit.began.trial is None
        assert unit.settings.trigger.max_per_hour in (mark(1), mark(2))
    unit.start()
    for _ in range(2):
        unit.watch()
        assert unit.report["phase"] in ("committed", "rolled_back")
        in_force = unit.report["version"]
        assert unit.attempt == (2, 200 if in_force == 2 else 500)
        assert unit.settings.trigger.max_per_hour == mark(in_force)
        unit.start()


def test_a_full_disk_does_not_end_a_trial_before_its_time(unit: Unit) -> None:
    assert unit.desire(document(1)) == 202
    unit.start()
    with pytest.MonkeyPatch.context() as disk:
        refuses_from(disk, 0, errno.ENOSPC)
        for _ in range(20):
            assert unit.watch(LINK, 10.0) is None
    assert unit.watch(LINK) == Considered(200, 1, "t1", changed=True)


def test_the_report_hides_place_user_and_password_file(tmp_path: Path) -> None:
    unit = Unit(tmp_path, {**LOCAL, "mqtt": {"host": "b.example.org", "password_file": "/canary"}})
    place = {"latitude": 43.31234, "longitude": 129.77123}
    unit.commit(document(1, {"unit": place, "mqtt": {"username": "canary", "password_file": "/canary"}}))
    text = unit.remote.report().decode()
    assert not any(word in text for word in ("43.3", "129.7", "canary"))
    assert unit.report["doc"]["unit"] == {"latitude": "(hidden)", "longitude": "(hidden)"}
