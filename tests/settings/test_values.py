"""The plain settings have the keys and kinds of what pydantic checks, and go through JSON unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from tests.config.common import settings
from trapd.config.schema import keys, sections
from trapd.settings import values
from trapd.settings.values import GROUPS, PATHS, Settings, key_paths, plain, read_plain, value_of


def kinds() -> dict[str, object]:
    """Each plain key, and its type."""
    found: dict[str, object] = {}
    for group, kind in GROUPS.items():
        for name, said in get_type_hints(kind, vars(values)).items():
            path = f"{group}.{name}" if group else name
            if path not in GROUPS:
                found[path] = said
    return found


def holds(said: object, value: object) -> bool:
    """Whether a value, or the members of a tuple, are of the types within `said`."""
    inside = [said, *get_args(said)]
    if isinstance(value, tuple):
        return tuple in [getattr(one, "__origin__", one) for one in inside]
    return any(value in get_args(one) or one is type(value) or one is None for one in inside)


def test_the_keys_are_those_that_are_checked_in_their_order() -> None:
    assert key_paths() == tuple(keys())
    assert list(GROUPS) == list(sections())


@pytest.mark.parametrize("path", key_paths())
def test_each_value_is_of_the_type_it_is_said_to_be(path: str) -> None:
    value = value_of(settings(), path)
    said = kinds()[path]
    if value is None:
        assert type(None) in get_args(said)
    elif isinstance(value, Path):
        assert said is Path
    else:
        assert holds(said, value)


@pytest.mark.parametrize("path", key_paths())
def test_the_paths_are_the_keys_that_pydantic_makes_paths(path: str) -> None:
    """What may never be changed from afar follows from it."""

    def within(annotation: object) -> bool:
        return annotation is Path or any(within(part) for part in get_args(annotation))

    assert within(keys()[path].annotation) == (path in PATHS)
    assert within(kinds()[path]) == (path in PATHS)


FULL = settings(
    **{
        "camera.path": "photographs",
        "camera.focus": 2.5,
        "mqtt.tls.ca_file": "/etc/ca.pem",
        "mqtt.protocol": "3.1.1",
        "unit.groups": ["ridge", "north"],
        "filter.threshold": 1.0,
        "indicator.led_pin": 22,
    }
)


@pytest.mark.parametrize("whole", [settings(), FULL], ids=["least", "full"])
def test_settings_go_through_json_unchanged(whole: Settings) -> None:
    again = read_plain(json.loads(json.dumps(plain(whole))))
    assert again == whole
    assert repr(again) == repr(whole)  # 1 and 1.0 are equal, and not the same


@pytest.mark.parametrize("damaged", [{}, {"unit": 3}, {"unit": {"id": "a"}}])
def test_anything_else_is_refused(damaged: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError)):
        read_plain(damaged)
