"""Warnings: risks and contradictions; silent for the defaults."""

from __future__ import annotations

from typing import Any

import pytest

from tests.config.common import ONE_KEY, settings
from trapd.config import warnings

ALL = frozenset({"animal", "person", "vehicle"})
NONE: frozenset[str] = frozenset()


def paths(tells: frozenset[str] | None = None, **changes: Any) -> list[str]:
    return [fault.path for fault in warnings(settings(**changes), tells)]


def test_the_defaults_give_no_warning() -> None:
    """Neither before the model is known, nor with a model that tells no class."""
    assert paths() == []
    assert paths(NONE) == []
    assert paths(ALL) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mqtt.tls.enabled": False}, ["mqtt.tls.enabled"]),
        ({"mqtt.protocol": "3.1.1"}, ["mqtt.protocol"]),
        ({"mqtt.protocol": "3.1.1", "mqtt.delivery": "receipt"}, []),
        ({"filter.auto_keep": True}, []),
        ({"filter.threshold_night": 0.5}, []),
        ({"publish.media": "all"}, []),
        ({"publish.bytes_per_day": 1_000_000}, []),
        ({"publish.alert_classes": ["person"]}, []),
        ({"remote.enabled": False}, []),
        (
            {"remote.trusted_keys": [ONE_KEY], "remote.confirm_s": 60},
            [],
        ),
        ({"indicator.led_pin": 4}, []),
        ({"sensor.pins": [1, 17]}, ["sensor.pins"]),
        ({"sensor.pins": [2, 3]}, ["sensor.pins", "sensor.pins"]),
        ({"sensor.pins": [2], "sensor.active_high": False}, []),
        ({"sensor.pins": [0, 2], "sensor.backend": "timer"}, []),
        ({"burst.pre_trigger": True}, []),
        (
            {"burst.pre_trigger": True, "camera.backend": "replay", "camera.path": "x"},
            ["burst.pre_trigger"],
        ),
        ({"filter.threshold": 0.2, "camera.quality": 80, "filter.discard": "at_once"}, []),
    ],
)
def test_a_warning_stands_at_its_key(changes: dict[str, Any], expected: list[str]) -> None:
    """Whether or not the model is known."""
    assert paths(**changes) == expected


def test_every_warning_says_what_and_what_to_do() -> None:
    """A path, a message, a hint."""
    value = settings(
        **{"mqtt.tls.enabled": False, "filter.classes": ["animal"], "publish.alert_classes": ["person"]}
    )
    for fault in warnings(value, NONE):
        assert fault.path
        assert fault.message
        assert fault.hint


def test_a_class_that_the_model_cannot_tell() -> None:
    """Nothing is discarded on it, and no alert is raised for it; that is worth a word."""
    changes = {"filter.classes": ["animal", "person"], "publish.alert_classes": ["person"]}
    assert paths(None, **changes) == []
    assert paths(ALL, **changes) == []
    assert paths(frozenset({"person"}), **changes) == ["filter.classes"]
    assert paths(NONE, **changes) == ["filter.classes", "publish.alert_classes"]
    only = {fault.message for fault in warnings(settings(**{"filter.classes": ["animal", "person"]}), NONE)}
    assert only == {
        "leaves out vehicle, which the model default cannot tell: nothing is discarded for being one",
    }
    assert paths(NONE, **{"filter.classes": ["animal"]}) == ["filter.classes", "filter.classes"]


def test_without_a_filter_its_classes_do_not_matter() -> None:
    """All is kept anyway."""
    assert paths(NONE, **{"filter.backend": "none", "filter.classes": ["animal"]}) == []


def test_an_alert_for_a_class_that_is_not_kept() -> None:
    """It would never come."""
    found = warnings(settings(**{"filter.classes": ["animal"], "publish.alert_classes": ["person"]}), ALL)
    assert "person is not in filter.classes, so that no event of it is kept" in [f.message for f in found]
