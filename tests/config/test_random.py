"""Whatever stands in the file gives a sound configuration, or a ConfigurationError with every fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from tests.config.common import LEAST, document
from trapd.config import Settings, fingerprint, settings_from, warnings
from trapd.config import document as yaml_document
from trapd.config.checking import check
from trapd.config.schema import keys, sections
from trapd.errors import ConfigurationError, Fault
from trapd.settings.text import joined, key_shown
from trapd.settings.values import plain

FOLDER = Path("/etc/trapd")
NAMES = sorted({part for path in keys() for part in path.split(".")})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.dates(),
    st.sampled_from(["auto", "on", "1:30", "017", "replay", "x" * 300, "mqtt.host"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(NAMES), below, max_size=3),
    max_leaves=6,
)
KEYS = st.one_of(st.sampled_from(NAMES), st.text(max_size=12))
GROUPS = st.dictionaries(KEYS, VALUES, max_size=5)
DOCUMENTS = st.dictionaries(
    st.one_of(st.sampled_from(sorted(sections())[1:]), KEYS), st.one_of(VALUES, GROUPS), max_size=8
)


def checked(given_document: dict[str, Any]) -> tuple[Settings | None, tuple[Fault, ...]]:
    settings, faults = check(given_document, FOLDER)
    assert (settings is None) == bool(faults)
    for fault in faults:
        assert fault.path
        assert fault.message
        assert f"{fault.path}{fault.message}{fault.hint}".isprintable()
        assert len(fault.path) < 300
        assert len(fault.message) < 300
    return settings, faults


def unknown_keys(group: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in group.items():
        path = joined(prefix, key_shown(key))
        if key not in sections()[prefix].model_fields:
            found.append(path)
        elif path in sections() and isinstance(value, dict):
            found += unknown_keys(value, path)
    return found


@given(DOCUMENTS)
@profile(max_examples=400, deadline=None)
def test_every_unknown_key_of_any_document_is_named(given_document: dict[str, Any]) -> None:
    """And whatever else is wrong comes with it, printable and short."""
    _, faults = checked(given_document)
    assert set(unknown_keys(given_document)) <= {fault.path for fault in faults}


@given(st.lists(st.tuples(st.sampled_from(sorted(keys())), VALUES), max_size=6))
@profile(max_examples=400, deadline=None)
def test_any_value_at_any_key_is_taken_or_named(changes: list[tuple[str, Any]]) -> None:
    """A value that is not taken is a fault at its key; only what changed is at fault, or its pair."""
    given_document = document(**dict(changes))
    settings, faults = checked(given_document)
    if settings is not None:
        assert fingerprint(settings).startswith("sha256:")
        warnings(settings, frozenset())
        assert settings_from(plain(settings), FOLDER) == settings
    else:
        groups = {path.rpartition(".")[0] for path, _ in changes}
        at_fault = {fault.path.partition("[")[0] for fault in faults}
        assert all(path in keys() for path in at_fault) and at_fault
        assert {path.rpartition(".")[0] for path in at_fault} <= groups | {
            "camera",
            "unit",
            "indicator",
            "publish",
        }


def read_and_check(text: str) -> None:
    try:
        read = yaml_document.read(text)
    except ConfigurationError as error:
        assert len(error.faults) == 1
        assert error.faults[0].message.startswith("line ")
        return
    if isinstance(read.data, dict):
        _, faults = check(read.data, FOLDER, read.places, read.faults)
        assert {fault.path for fault in read.faults} <= {fault.path for fault in faults}


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
@profile(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    """No exception but ConfigurationError."""
    read_and_check(text)


@given(st.text(alphabet="ab:-[]{},&*!|>'\"#%@?\n \t017.~", max_size=60))
@profile(max_examples=600, deadline=None)
def test_any_punctuation_is_read_or_refused(text: str) -> None:
    """YAML's own characters are the ones that hurt."""
    read_and_check(text)


@given(st.integers(0, 10_000), st.text(alphabet="ab:-[]{}&*!|\n \t0", max_size=3), st.integers(0, 3))
@profile(max_examples=400, deadline=None)
def test_a_damaged_file_is_read_or_refused(place: int, noise: str, lost: int) -> None:
    """A sound file with a few characters changed, as by a slip or a bad card."""
    text = yaml.safe_dump({**LEAST, "camera": {"size": [2304, 1296]}, "sensor": {"pins": [17]}})
    place %= len(text)
    read_and_check(text[:place] + noise + text[place + lost :])
