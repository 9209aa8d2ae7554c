"""A document from afar over the local file: merged, compared, and told without what is nobody's business."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.config.common import LEAST, ONE_KEY, document, settings
from trapd.config import load
from trapd.errors import ConfigurationError, Fault
from trapd.settings.overlay import (
    depth_within,
    locked,
    merged,
    never_from_afar,
    overlaid,
    patched,
    redacted,
    refused_changes,
    unlocked,
)

OTHER_KEY = f"ed25519:{'B' * 42}A="

names = st.sampled_from("abc")
leaves = st.none() | st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2)
groups = st.recursive(
    st.dictionaries(names, leaves, max_size=3),
    lambda below: st.dictionaries(names, leaves | below, max_size=3),
)


def test_what_it_says_takes_the_place_of_what_the_file_says_group_by_group() -> None:
    local = {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    assert merged(local, {"a": {"c": [3]}, "e": {"f": 5}}) == {"a": {"b": 1, "c": [3]}, "d": 4, "e": {"f": 5}}
    assert local == {"a": {"b": 1, "c": [1, 2]}, "d": 4}


def test_a_group_with_nothing_under_it_says_nothing() -> None:
    """Else it would take back what the local file says there, locked or not."""
    assert merged({"a": {"b": 1}}, {"a": None}) == {"a": {"b": 1}}
    assert merged({"a": {"b": 1}}, {"a": {}}) == {"a": {"b": 1}}
    assert merged({"a": None, "b": 1}, {"a": {"c": 1}, "b": None}) == {"a": {"c": 1}, "b": None}


@given(groups, groups)
def test_merging_again_changes_nothing(local: dict[str, Any], over: dict[str, Any]) -> None:
    once = merged(local, over)
    assert merged(once, over) == once
    assert merged(local, {}) == local


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_is_that_of_rfc_7396(target: Any, patch: Any, result: Any) -> None:
    """The examples of its appendix A."""
    assert patched(target, patch) == result


def test_what_is_never_changed_from_afar_is_the_contracts_list() -> None:
    """And every key that holds a path, whatever it is called."""
    assert set(never_from_afar()) == {
        "unit.id", "sensor.backend", "camera.backend", "camera.path", "camera.tuning_file", "filter.labels",
        "storage.path", "mqtt.password_file", "mqtt.tls.enabled", "mqtt.tls.ca_file", "mqtt.tls.cert_file",
        "mqtt.tls.key_file", "remote.enabled", "remote.require_signature", "remote.allow_plaintext",
        "remote.trusted_keys", "remote.locked",
    }  # fmt: skip


def test_a_lock_holds_a_key_or_a_whole_group_and_no_name_that_only_begins_so() -> None:
    found = locked(settings(**{"remote.locked": ["mqtt.tls", "burst", "sensor.warmup_s"]}))
    assert {"mqtt.tls.ca_file", "burst.frames", "burst.pre_trigger", "sensor.warmup_s"} <= set(found)
    assert not {"mqtt.host", "sensor.stuck_s"} & set(found)
    assert set(locked(settings(**{"remote.locked": []}))) == set(never_from_afar())


def refused(changes: dict[str, Any], *, may_rotate: bool = False, **local: Any) -> dict[str, str]:
    found = refused_changes(settings(**local), settings(**{**local, **changes}), may_rotate=may_rotate)
    return {fault.path: fault.hint for fault in found}


def test_each_locked_key_that_would_change_is_named_and_why() -> None:
    found = refused({"mqtt.host": "elsewhere", "storage.path": "/tmp/x", "burst.frames": 9})
    assert found == {
        "mqtt.host": "it is named in remote.locked of the local file",
        "storage.path": "it is set in the local file alone",
    }


def test_repeating_a_locked_value_changes_nothing() -> None:
    assert (
        refused({"unit.id": "ridge-07", "mqtt.host": "broker.example.org", "sensor.backend": "gpiozero"})
        == {}
    )


def test_keys_change_only_by_what_a_present_key_has_signed_and_not_where_they_are_locked() -> None:
    change, local = {"remote.trusted_keys": [OTHER_KEY]}, {"remote.trusted_keys": [ONE_KEY]}
    assert "must be signed" in refused(change, **local)["remote.trusted_keys"]
    assert refused(change, may_rotate=True, **local) == {}
    for name in ("remote", "remote.trusted_keys"):
        found = refused(change, may_rotate=True, **local, **{"remote.locked": [name]})
        assert found == {"remote.trusted_keys": "it is named in remote.locked of the local file"}


def test_of_locked_keys_the_local_file_counts_whatever_a_document_repeats() -> None:
    over = {
        "unit": {"id": "old", "name": "N"},
        "mqtt": {"host": "old", "port": 1},
        "remote": {"trusted_keys": [OTHER_KEY], "enabled": False},
    }
    assert unlocked({}, over) == {
        "unit": {"name": "N"},
        "mqtt": {"port": 1},
        "remote": {"trusted_keys": [OTHER_KEY]},
    }
    assert unlocked({"remote": {"locked": []}}, over)["mqtt"] == {"host": "old", "port": 1}
    assert unlocked({"remote": {"locked": ["remote", "unit"]}}, over) == {
        "unit": {},
        "mqtt": {"host": "old", "port": 1},
        "remote": {},
    }


@pytest.mark.parametrize("remote", [None, 5, [], {"locked": None}, {"locked": 5}, {"locked": "mqtt"}])
def test_a_faulty_list_of_locks_locks_what_is_locked_without_one(remote: object) -> None:
    assert unlocked({"remote": remote}, {"mqtt": {"host": "x", "port": 1}}) == {"mqtt": {"port": 1}}
    assert unlocked({"remote": {"locked": [None, 5, ["x"]]}}, {"mqtt": {"host": "x"}}) == {
        "mqtt": {"host": "x"}
    }


def test_it_is_told_without_place_user_and_password_file() -> None:
    doc = {
        "unit": {"latitude": 43.31234, "longitude": None, "name": "N"},
        "mqtt": {"username": "u", "password_file": "/secret", "port": 1},
        "burst": None,
    }
    assert redacted(doc) == {
        "unit": {"latitude": "(hidden)", "longitude": None, "name": "N"},
        "mqtt": {"username": "(hidden)", "password_file": "(hidden)", "port": 1},
        "burst": None,
    }


@given(st.integers(0, 40), st.booleans())
def test_depth_is_counted_without_recursion(levels: int, lists: bool) -> None:
    value: object = 1
    for _ in range(levels):
        value = [value] if lists else {"a": value}
    assert depth_within(value, 20) == (levels <= 20)


def test_no_depth_is_too_much_to_count() -> None:
    value: object = 1
    for _ in range(100_000):
        value = [value]
    assert not depth_within(value, 20)
    while isinstance(value, list):  # taken apart by hand: the interpreter's own way is recursion
        value = value.pop()


def test_a_value_is_the_files_where_the_document_says_nothing_of_it() -> None:
    over = {"a": {"b": 1, "n": None}, "c": None, "d": [1]}
    assert [path for path in ("a", "a.b", "a.n", "a.x", "c.x", "d[0]", "e") if overlaid(path, over)] == [
        "a.b",
        "a.n",
        "d[0]",
    ]


def on_disk(folder: Path, **changes: Any) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document(**changes)))
    return path


def test_a_locked_value_that_a_document_repeats_gives_way_to_the_edited_file(tmp_path: Path) -> None:
    """Somebody went there to change it."""
    over = {**LEAST, "storage": {"path": "/old"}, "burst": {"frames": 5}}
    path = on_disk(
        tmp_path, **{"mqtt.host": "new.example.org", "storage.path": "/new", "unit.id": "ridge-08"}
    )
    found = load(path, over).settings
    assert (found.mqtt.host, str(found.storage.path), found.unit.id) == (
        "new.example.org",
        "/new",
        "ridge-08",
    )
    assert found.burst.frames == 5
    judged = load(path, over, locked_too=True).settings
    assert {fault.path for fault in refused_changes(found, judged, may_rotate=True)} == {
        "mqtt.host",
        "storage.path",
        "unit.id",
    }


def faults_with(folder: Path, over: dict[str, Any], **local: Any) -> list[Fault]:
    with pytest.raises(ConfigurationError) as caught:
        load(on_disk(folder, **local), over, locked_too=True)
    return list(caught.value.faults)


def test_no_fault_of_a_document_shows_what_the_local_file_holds(tmp_path: Path) -> None:
    """Faults are published; the hints on a value quote the file as it is written."""
    secret = {"unit.latitude": 43.31234, "unit.longitude": 129.77123, "mqtt.password_file": "/etc/canary"}
    over = {"unit": {"latitude": "43", "longitude": "x"}, "mqtt": {"password_file": 5, "username": 7}}
    found = faults_with(tmp_path, over, **secret)
    assert {fault.path for fault in found} == {
        "unit.latitude", "unit.longitude", "mqtt.password_file", "mqtt.username",
    }  # fmt: skip
    assert not any(word in str(found) for word in ("43.31", "129.77", "canary"))


def test_no_fault_of_a_document_shows_the_place_or_the_user_that_it_names_itself(tmp_path: Path) -> None:
    over = {"unit": {"latitude": "43.31234N", "longitude": 1129.77123}, "mqtt": {"username": "canary\n"}}
    found = faults_with(tmp_path, over)
    assert len(found) == 3
    assert not any(word in str(found) for word in ("43.31", "129.77", "canary"))


def test_a_hundred_wrong_keys_are_all_named_the_first_with_the_nearest_right_one(tmp_path: Path) -> None:
    """A comparison with every key for each of thousands would take a unit minutes."""
    found = faults_with(tmp_path, {f"brust{n}": {} for n in range(100)})
    assert len(found) == 100
    assert found[0].hint == "did you mean burst?"
    assert found[99].hint == "trapd schema lists the keys"
