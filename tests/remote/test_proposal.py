"""A document is judged before anything is tried, and every fault is told at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from tests.config.common import ONE_KEY
from tests.remote.common import LOCAL, Unit, document
from trapd.errors import BadDocument, Fault
from trapd.remote import proposal
from trapd.wire import inbound
from trapd.wire.authority import Refused
from trapd.wire.unreadable import Unreadable

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
OTHER_KEY = f"ed25519:{'B' * 42}A="
KID = "0" * 16

texts = st.text(st.characters(), max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path, {**LOCAL, "remote": {"trusted_keys": [ONE_KEY]}})


def faults(document: dict[str, Any], kid: str | None = None) -> set[str]:
    try:
        proposal.read(document, kid)
    except Refused as error:
        assert error.code == 400
        return {fault.path for fault in error.faults}
    return set()


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"v": True}, {"v"}), ({"v": 1.0}, {"v"}), ({"v": 2}, {"v"}), ({"version": True}, {"version"}),
        ({"version": 0}, {"version"}), ({"version": -1}, {"version"}), ({"version": 2**60}, {"version"}),
        ({"version": 1.0}, {"version"}), ({"txn": ""}, {"txn"}), ({"txn": "x" * 129}, {"txn"}),
        ({"txn": "a\nb"}, {"txn"}), ({"txn": "\ud800"}, {"txn"}), ({"txn": 5}, {"txn"}),
        ({"confirm": None}, {"confirm"}), ({"confirm": {}}, {"confirm"}), ({"doc": []}, {"doc"}),
        ({"doc": None}, {"doc"}), ({"issued_at": 5}, {"issued_at"}), ({"patch": {}}, {"patch"}),
        ({"doc": {"a": [0] * 400}}, {"doc"}), ({"x\ny\ud800": 1}, {'"x\\ny\\ud800"'}),
        ({"v": 0, "version": 0, "txn": 0, "doc": 0, "confirm": 0, "issued_at": 0, "more": 0},
         {"v", "version", "txn", "doc", "confirm", "issued_at", "more"}),
    ],
    ids=str,
)  # fmt: skip
def test_each_part_is_what_it_must_be(changes: dict[str, Any], at: set[str]) -> None:
    assert faults(document(1) | changes) == at
    assert faults(document(1)) == set()


def test_what_is_signed_says_when() -> None:
    assert faults(document(1), KID) == {"issued_at"}
    assert faults(document(1, issued_at="2026-11-22T05:13:22Z"), KID) == set()


def test_a_document_far_too_deep_is_refused_without_recursion() -> None:
    deep: Any = {}
    for _ in range(900):
        deep = {"burst": deep}
    assert faults(document(1, deep)) == {"doc"}


@given(values, values)
def test_a_hash_is_of_the_whole_document_whatever_stands_in_it(one: Any, other: Any) -> None:
    """Also where there is no canonical form: the retained one that comes again is known again."""
    one, other = document(1, x=one), document(1, x=other)
    again = json.loads(json.dumps(one))
    assert proposal.hash_of(one) == proposal.hash_of(again)
    if json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True):
        assert proposal.hash_of(one) == proposal.hash_of(other)
    assert proposal.hash_of(one) != proposal.hash_of({**one, "sig": {"kid": KID}})


def test_what_is_too_deep_for_a_hash_is_a_bad_document() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(BadDocument):
        proposal.hash_of({"sig": deep})
    while isinstance(deep, list):
        deep = deep.pop()


@given(st.dictionaries(st.sampled_from(sorted(proposal._FIELDS)) | texts, values, max_size=8))
@profile(max_examples=300)
def test_any_document_is_read_or_refused_and_can_be_remembered_and_told(found: dict[str, Any]) -> None:
    try:
        arrived = inbound.document(json.dumps(found).encode())
    except BadDocument:
        return
    try:
        proposal.read(arrived, None)
    except Refused as error:
        attempt = proposal.refused(arrived, "sha256:0", error.code, error.faults)
        told = json.dumps(
            [attempt.txn, *(fault.path + fault.message for fault in attempt.errors)], ensure_ascii=False
        )
        assert told.encode().decode().isprintable()


OUTCOMES = {
    "sound": (document(5), 202),
    "empty": (document(5, {}), 202),
    "repeats": (document(5, {"unit": {"id": "ridge-07"}, "mqtt": {"host": "broker.example.org"}}), 202),
    "wrong value": (document(5, {"burst": {"frames": 0}}), 400),
    "unknown key": (document(5, {"brust": {"frames": 1}}), 400),
    "several values together": (document(5, {"indicator": {"led_pin": 17}}), 400),
    "locked": (document(5, {"mqtt": {"host": "elsewhere"}}), 403),
    "the locks": (document(5, {"remote": {"locked": []}}), 403),
    "a path": (document(5, {"storage": {"path": "/tmp"}}), 403),
    "unlocks and changes": (document(5, {"remote": {"locked": []}, "mqtt": {"host": "elsewhere"}}), 403),
    "keys unsigned": (document(5, {"remote": {"trusted_keys": [OTHER_KEY]}}), 403),
    "same version": (document(2, txn="again"), 409),
    "older": (document(1, txn="again"), 409),
    "too far": (document(2 + 1_000_001), 409),
    "far beyond": (document(10**15), 409),
    "as far as may be": (document(2 + 1_000_000), 202),
    "expired": (document(5, expires_at="2001-01-01T00:00:00Z"), 410),
    "in time": (document(5, expires_at="2099-01-01T00:00:00Z"), 202),
    "cannot": (document(5, {"camera": {"rotation": 180}}), 422),
    "no room": (document(5, {"storage": {"max_bytes": 2_000_000_000}}), 507),
    "room": (document(5, {"storage": {"max_bytes": 3_000_000_000}}), 202),
    "failed before": (document(3, txn="again"), 423),
}


@pytest.mark.parametrize("name", [name for name in OUTCOMES if name != "failed before"])
def test_each_code(unit: Unit, name: str) -> None:
    """And what is refused has changed nothing but the report; put right, it is taken at once."""
    unit.used_bytes = 2_500_000_000
    unit.cannot = lambda wanted: (Fault("camera.rotation", "no"),) if wanted.camera.rotation else ()
    unit.commit(document(2))
    asked, code = OUTCOMES[name]
    assert unit.desire(asked) == code
    if code == 202:
        return
    assert (unit.report["version"], unit.report["phase"]) == (2, "rejected")
    assert unit.attempt == (asked["version"], code)
    assert unit.report["last_attempt"]["errors"]
    assert unit.desire(asked) is None
    unit.start()
    assert unit.desire(asked) is None
    assert unit.desire(document(3)) == 202


def test_a_version_that_failed_is_quarantined_whatever_comes_with_it(unit: Unit) -> None:
    unit.commit(document(2))
    assert unit.desire(document(3)) == 202
    unit.start()
    unit.fail()
    asked, code = OUTCOMES["failed before"]
    assert unit.desire(asked) == code == 423
    assert unit.desire(document(4)) == 202


def test_keys_are_changed_by_what_is_signed_and_then_kept_by_what_is_not(unit: Unit) -> None:
    rotated = {"remote": {"trusted_keys": [OTHER_KEY]}}
    unit.commit(document(2, rotated, issued_at="2026-11-22T05:13:22Z"), kid=KID)
    assert unit.settings.remote.trusted_keys == (OTHER_KEY,)
    assert unit.desire(document(3)) == 403  # it leaves them out, which would bring the old ones back
    assert unit.desire(document(3, {**rotated, "burst": {"frames": 2}})) == 202


def test_the_published_shape_has_the_fields_that_are_taken() -> None:
    for name, taken in (("desired", proposal._FIELDS), ("cmd-reboot", inbound._REQUEST)):
        schema = json.loads((SCHEMAS / f"{name}.json").read_text())
        assert set(schema["properties"]) == taken
        assert schema["additionalProperties"] is False


def paths(unit: Unit) -> list[str]:
    return [each["path"] for each in unit.report["last_attempt"]["errors"]]


def test_what_cannot_be_changed_is_told_beside_what_cannot_be_used(unit: Unit) -> None:
    doc = {"burst": {"frames": 0}, "mqtt": {"host": "elsewhere"}, "trigger": {"cooldown": 1}}
    assert unit.desire(document(5, doc)) == 400
    assert sorted(paths(unit)) == ["burst.frames", "mqtt.host", "trigger.cooldown"]
    unit.commit(document(6))
    assert unit.desire(document(6, doc, txn="again")) == 409
    assert sorted(paths(unit)) == ["burst.frames", "mqtt.host", "trigger.cooldown", "version"]
    assert unit.desire(document(6, {"mqtt": {"host": "elsewhere"}}, txn="once more")) == 409
    assert sorted(paths(unit)) == ["mqtt.host", "version"]


def test_a_locked_key_that_cannot_be_used_is_one_fault(unit: Unit) -> None:
    assert unit.desire(document(5, {"mqtt": {"host": "a b"}, "remote": {"trusted_keys": [1]}})) == 400
    assert sorted(paths(unit)) == ["mqtt.host", "remote.trusted_keys[0]"]


def test_every_error_is_told_at_once_whatever_the_first_is(unit: Unit) -> None:
    doc = {"burst": {"frames": 0}, "trigger": {"cooldown": 1}}
    assert unit.desire({**document(5, doc), "expire_at": "x", "confirm": "no"}) == 400
    assert paths(unit) == ["expire_at", "confirm", "trigger.cooldown", "burst.frames"]
    hints = {each["path"]: each["hint"] for each in unit.report["last_attempt"]["errors"]}
    assert hints["expire_at"] == "did you mean expires_at?"
    assert hints["trigger.cooldown"] == "did you mean trigger.cooldown_s?"
    unit.commit(document(6))
    assert unit.desire(document(6, doc, txn="again")) == 409
    assert paths(unit) == ["version", "trigger.cooldown", "burst.frames"]


def test_what_is_locked_what_cannot_be_and_what_has_no_room_are_told_together(unit: Unit) -> None:
    unit.cannot = lambda wanted: (Fault("camera.rotation", "is glued"),)
    unit.used_bytes = 5_000_000_000
    doc = {"mqtt": {"host": "elsewhere"}, "storage": {"max_bytes": 2_000_000_000}}
    assert unit.desire(document(5, doc)) == 403
    assert paths(unit) == ["mqtt.host", "camera.rotation", "storage.max_bytes"]
    assert unit.desire(document(6, {"storage": {"max_bytes": 2_000_000_000}})) == 422
    assert paths(unit) == ["camera.rotation", "storage.max_bytes"]


BROKEN = b'{"v":1,"version":5,"txn":"x","txn":"y","doc":{"burst":{"frames":0},"heartbeat_s":NaN}}'


def reject(unit: Unit, payload: bytes, *, retained: bool = False) -> int | None:
    with pytest.raises(Unreadable) as caught:
        inbound.document(payload)
    error = caught.value
    considered = unit.remote.reject(payload, 400, error.faults, error.members, retained=retained)
    return None if considered is None else considered.code


def test_one_that_cannot_be_read_is_reported_with_all_that_is_wrong_in_it(unit: Unit) -> None:
    assert reject(unit, BROKEN) == 400
    assert (unit.report["phase"], unit.attempt) == ("rejected", (5, 400))
    assert paths(unit) == ["txn", "heartbeat_s", "burst.frames"]
    assert reject(unit, BROKEN, retained=True) is None  # with each connection
    assert reject(unit, b'{"version":6,"txn":"z"') == 400
    assert (unit.attempt, unit.report["last_attempt"]["txn"]) == ((6, 400), "z")
    assert len(paths(unit)) == 1
    assert unit.desire(document(5)) == 202


def test_one_that_cannot_be_read_waits_for_the_end_of_a_trial_like_any_other(unit: Unit) -> None:
    assert unit.desire(document(1)) == 202
    assert reject(unit, BROKEN) == 409
    unit.start()
    assert reject(unit, BROKEN) == 409
    assert unit.attempt == (1, 202)
    unit.watch()
    assert reject(unit, BROKEN) == 400


@pytest.mark.parametrize(
    ("local_s", "asked_s", "code"),
    [(900, 299, 403), (900, 300, 202), (900, 86_400, 202), (60, 59, 403), (60, 60, 202), (60, 100, 202)],
)
def test_no_document_leaves_a_slow_unit_too_little_time(
    tmp_path: Path, local_s: int, asked_s: int, code: int
) -> None:
    """Else no later one could ever prove itself; the local file may say less, for who stands there."""
    unit = Unit(tmp_path, {**LOCAL, "remote": {"confirm_s": local_s}})
    assert unit.desire(document(1, {"remote": {"confirm_s": asked_s}})) == code
    if code == 403:
        (fault,) = unit.report["last_attempt"]["errors"]
        assert fault["path"] == "remote.confirm_s"
        assert f"must be {min(300, local_s)} or more" in fault["message"]


def test_a_store_that_is_too_large_already_bars_no_other_change(unit: Unit) -> None:
    unit.used_bytes = 10**15
    assert unit.desire(document(1, {"storage": {"max_bytes": 15_000_000_000}})) == 507
    unit.commit(document(2))


def test_a_floor_of_free_space_that_would_evict_everything_is_refused(unit: Unit) -> None:
    """Which the link, the camera and the filter would not show: the trial would keep it."""
    unit.free_bytes = 3_000_000_000
    assert unit.desire(document(1, {"storage": {"min_free_bytes": 3_000_000_001}})) == 507
    assert unit.report["last_attempt"]["errors"][0]["path"] == "storage.min_free_bytes"
    unit.commit(document(1, {"storage": {"min_free_bytes": 2_000_000_000}}))
    unit.free_bytes = 0  # it bars no other change
    unit.commit(document(2, {"storage": {"min_free_bytes": 2_000_000_000}}))


def test_all_faults_are_told_at_once_and_not_more_than_a_link_carries(unit: Unit) -> None:
    wrong = {f"brust{n}": 1 for n in range(300)} | {"burst": {"frames": 0}}
    assert unit.desire(document(1, wrong)) == 400
    assert len(unit.report["last_attempt"]["errors"]) == 51
    assert len(unit.remote.report()) < 16_384
    two = {"burst": {"frames": 0, "intervall_s": 1}}
    assert unit.desire(document(1, two)) == 400
    assert {e["path"]: e["hint"] for e in unit.report["last_attempt"]["errors"]} == {
        "burst.frames": "",
        "burst.intervall_s": "did you mean burst.interval_s?",
    }


@pytest.mark.parametrize(("asked_km", "code"), [(0, 403), (1.9, 403), (2, 202), (5, 202)])
def test_the_place_is_made_no_more_exact_from_afar(tmp_path: Path, asked_km: float, code: int) -> None:
    """Whoever stood there said how exactly thieves may know it."""
    unit = Unit(tmp_path, {**LOCAL, "remote": {"trusted_keys": [ONE_KEY]}})
    assert unit.desire(document(1, {"unit": {"location_precision_km": asked_km}})) == code
    if code == 403:
        (fault,) = unit.report["last_attempt"]["errors"]
        assert fault["path"] == "unit.location_precision_km"


def test_the_place_may_become_as_exact_again_as_the_local_file_has_it(tmp_path: Path) -> None:
    unit = Unit(tmp_path, {**LOCAL, "unit": {"id": "ridge-07", "location_precision_km": 1}})
    unit.commit(document(1, {"unit": {"location_precision_km": 10}}))
    assert unit.desire(document(2, {"unit": {"location_precision_km": 0.5}})) == 403
    assert unit.desire(document(3, {"unit": {"location_precision_km": 1}})) == 202
