"""The JSON Schema describes every key, and agrees with what Settings take."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from tests.config.common import LEAST, ROOT, document, faults_of
from tests.config.test_schema import BAD, BAD_ITEMS, GOOD
from trapd.config import json_schema
from trapd.config.schema import keys
from trapd.settings.published import schema_text

jsonschema = pytest.importorskip("jsonschema")

# What only trapd check sees: the time zone's existence, base64's last character, paths, host with port, names
# in remote.locked. In JSON 5.0 is 5, and to the validator used here "$" stands before a last line end too.
BEYOND_SCHEMA = {
    ("unit.id", "ridge-07\n"),
    ("unit.timezone", "Mars/Olympus"),
    ("camera.tuning_file", ""),
    ("camera.tuning_file", "~/tuning.json"),
    ("camera.tuning_file", "a\0b"),
    ("mqtt.host", "broker:1883"),
    ("mqtt.port", 8883.0),
    ("mqtt.protocol", 5.0),
    ("camera.rotation", 180.0),
}


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def fields(schema: dict[str, Any], group: dict[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """Every key of the schema by dotted path, groups followed."""
    found: dict[str, Any] = {}
    for key, field in group["properties"].items():
        path = f"{prefix}{key}"
        if "$ref" in field:
            below = schema["$defs"][field["$ref"].removeprefix("#/$defs/")]
            assert below["additionalProperties"] is False
            found |= fields(schema, below, f"{path}.")
        else:
            found[path] = field
    return found


def test_every_key_has_title_and_description() -> None:
    """The dotted path, and a sentence; the dialect is named; it is plain JSON."""
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    described = fields(schema, schema)
    assert list(described) == list(keys())
    for path, field in described.items():
        assert field["title"] == path
        assert field["description"].endswith(".")
    assert json.loads(json.dumps(schema)) == schema


def test_the_unit_of_a_number_stands_in_its_description() -> None:
    """So that an operator's form can show it."""
    units = {"_s": "econds", "_ms": "illiseconds", "_bytes": "ytes", "_km": "ilometres"}
    schema = json_schema()
    for path, field in fields(schema, schema).items():
        for ending, unit in units.items():
            if path.endswith(ending):
                assert unit in field["description"], path


def test_the_example_and_the_least_file_pass(validator: Any) -> None:
    """What the documentation shows is valid."""
    example = yaml.safe_load((ROOT / "config.example.yaml").read_text(encoding="utf-8"))
    assert list(validator.iter_errors(example)) == []
    assert list(validator.iter_errors(LEAST)) == []


@pytest.mark.parametrize(("path", "value"), GOOD)
def test_what_settings_take_passes(validator: Any, path: str, value: Any) -> None:
    """At the edges of each range."""
    assert list(validator.iter_errors(document(**{path: value}))) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [case for case in BAD if (case[0], str(case[1])) not in {(p, str(v)) for p, v in BEYOND_SCHEMA}],
)
def test_what_settings_refuse_fails(validator: Any, path: str, value: Any) -> None:
    """But for the few things no schema says."""
    if value != value or value in (float("inf"), 10**400):  # no JSON has them
        return
    assert list(validator.iter_errors(document(**{path: value})))


@pytest.mark.parametrize(
    ("path", "value", "index"), [case for case in BAD_ITEMS if case[0] != "remote.locked"]
)
def test_a_wrong_item_fails(validator: Any, path: str, value: Any, index: int) -> None:
    """But for names of keys, and the last character of base64."""
    if "B=" not in str(value):
        assert list(validator.iter_errors(document(**{path: value})))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 100_000),
    st.floats(-10, 100_000, allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["auto", "replay", "timer", "none", "3.1.1", "animal", "debug", "a/b", "UTC"]),
    st.lists(st.one_of(st.integers(0, 30), st.sampled_from(["animal", "person", "mqtt", "abc"])), max_size=3),
)


@given(path=st.sampled_from(sorted(keys())), value=VALUES)
@profile(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_schema_never_refuses_what_settings_take(validator: Any, path: str, value: Any) -> None:
    """An operator's tool that checks by the schema passes every configuration that a unit accepts."""
    given_document = document(**{path: value})
    faults = faults_of(given_document)
    if path not in {fault.partition("[")[0] for fault in faults}:
        assert list(validator.iter_errors(given_document)) == []


def test_the_schema_that_units_publish_is_this_one() -> None:
    """scripts/schemas writes it anew."""
    assert json.loads(schema_text()) == json_schema()
    assert b"\n" not in schema_text()
