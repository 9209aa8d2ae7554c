"""The example file and the page about the configuration hold every key, as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.fields import FieldInfo

from tests.config.common import ROOT
from trapd.config import load, settings_from, warnings
from trapd.config.schema import keys, sections
from trapd.config.words import expected_at
from trapd.settings.values import value_of

EXAMPLE = ROOT / "config.example.yaml"
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
# A unit's own, for which the example shows a name rather than the default.
ITS_OWN = {"unit.id", "unit.name", "unit.station", "mqtt.host"}


def flat(group: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in group.items():
        path = f"{prefix}{key}"
        found |= flat(value, f"{path}.") if path in sections() else {path: value}
    return found


def default_shown(field: FieldInfo) -> str:
    """A default as it is written in YAML, in code; `required` where there is none."""
    value = field.default
    if field.is_required():
        return "required"
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{value}`"


def test_the_example_is_sound_and_gives_no_warning() -> None:
    """A newcomer begins with it."""
    assert load(EXAMPLE).warnings == ()


def test_the_example_holds_every_key_with_its_default() -> None:
    """In the order of the contract; each line that is not self-evident has a comment."""
    shown = flat(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")))
    assert list(shown) == list(keys())
    settings = load(EXAMPLE).settings
    for path, field in keys().items():
        if path not in ITS_OWN:
            assert value_of(settings, path) == field.default, path


@pytest.mark.parametrize("path", keys())
def test_the_page_has_a_row_for_every_key(path: str) -> None:
    """With the default and the allowed values as they are."""
    field = keys()[path]
    row = f"| `{path}` | {default_shown(field)} | {expected_at(field)} | "
    assert PAGE.count(row) == 1, row


def test_the_page_has_no_row_for_anything_else() -> None:
    """A key that is gone goes from the page."""
    assert re.findall(r"^\| `([a-z_.]+)` \|", PAGE, re.MULTILINE) == [
        path for section in ordered_sections() for path in section
    ]


def ordered_sections() -> list[list[str]]:
    """The keys as the page has them: each group's own keys together, those at the top last."""
    groups = [name for name in sections() if name]
    in_groups = [[path for path in keys() if path.rpartition(".")[0] == name] for name in [*groups, ""]]
    return [group for group in in_groups if group]


def test_every_example_of_the_page_is_sound(tmp_path: Path) -> None:
    """Checked as it stands there; the only warning is of the bench's link without TLS."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    told = [warnings(settings_from(yaml.safe_load(block), tmp_path)) for block in blocks]
    assert [[fault.path for fault in faults] for faults in told] == [[], [], [], ["mqtt.tls.enabled"]]
