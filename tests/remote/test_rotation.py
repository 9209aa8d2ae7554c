"""Keys change, and at every moment somebody has a key that is trusted: nobody shuts themselves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from tests.remote.common import LOCAL, Unit, document
from trapd.errors import StoreError
from trapd.remote.files import _sum
from trapd.wire import signing
from trapd.wire.authority import Authority, Refused
from trapd.wire.signing import Keyring

TOPIC = "trapd/v1/ridge-07/config/desired"
A, B, C = (bytes([number]) * 32 for number in (1, 2, 3))


def line(seed: bytes) -> str:
    return signing.public_line(bytes(SigningKey(seed).verify_key))


def keys(*seeds: bytes) -> dict[str, Any]:
    return {"remote": {"trusted_keys": [line(seed) for seed in seeds]}}


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    """With A in its local file."""
    return Unit(tmp_path, {**LOCAL, "remote": {"trusted_keys": [line(A)]}})


def may(unit: Unit, seed: bytes) -> bool:
    """Whether what this key signs is obeyed; as Control asks, which tells whose key it was."""
    authority = Authority(
        Keyring(unit.settings.remote.trusted_keys),
        signed_only=True,
        open_=True,
        retiring=lambda: unit.remote.retiring,
    )
    try:
        kid = authority.check(TOPIC, signing.sign(TOPIC, {"txn": "t"}, seed))
    except Refused as error:
        assert error.code == 401
        return False
    assert kid is not None
    unit.remote.heard(kid)
    return True


def signed(version: int, doc: dict[str, Any] | None, seed: bytes) -> tuple[dict[str, Any], str]:
    return document(version, doc, issued_at="2026-11-22T05:13:22Z"), signing.kid_of_line(line(seed))


def commit(unit: Unit, version: int, doc: dict[str, Any], seed: bytes) -> None:
    asked, kid = signed(version, doc, seed)
    unit.commit(asked, kid=kid)


def errors(unit: Unit) -> list[tuple[str, str]]:
    return [(each["path"], each["message"]) for each in unit.report["last_attempt"]["errors"]]


def test_a_key_that_is_left_out_stays_trusted_until_a_new_one_has_signed_something(unit: Unit) -> None:
    """Whoever made the new list may have mistyped it: no trial proves a key."""
    commit(unit, 1, keys(B), A)
    assert unit.settings.remote.trusted_keys == (line(B),)
    for _ in range(3):
        assert may(unit, A)
        unit.start()
    assert not may(unit, C)
    assert may(unit, B)
    assert not may(unit, A)
    unit.start()
    assert (may(unit, A), may(unit, B)) == (False, True)


def test_a_list_that_nobody_has_a_key_of_is_put_right_with_the_old_one(unit: Unit) -> None:
    commit(unit, 1, keys(C), A)
    commit(unit, 2, keys(B), A)
    assert may(unit, B)
    assert (may(unit, A), may(unit, C)) == (False, False)


def test_a_key_that_stays_has_shown_itself_by_signing(unit: Unit) -> None:
    commit(unit, 1, keys(A, B), A)
    assert unit.remote.retiring == ""
    commit(unit, 2, keys(B), B)
    assert (may(unit, A), may(unit, B)) == (False, True)


def test_on_trial_the_old_key_may_take_it_back_and_the_new_one_prove_itself(unit: Unit) -> None:
    asked, kid = signed(1, keys(B), A)
    assert unit.desire(asked, kid=kid) == 202
    unit.start()
    assert may(unit, A)
    assert may(unit, B)
    assert not may(unit, A)
    unit.start()
    assert not may(unit, A)
    unit.fail()
    assert (may(unit, A), may(unit, B)) == (True, False)


def test_a_failed_trial_takes_nothing_from_the_key_that_was_retiring(unit: Unit) -> None:
    """B is in force and unproved; C proves itself on trial, and its list fails."""
    commit(unit, 1, keys(B), A)
    asked, kid = signed(2, keys(C), A)
    assert unit.desire(asked, kid=kid) == 202
    unit.start()
    assert may(unit, C)
    unit.fail()
    assert may(unit, A)


def test_an_unsigned_change_of_something_else_leaves_it_as_it_is(unit: Unit) -> None:
    commit(unit, 1, keys(B), A)
    unit.commit(document(2, {**keys(B), "burst": {"frames": 2}}))
    assert may(unit, A)


def test_to_forget_the_new_keys_does_not_bring_back_the_old_ones(unit: Unit) -> None:
    """They may be in a stranger's hands."""
    commit(unit, 1, keys(B), A)
    assert may(unit, B)
    asked, kid = signed(2, {"burst": {"frames": 2}}, B)
    assert unit.desire(asked, kid=kid) == 403
    assert errors(unit) == [("remote.trusted_keys", "would be the local file's again")]
    commit(unit, 3, keys(A), B)  # said in so many words it may be


def test_an_empty_list_is_refused(unit: Unit) -> None:
    asked, kid = signed(1, {"remote": {"trusted_keys": []}}, A)
    assert unit.desire(asked, kid=kid) == 403


def test_where_the_local_file_locks_the_keys_its_own_list_is_all(unit: Unit) -> None:
    """Somebody stood there."""
    commit(unit, 1, keys(B), A)
    assert unit.remote.retiring == line(A)
    unit.edit({**LOCAL, "remote": {"trusted_keys": [line(C)], "locked": ["remote.trusted_keys"]}})
    unit.start()
    assert [may(unit, seed) for seed in (A, B, C)] == [False, False, True]


def test_a_disk_that_refuses_keeps_the_old_key_a_little_longer(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(unit, 1, keys(B), A)

    def refuse(*_: object) -> None:
        raise StoreError("no")

    with monkeypatch.context() as patch:
        patch.setattr(type(unit.began.files), "note", refuse)
        assert may(unit, B)
    assert may(unit, A)
    assert may(unit, B)
    assert not may(unit, A)


def test_a_ledger_of_an_earlier_trapd_is_read(unit: Unit) -> None:
    """It has no notes, and no key that retires."""
    commit(unit, 1, {"burst": {"frames": 2}}, A)
    path = unit.config / "attempts.json"
    content = json.loads(path.read_text())["content"]
    for name in ("notes", "retiring"):
        del content[name]
    path.write_text(json.dumps({"sha256": _sum(content), "content": content}))
    unit.start()
    assert unit.desire(document(1, txn="again")) == 409


def damage(unit: Unit, *names: str) -> None:
    """A bad card; the next process."""
    for name in names:
        (unit.config / name).write_text("{")
    unit.start()


def test_a_damaged_document_does_not_bring_back_the_keys_before_it(unit: Unit) -> None:
    """They were replaced, and may be in a stranger's hands."""
    commit(unit, 1, keys(B), A)
    assert may(unit, B)
    commit(unit, 2, keys(C), B)
    assert may(unit, C)
    damage(unit, "committed.json")
    assert unit.remote.version == 1  # the one before, with the keys of the one that is lost
    assert [may(unit, seed) for seed in (A, B, C)] == [False, False, True]
    damage(unit, "previous.json")
    assert unit.remote.version == 0
    assert [may(unit, seed) for seed in (A, B, C)] == [False, False, True]
    asked, kid = signed(3, {**keys(C), "burst": {"frames": 2}}, C)
    unit.commit(asked, kid=kid)
    unit.start()
    assert [may(unit, seed) for seed in (A, B, C)] == [False, False, True]
    assert unit.began.set_aside == ""


def test_where_nobody_knows_the_keys_any_more_none_is_trusted(unit: Unit) -> None:
    """Closed for strangers; the report and an alert say so."""
    commit(unit, 1, keys(B), A)
    assert may(unit, B)
    damage(unit, "committed.json", "attempts.json")
    assert [may(unit, seed) for seed in (A, B)] == [False, False]
    assert "nobody knows any more which keys were trusted" in unit.began.set_aside
    assert any("which keys were trusted" in message for _, message in errors(unit))
    for doc in ({}, keys(A)):
        assert unit.desire(document(5, doc)) == 403
    (unit.config / "attempts.json").unlink()
    unit.start()
    assert not may(unit, A)


def test_a_document_that_no_longer_fits_the_local_file_keeps_its_keys(unit: Unit) -> None:
    commit(unit, 1, {**keys(B), "mqtt": {"tls": {"enabled": True}}, "heartbeat_s": 60}, A)
    assert may(unit, B)
    commit(unit, 2, {**keys(C), "publish": {"bytes_per_day": 50_000, "alert_reserve_bytes": 10_000}}, B)
    assert may(unit, C)
    unit.edit({**unit.local, "publish": {"bytes_per_day": 300_000}})
    path = unit.config / "committed.json"
    content = json.loads(path.read_text())["content"]
    content["doc"]["publish"]["bytes_per_day"] = 5  # of a trapd that took it
    path.write_text(json.dumps({"sha256": _sum(content), "content": content}))
    unit.start()
    assert unit.remote.version == 1
    assert [may(unit, seed) for seed in (A, B, C)] == [False, False, True]


def test_without_keys_of_its_own_a_damaged_document_leaves_those_of_the_local_file(unit: Unit) -> None:
    unit.commit(document(1))
    unit.commit(document(2))
    damage(unit, "committed.json")
    assert may(unit, A)


def test_the_ledger_of_an_earlier_trapd_learns_the_keys(unit: Unit) -> None:
    commit(unit, 1, keys(B), A)
    assert may(unit, B)
    path = unit.config / "attempts.json"
    content = json.loads(path.read_text())["content"]
    del content["keys"]
    path.write_text(json.dumps({"sha256": _sum(content), "content": content}))
    unit.start()
    damage(unit, "committed.json")
    assert [may(unit, seed) for seed in (A, B)] == [False, True]


def test_where_the_local_file_locks_the_keys_damage_changes_nothing(unit: Unit) -> None:
    commit(unit, 1, keys(B), A)
    assert may(unit, B)
    remote = {"trusted_keys": [line(C)], "locked": ["remote.trusted_keys"]}
    unit.edit({**LOCAL, "remote": remote})
    damage(unit, "committed.json", "attempts.json")
    assert [may(unit, seed) for seed in (A, B, C)] == [False, False, True]
