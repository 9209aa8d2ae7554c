"""Every fault at once, each at its path, in plain words, with what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.config.common import ONE_KEY, document, faults_in, faults_of
from trapd.errors import Fault

WORDS: list[tuple[str, Any, str, str]] = [
    ("mqtt.port", "x", "must be a whole number from 1 to 65535, is 'x'", ""),
    ("mqtt.port", 0, "must be a whole number from 1 to 65535, is 0", ""),
    ("mqtt.port", "8883", "must be a whole number from 1 to 65535, is '8883'", "remove the quotes"),
    ("mqtt.port", None, "must be a whole number from 1 to 65535, is empty",
     "leave the key out for its default"),
    ("mqtt.port", True, "must be a whole number from 1 to 65535, is true", ""),
    ("mqtt.port", [1], "must be a whole number from 1 to 65535, is a list of 1", ""),
    ("mqtt.port", {}, "must be a whole number from 1 to 65535, is a group of keys", ""),
    ("mqtt.port", 10**80, "must be a whole number from 1 to 65535, is a number of more than 60 digits", ""),
    ("unit.latitude", 91, "must be a number from -90 to 90, or null", ""),
    ("sensor.active_high", "high", "must be true or false, is 'high'", ""),
    ("sensor.pins", [], "must be a list of one or more BCM pin numbers, such as [17], is a list of 0", ""),
    ("filter.model", "deer.tflite", "must be the name of a model, and not of a file", "write deer"),
    ("sensor.pins", [4, 4], "names 4 twice", "once is enough"),
    ("sensor.pins", 17, "must be a list of one or more BCM pin numbers, such as [17], is 17", "write [17]"),
    ("filter.classes", "animal", "must be a list of one or more of animal, person, vehicle, is 'animal'",
     "write [animal]"),
    ("filter.classes", "animal, person",
     "must be a list of one or more of animal, person, vehicle, is 'animal, person'",
     "write [animal, person]"),
    ("filter.classes", "animl", "must be a list of one or more of animal, person, vehicle, is 'animl'",
     "did you mean animal?"),
    ("unit.groups", "valley", "must be a list of at most 16 names, is 'valley'", "write [valley]"),
    ("unit.groups", "[", "must be a list of at most 16 names, is '['", ""),
    ("camera.focus", "far", "must be auto, or a distance in metres above 0 and up to 1000, is 'far'", ""),
    ("camera.rotation", 90, "must be 0 or 180, is 90", ""),
    ("camera.size", [640],
     "must be two even whole numbers [width, height], each from 32 to 10000, is a list of 1", ""),
    ("filter.discard", "atonce", "must be when_needed or at_once, is 'atonce'", "did you mean at_once?"),
    ("filter.labels", "~/x", "must be a path without ~", "a daemon has no home folder: write the path out"),
    ("filter.threshold", 2, "must be a number from 0 to 1, or null, is 2", ""),
    ("log_level", "INFO", "must be debug, info, warning or error, is 'INFO'", "did you mean info?"),
    ("unit.id", "Ridge 7", "must be 3 to 32 characters of a-z, 0-9, - and _, the first a letter or a digit, "
     "is 'Ridge 7'", "write ridge-7"),
    ("unit.id", "r", "must be 3 to 32 characters of a-z, 0-9, - and _, the first a letter or a digit, "
     "is 'r'", ""),
    ("unit.id", "me:Secret@b",
     "must be 3 to 32 characters of a-z, 0-9, - and _, the first a letter or a digit", ""),
    ("unit.latitude", "43,31", "must be a number from -90 to 90, or null", "write a point for the comma"),
    ("mqtt.host", "mqtts://b.example.org:8883/",
     "must be a host name or IP address, without scheme, port or spaces, is 'mqtts://b.example.org:8883/'",
     "write b.example.org"),
    ("mqtt.host", "mqtts://me:Secret@b",
     "must be a host name or IP address, without scheme, port or spaces", ""),
    ("mqtt.host", "b:1883", "must be a host name or IP address alone, without a port",
     "put 1883 into mqtt.port"),
    ("mqtt.host", "192.168.1.300", "is no IP address", "four numbers from 0 to 255, such as 192.168.1.20"),
    ("mqtt.host", "10.0.1", "is no IP address", "four numbers from 0 to 255, such as 192.168.1.20"),
    ("mqtt.host", None, "must be a host name or IP address, without scheme, port or spaces, is empty",
     "for example host: broker.example.org"),
    ("unit.timezone", "Asia/Shanhai", "must be a time zone of the IANA list, is 'Asia/Shanhai'",
     "did you mean Asia/Shanghai?"),
    ("unit.name", "a\nb" + "c" * 99, "must be 1 to 64 characters on one line, or null, is "
     f"'a\\nb{'c' * 56}…'", ""),
]  # fmt: skip

UNKNOWN: list[tuple[dict[str, Any], str, str, str]] = [
    ({"sensors": {"pins": [4]}}, "sensors", "at the top", "did you mean sensor?"),
    ({"trigger": {"cooldown": 3}}, "trigger.cooldown", "in trigger", "did you mean trigger.cooldown_s?"),
    ({"trigger": {"cooldown-s": 3}}, "trigger.cooldown-s", "in trigger", "did you mean trigger.cooldown_s?"),
    ({"Camera": {}}, "Camera", "at the top", "did you mean camera?"),
    ({"pins": [4]}, "pins", "at the top", "did you mean sensor.pins?"),
    ({"tls": {"enabled": False}}, "tls", "at the top", "did you mean mqtt.tls?"),
    ({"camera": {"frames": 3}}, "camera.frames", "in camera", "did you mean burst.frames?"),
    ({"publish": {"enabled": True}}, "publish.enabled", "in publish",
     "did you mean mqtt.tls.enabled or remote.enabled?"),
    ({"coldown_s": 1}, "coldown_s", "at the top", "did you mean trigger.cooldown_s?"),
    ({"sensor.pins": [4]}, '"sensor.pins"', "at the top",
     "sensor.pins is written as nested groups, not with dots"),
    ({"burst": {"xyzzy": 1}}, "burst.xyzzy", "in burst", "valid here: frames, interval_s, pre_trigger"),
    ({"burst": {"a\nb": 1}}, 'burst."a\\nb"', "in burst", "valid here: frames, interval_s, pre_trigger"),
    ({"mqtt": {"host": "b", "password": "hunter2"}}, "mqtt.password", "in mqtt",
     "did you mean mqtt.password_file?"),
    ({"mqtt": {"host": "b", "tls": {"ca": "x"}}}, "mqtt.tls.ca", "in mqtt.tls",
     "valid here: enabled, ca_file, cert_file, key_file"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message", "hint"), WORDS)
def test_a_wrong_value_is_told_in_plain_words(path: str, value: Any, message: str, hint: str) -> None:
    """What is allowed, what stands there, and what to do."""
    assert faults_of(document(**{path: value})) == {path: Fault(path, message, hint)}


@pytest.mark.parametrize(("extra", "path", "where", "hint"), UNKNOWN)
def test_an_unknown_key_is_named_with_the_nearest(
    extra: dict[str, Any], path: str, where: str, hint: str
) -> None:
    """Misspelt, in the wrong place, or unheard of; its value is not repeated."""
    faults = faults_of({**document(), **extra})
    assert faults == {path: Fault(path, f"is not a known key {where}", hint)}


def test_what_is_required_is_asked_for_with_an_example() -> None:
    """Also where the whole group is missing."""
    assert faults_of({}) == {
        "unit.id": Fault("unit.id", "is required", "for example id: wangqing-07"),
        "mqtt.host": Fault("mqtt.host", "is required", "for example host: broker.example.org"),
    }


def test_a_group_that_is_no_group() -> None:
    """One fault for the group, none for the keys it does not have."""
    message = "must be a group of keys, is 5"
    hint = "indent its keys below it: backend, path, size, …"
    assert faults_of({**document(), "camera": 5}) == {"camera": Fault("camera", message, hint)}
    assert list(faults_of({**document(), "unit": "ridge-07"})) == ["unit", "unit.id"]


def test_a_group_with_nothing_under_it_has_its_defaults() -> None:
    """What remains when every key of a group is commented out."""
    assert faults_of({**document(), "camera": None}) == {}


CROSS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"camera.backend": "replay"}, "camera.path", "is required with camera.backend replay",
     "the folder of the photographs"),
    ({"camera.filter_size": [640, 480]}, "camera.filter_size",
     "must have the same aspect as camera.size 2304 x 1296, is 640 x 480", "[640, 360] would fit"),
    ({"camera.filter_size": [4608, 2592]}, "camera.filter_size",
     "must not be larger than camera.size, is 4608 x 2592 against 2304 x 1296",
     "the filter works on a small copy"),
    ({"unit.latitude": 43.3}, "unit.longitude", "is required with unit.latitude", "give both, or neither"),
    ({"unit.longitude": 43.3}, "unit.latitude", "is required with unit.longitude", "give both, or neither"),
    ({"mqtt.tls.cert_file": "a.pem"}, "mqtt.tls.key_file", "is required with mqtt.tls.cert_file",
     "give both, or neither"),
    ({"mqtt.tls.key_file": "a.pem"}, "mqtt.tls.cert_file", "is required with mqtt.tls.key_file",
     "give both, or neither"),
    ({"indicator.led_pin": 17}, "indicator.led_pin", "is the sensor's pin 17 too",
     "give the LED a pin of its own"),
    ({"publish.bytes_per_day": 100_000}, "publish.alert_reserve_bytes",
     "must not be more than publish.bytes_per_day 100000, is 200000", "it is a part of the same budget"),
    ({"remote.locked": ["mqtt.hsot"]}, "remote.locked[0]", "must name a key or a group of keys",
     "did you mean mqtt.host?"),
    ({"remote.locked": ["zzz"]}, "remote.locked[0]", "must name a key or a group of keys",
     "trapd schema lists the keys"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "path", "message", "hint"), CROSS)
def test_keys_that_do_not_go_together(changes: dict[str, Any], path: str, message: str, hint: str) -> None:
    """Rules between keys name the key to change."""
    assert faults_of(document(**changes)) == {path: Fault(path, message, hint)}


@pytest.mark.parametrize(
    "changes",
    [
        {"camera.size": [4056, 3040], "camera.filter_size": [640, 480]},
        {"camera.size": [640, 360]},
        {"camera.backend": "replay", "camera.path": "x"},
        {"unit.latitude": 0, "unit.longitude": 0},
        {"sensor.backend": "timer", "indicator.led_pin": 17},
        {"publish.bytes_per_day": 200_000},
    ],
)
def test_keys_that_just_go_together(changes: dict[str, Any]) -> None:
    """The rules leave room for rounding and for what does not matter."""
    assert faults_of(document(**changes)) == {}


def test_one_fault_hides_no_other() -> None:
    """Unknown keys, values, missing keys and rules between sound keys come together."""
    faults = faults_of({
        "unit": {"latitude": 43.3, "nmae": "x"},
        "mqtt": {"host": "b", "port": "x", "tls": {"cert_file": "c"}},
        "camera": {"backend": "replay", "quality": 0, "sise": [1, 1]},
        "trigger": [],
        "heartbeat": 60,
    })  # fmt: skip
    assert set(faults) == {
        "unit.id", "unit.nmae", "unit.longitude", "mqtt.port", "mqtt.tls.key_file", "camera.quality",
        "camera.path",
        "camera.sise", "trigger", "heartbeat",
    }  # fmt: skip


def test_a_rule_is_left_out_where_what_it_reads_is_itself_wrong() -> None:
    """No fault is made up from a default that stands in for a wrong value."""
    assert set(faults_of(document(**{"camera.size": "4:3", "camera.filter_size": [640, 480]}))) == {
        "camera.size"
    }
    assert set(faults_of(document(**{"unit.latitude": 100, "unit.longitude": 43}))) == {"unit.latitude"}
    assert set(faults_of(document(**{"camera.backend": "replya"}))) == {"camera.backend"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mqtt.host", "me:hunter2@broker"),
        ("mqtt.host", "mqtt://me:hunter2@broker"),
        ("mqtt.username", "me:hunter2@\n"),
        ("mqtt.password_file", "~hunter2"),
        ("mqtt.password_file", ["hunter2"]),
        ("mqtt.password", "hunter2"),
        ("mqtt.username", "hunter2\n"),
        ("mqtt.tls.key_file", "hunter2\0"),
        ("mqtt.tls.key_file", ["hunter2"]),
        ("remote.trusted_keys", ["hunter2"]),
        ("remote.trusted_keys", "hunter2"),
        ("remote.trusted_keys", [f"ed25519:hunter2{ONE_KEY}"]),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(path: str, value: Any) -> None:
    """What may be a password stands in no message."""
    faults = faults_of(document(**{path: value}))
    assert faults
    assert "hunter2" not in repr(faults)


def test_faults_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    """An operator corrects a file from its top to its end."""
    text = """\
log_level: loud
unit: {id: ridge-07}
sensor:
  pins: [17, 99]
  warmup: 3
mqtt:
  port: x
burst: {frames: 0}
burst: {interval: 1}
"""
    assert [fault.path for fault in faults_in(text, tmp_path)] == [
        "log_level", "sensor.pins[1]", "sensor.warmup", "mqtt.host", "mqtt.port", "burst", "burst.frames",
        "burst.interval",
    ]  # fmt: skip


TRAPS = [
    ("unit: {id: no}", "unit.id", "is false", "YAML reads no as false: put it in quotes"),
    ("unit: {id: 0123}", "unit.id", "is 83", "YAML reads 0123 as 83: put it in quotes"),
    ("unit: {id: 1234}", "unit.id", "is 1234", "YAML reads 1234 as a number: put it in quotes"),
    ("unit: {id: 2026-11-22}", "unit.id", "is the date 2026-11-22",
     "YAML reads 2026-11-22 as the date 2026-11-22: put it in quotes"),
    ("unit: {name: 17:30}", "unit.name", "is 1050", "YAML reads 17:30 as 1050: put it in quotes"),
    ("unit: {groups: [on, abc]}", "unit.groups[0]", "is true", "YAML reads on as true: put it in quotes"),
    ("sensor: {pins: [017]}", "sensor.pins[0]", "is written 017, which YAML reads in base 8", "write 17"),
    ("sensor: {pins: [08]}", "sensor.pins[0]", "is '08'", "YAML reads 08 as text: write 8"),
    ("sensor: {every_s: 1:30}", "sensor.every_s", "is written 1:30, which YAML reads in base 60",
     "write a plain number"),
    ("storage: {max_bytes: 2e9}", "storage.max_bytes", "is '2e9'",
     "YAML reads 2e9 as text: write 2000000000"),
    ("unit: {id:ridge-07}", 'unit."id:ridge-07"', "is not a known key in unit",
     "a space belongs behind the colon: id: …"),
    ("mqtt:\n  port:8883", "mqtt", "must be a group of keys, is 'port:8883'",
     "a space belongs behind the colon: port: …"),
    ("mqtt: {protocol: '5'}", "mqtt.protocol", "is '5'", "remove the quotes"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "path", "message", "hint"), TRAPS)
def test_what_yaml_makes_of_a_value_is_named(
    tmp_path: Path, line: str, path: str, message: str, hint: str
) -> None:
    """Octal, base 60, yes and no, dates: the fault says how YAML read it."""
    faults = {fault.path: fault for fault in faults_in(line, tmp_path)}
    assert faults[path].message.endswith(message)
    assert faults[path].hint == hint


@pytest.mark.parametrize("value", ["[1]", "[017]", "[[1]]", "[{a: 1}]", "[null]"])
@pytest.mark.parametrize("path", ["unit.id", "unit.name", "mqtt.host", "filter.threads", "storage.path"])
def test_a_list_where_one_value_belongs_is_a_fault(tmp_path: Path, path: str, value: str) -> None:
    """The list's members are looked at too: for a key without members of its own as well."""
    section, key = path.split(".")
    assert path in {fault.path for fault in faults_in(f"{section}: {{{key}: {value}}}", tmp_path)}


def test_clear_spellings_are_no_traps(tmp_path: Path) -> None:
    """Yes and no for a switch, underscores and base 16 with its prefix say what they mean."""
    text = """\
unit: {id: "0123", name: "no"}
mqtt: {host: b, tls: {enabled: off}}
storage: {max_bytes: 16_000_000_000}
sensor: {pins: [0x11], active_high: yes, warmup_s: 0, every_s: 0.5}
"""
    assert faults_in(text, tmp_path) == []
