"""The AsyncAPI document: as docs has it, sound by AsyncAPI's own schema, and of the topics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.system import page
from trapd import __version__
from trapd.wire import asyncapi, schemas

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).resolve().parents[2]
ITS_OWN = ROOT.parent / "shared" / "schemas" / "asyncapi" / "asyncapi-3.1.0.json"
DOCUMENT = asyncapi.document(__version__)


def test_the_file_is_what_the_code_says() -> None:
    """Else run scripts/schemas."""
    assert json.loads((ROOT / "docs" / "asyncapi.json").read_text("utf-8")) == DOCUMENT


def test_it_is_sound() -> None:
    if not ITS_OWN.is_file():
        pytest.skip("AsyncAPI's own schema lies in the folder `shared`")
    schema = json.loads(ITS_OWN.read_text("utf-8"))
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(DOCUMENT)] == []


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    for reference in references(DOCUMENT):
        if reference.startswith("#/"):
            found = DOCUMENT
            for part in reference[2:].split("/"):
                found = found[part]
        else:
            assert (ROOT / "docs" / reference).is_file(), reference
    used = {each.rpartition("/")[2] for each in references(DOCUMENT["channels"])}
    assert used == set(schemas.documents())


def test_it_says_the_same_as_the_page() -> None:
    """Who writes, and whether it is retained."""
    said = {
        re.sub(r"<\w+>", "x", page.in_code(row[0])[0]): ("unit" in row[2], row[1] == "R")
        for row in page.tables()["Topics"]
    }
    for channel in asyncapi.CHANNELS.values():
        leaf = re.sub(r"{\w+}", "x", channel.address.removeprefix("{unit}/"))
        assert said[leaf] == (channel.by_unit, channel.retained), leaf
    assert said.keys() - {"cmd/x", "res/x"} == {
        re.sub(r"{\w+}", "x", channel.address.removeprefix("{unit}/"))
        for channel in asyncapi.CHANNELS.values()
    }
