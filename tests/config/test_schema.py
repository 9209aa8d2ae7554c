"""Settings hold exactly the contract's keys and defaults, within sensible ranges, and never change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.config.common import ONE_KEY, document, faults_of, settings
from trapd.config.schema import keys
from trapd.settings.values import value_of

# Written by hand from the contract, section 2. A drift of either side turns this red.
DEFAULTS: dict[str, Any] = {
    "unit.name": None,
    "unit.latitude": None,
    "unit.longitude": None,
    "unit.location_precision_km": 2,
    "unit.timezone": None,
    "unit.station": None,
    "unit.groups": (),
    "sensor.backend": "gpiozero",
    "sensor.pins": (17,),
    "sensor.active_high": True,
    "sensor.min_pulse_ms": 0,
    "sensor.warmup_s": 60,
    "sensor.stuck_s": 600,
    "sensor.every_s": 60,
    "trigger.while_active": True,
    "trigger.cooldown_s": 0,
    "trigger.max_per_hour": 600,
    "camera.backend": "picamera2",
    "camera.path": None,
    "camera.size": (2304, 1296),
    "camera.filter_size": (640, 360),
    "camera.quality": 90,
    "camera.rotation": 0,
    "camera.focus": "auto",
    "camera.tuning_file": None,
    "burst.frames": 3,
    "burst.interval_s": 0.3,
    "burst.pre_trigger": False,
    "filter.backend": "tflite",
    "filter.model": "default",
    "filter.threshold": None,
    "filter.threshold_night": None,
    "filter.labels": None,
    "filter.classes": ("animal", "person", "vehicle"),
    "filter.threads": 2,
    "filter.audit_fraction": 0.02,
    "filter.auto_keep": False,
    "filter.discard": "when_needed",
    "storage.path": Path("/var/lib/trapd"),
    "storage.max_bytes": 16_000_000_000,
    "storage.min_free_bytes": 500_000_000,
    "mqtt.port": 8883,
    "mqtt.username": None,
    "mqtt.password_file": None,
    "mqtt.tls.enabled": True,
    "mqtt.tls.ca_file": None,
    "mqtt.tls.cert_file": None,
    "mqtt.tls.key_file": None,
    "mqtt.protocol": 5,
    "mqtt.keepalive_s": 60,
    "mqtt.base_topic": "trapd/v1",
    "mqtt.delivery": "puback",
    "publish.thumbnail_bytes": 24_576,
    "publish.media": "on_demand",
    "publish.chunk_bytes": 65_536,
    "publish.bytes_per_day": None,
    "publish.alert_reserve_bytes": 200_000,
    "publish.alert_classes": (),
    "remote.enabled": True,
    "remote.require_signature": False,
    "remote.trusted_keys": (),
    "remote.allow_plaintext": False,
    "remote.locked": ("mqtt.host", "mqtt.base_topic"),
    "remote.confirm_s": 900,
    "indicator.led_pin": None,
    "heartbeat_s": 300,
    "log_level": "info",
}
REQUIRED = {"unit.id", "mqtt.host"}

GOOD: list[tuple[str, Any]] = [
    ("unit.id", "a-b"),
    ("unit.id", "0" + "z" * 31),
    ("unit.name", "Хребет 7, 山脊"),
    ("unit.timezone", "Asia/Shanghai"),
    ("unit.location_precision_km", 0),
    ("unit.station", "ridge-7"),
    ("unit.groups", ["north", "south"]),
    ("sensor.pins", [0, 27]),
    ("sensor.warmup_s", 0),
    ("sensor.every_s", 0.05),
    ("trigger.max_per_hour", 1),
    ("camera.rotation", 180),
    ("camera.focus", 3),
    ("camera.focus", 2.5),
    ("camera.quality", 1),
    ("burst.frames", 1),
    ("burst.interval_s", 0),
    ("filter.threshold", 0),
    ("filter.threshold", 1),
    ("filter.threads", 4),
    ("filter.classes", ["animal"]),
    ("filter.audit_fraction", 1),
    ("storage.max_bytes", 1_000_000),
    ("mqtt.host", "10.0.0.1"),
    ("mqtt.host", "::ffff:10.0.0.1"),
    ("mqtt.host", "fe80::1%wlan0"),
    ("mqtt.port", 1),
    ("mqtt.port", 65_535),
    ("mqtt.protocol", "3.1.1"),
    ("mqtt.base_topic", "traps"),
    ("publish.thumbnail_bytes", 0),
    ("publish.thumbnail_bytes", 2048),
    ("publish.bytes_per_day", 1_000_000),
    ("publish.alert_classes", ["person"]),
    ("remote.trusted_keys", [ONE_KEY]),
    ("remote.locked", []),
    ("remote.locked", ["mqtt", "heartbeat_s"]),
    ("remote.confirm_s", 10),
    ("indicator.led_pin", 27),
    ("heartbeat_s", 1),
]

BAD: list[tuple[str, Any]] = [
    ("unit.id", "ab"),
    ("unit.id", "a" * 33),
    ("unit.id", "Ridge-07"),
    ("unit.id", "_ridge"),
    ("unit.id", "ridge/07"),
    ("unit.id", "ridge-07\n"),
    ("unit.name", ""),
    ("unit.name", "two\nlines"),
    ("unit.latitude", 90.1),
    ("unit.longitude", -180.5),
    ("unit.location_precision_km", -1),
    ("unit.timezone", "Mars/Olympus"),
    ("unit.timezone", "../etc/passwd"),
    ("unit.station", "a b c"),
    ("unit.groups", "north"),
    ("unit.groups", ["north", "north"]),
    ("sensor.backend", "gpio"),
    ("sensor.pins", []),
    ("sensor.pins", 17),
    ("sensor.pins", [17, 17]),
    ("sensor.active_high", 1),
    ("sensor.active_high", "true"),
    ("sensor.min_pulse_ms", 0.5),
    ("sensor.warmup_s", -1),
    ("sensor.warmup_s", float("nan")),
    ("sensor.warmup_s", float("inf")),
    ("sensor.every_s", 0),
    ("trigger.cooldown_s", True),
    ("trigger.max_per_hour", 0),
    ("camera.size", [2304]),
    ("camera.size", [2304, 1296, 3]),
    ("camera.size", "2304x1296"),
    ("camera.quality", 0),
    ("camera.quality", 101),
    ("camera.rotation", 90),
    ("camera.rotation", False),
    ("camera.rotation", 180.0),
    ("camera.focus", 0),
    ("camera.focus", "near"),
    ("camera.tuning_file", ""),
    ("camera.tuning_file", "~/tuning.json"),
    ("camera.tuning_file", "a\0b"),
    ("burst.frames", 0),
    ("burst.interval_s", -0.1),
    ("filter.model", "../model"),
    ("filter.threshold", 1.01),
    ("filter.classes", []),
    ("filter.classes", ["animal", "animal"]),
    ("filter.threads", 0),
    ("filter.threads", 5),
    ("filter.audit_fraction", 2),
    ("filter.discard", "never"),
    ("storage.path", None),
    ("storage.max_bytes", 999_999),
    ("storage.min_free_bytes", -1),
    ("mqtt.host", ""),
    ("mqtt.host", "broker example"),
    ("mqtt.host", "mqtt://broker"),
    ("mqtt.host", "broker:1883"),
    ("mqtt.port", 0),
    ("mqtt.port", 65_536),
    ("mqtt.port", "8883"),
    ("mqtt.port", 8883.0),
    ("mqtt.protocol", "5"),
    ("mqtt.protocol", 5.0),
    ("mqtt.protocol", 3.1),
    ("mqtt.keepalive_s", 0),
    ("mqtt.base_topic", "/trapd"),
    ("mqtt.base_topic", "trapd/"),
    ("mqtt.base_topic", "trapd//v1"),
    ("mqtt.base_topic", "trapd/#"),
    ("mqtt.base_topic", "+/v1"),
    ("mqtt.base_topic", "$SYS/trapd"),
    ("mqtt.base_topic", "a" * 129),
    ("publish.thumbnail_bytes", 1),
    ("publish.thumbnail_bytes", False),
    ("publish.chunk_bytes", 1023),
    ("publish.bytes_per_day", 0),
    ("remote.trusted_keys", [ONE_KEY, ONE_KEY]),
    ("remote.confirm_s", 9),
    ("indicator.led_pin", 28),
    ("heartbeat_s", 0.5),
    ("heartbeat_s", 10**400),
    ("log_level", "INFO"),
]

BAD_ITEMS: list[tuple[str, Any, int]] = [
    ("unit.groups", ["north", "North"], 1),
    ("sensor.pins", [17, 28], 1),
    ("sensor.pins", ["17"], 0),
    ("sensor.pins", [True], 0),
    ("camera.size", [2304, 1297], 1),
    ("camera.filter_size", [0, 360], 0),
    ("filter.classes", ["animal", "cat"], 1),
    ("publish.alert_classes", ["people"], 0),
    ("remote.trusted_keys", ["ed25519:AAAA"], 0),
    ("remote.trusted_keys", [f"ed25519:{'A' * 42}B="], 0),
    ("remote.trusted_keys", [f"ed25519:{'-' * 43}="], 0),
    ("remote.locked", ["mqtt.hsot"], 0),
    ("remote.locked", [""], 0),
]


def test_the_keys_are_the_contracts() -> None:
    """No key more, no key less."""
    assert set(keys()) == DEFAULTS.keys() | REQUIRED


@pytest.mark.parametrize("path", DEFAULTS)
def test_each_default_is_the_contracts(path: str) -> None:
    """A key left out has the value the contract gives, of the same kind."""
    value = value_of(settings(), path)
    assert value == DEFAULTS[path]
    assert isinstance(value, bool) == isinstance(DEFAULTS[path], bool)


def test_name_station_and_user_default_to_the_id() -> None:
    """What is left out and has the id for its default is read through properties."""
    plain = settings()
    assert (plain.unit_name, plain.station, plain.mqtt_username) == ("ridge-07",) * 3
    named = settings(**{"unit.name": "Ridge", "unit.station": "spot", "mqtt.username": "me"})
    assert (named.unit_name, named.station, named.mqtt_username) == ("Ridge", "spot", "me")


@pytest.mark.parametrize(("path", "value"), GOOD)
def test_a_sensible_value_is_taken(path: str, value: Any) -> None:
    """Values at the edges of each range hold."""
    kept = value_of(settings(**{path: value}), path)
    assert kept == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(("path", "value"), BAD)
def test_a_wrong_value_is_one_fault_at_its_key(path: str, value: Any) -> None:
    """A value beyond its range or of another type is refused, never converted."""
    assert list(faults_of(document(**{path: value}))) == [path]


@pytest.mark.parametrize(("path", "value", "index"), BAD_ITEMS)
def test_a_wrong_item_is_one_fault_at_its_place(path: str, value: Any, index: int) -> None:
    """Of a list, the item is named."""
    assert list(faults_of(document(**{path: value}))) == [f"{path}[{index}]"]


def test_settings_never_change() -> None:
    """Neither a key nor a group can be set; the value can be shared between threads and used as a key."""
    value = settings()
    with pytest.raises(AttributeError):
        value.mqtt.port = 1  # type: ignore[misc]  # what is refused is the point
    with pytest.raises(AttributeError):
        value.mqtt = settings().mqtt  # type: ignore[misc]  # as above
    assert hash(value) == hash(settings())


def test_paths_start_at_the_folder_of_the_file() -> None:
    """A relative path belongs to the file that names it; an absolute one stays."""
    value = settings(**{"camera.path": "photographs", "storage.path": "/srv/trapd"})
    assert value.camera.path == Path("/etc/trapd/photographs")
    assert value.storage.path == Path("/srv/trapd")
