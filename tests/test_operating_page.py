"""docs/operating.md names everything: fields, alerts, codes, phases, topics, commands; and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from tests.system import page
from trapd.config import settings_from, warnings
from trapd.stages.control.commands import COMMANDS
from trapd.wire import authority, inbound, schemas, shapes_state, topics

ROOT = Path(__file__).resolve().parents[1]
TABLES = page.tables()
TEXT = page.PAGE.read_text("utf-8")
RAISED = re.compile(r'\braise_\(\s*"([a-z0-9_]+)"')


def first_cells(heading: str) -> list[str]:
    return [name for row in TABLES[heading] for name in page.in_code(row[0])]


def test_every_field_of_a_heartbeat_is_named_once() -> None:
    named = first_cells("state")
    assert sorted(named) == sorted(get_type_hints(shapes_state.State))


def test_every_alert_is_named_once_with_what_to_do() -> None:
    raised = {name for file in (ROOT / "trapd").rglob("*.py") for name in RAISED.findall(file.read_text())}
    assert len(raised) > 10
    assert sorted(first_cells("Alerts")) == sorted(raised)
    assert all(len(row) == 3 and row[2] for row in TABLES["Alerts"])


def test_every_code_is_explained() -> None:
    codes = {n for name, n in vars(authority).items() if name[0].isupper() and isinstance(n, int)}
    assert {int(row[0]) for row in TABLES["Commands"]} == codes
    assert codes == set(schemas.documents()["answer"]["properties"]["code"]["enum"])


def test_every_phase_is_explained() -> None:
    phases = schemas.documents()["reported"]["properties"]["phase"]["enum"]
    assert sorted(first_cells("A trial, and how it ends")) == sorted(phases)


def test_every_topic_and_every_schema_is_named() -> None:
    rows = TABLES["Topics"]
    names = {name for row in rows for name in page.in_code(row[4])}
    assert {name.replace("<command>", "ping") for name in names} == (
        {name for name in schemas.documents() if not name.startswith(("cmd-", "res-"))}
        | {"cmd-ping", "res-ping"}
    )
    leaves = {page.in_code(row[0])[0] for row in rows}
    constants = {
        topics.AVAILABILITY, topics.BIRTH, topics.STATE, topics.EVENT, topics.CLOCK, topics.CONFIG_REPORTED,
        topics.CONFIG_SCHEMA, topics.TRAIL, topics.PROBE, topics.CONFIG_DESIRED, topics.RECEIPT,
    }  # fmt: skip
    made = {"alert/<name>", "thumb/<event>", "media/<photograph>/manifest", "media/<photograph>/c/<n>"}
    assert leaves == constants | made | {"res/<command>", "cmd/<command>"}


def test_every_command_has_an_example() -> None:
    scripts = "".join(step.script for step in page.steps())
    assert [name for name in COMMANDS if f"/cmd/{name} " not in scripts] == []


@pytest.mark.parametrize("step", list(page.steps()), ids=lambda step: step.script.split("\n")[0][:60])
def test_what_an_example_promises_has_its_schema(step: page.Step) -> None:
    """But for what it leaves out."""
    for topic, promised in step.promised:
        name = "answer" if "/_reply/" in topic else schemas.name_of(topic.split("/", 3)[3])
        assert name is not None
        schema = schemas.documents()[name]
        if page.ANY not in promised:
            assert promised.keys() == set(schema.get("properties", promised))


def test_the_units_file_is_sound(tmp_path: Path) -> None:
    (block,) = page.blocks("yaml")
    settings = settings_from(yaml.safe_load(block.text), tmp_path)
    named = [fault.path for fault in warnings(settings)]
    assert [path for path in named if path.startswith(("unit.", "mqtt.", "remote."))] == []


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (page.PAGE.parent / target).exists(), target
    assert "docs/operating.md" in (ROOT / "README.md").read_text("utf-8")


def test_the_largest_document_is_as_the_page_says() -> None:
    assert f"{inbound.MOST_BYTES:,} bytes" in TEXT


@pytest.mark.parametrize(
    ("promised", "heard", "is_so"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "…": "…"}, {"a": 1, "b": 2}, True),
        ({"mono_ms": 1}, {"mono_ms": 7}, True),
        ({"mono_ms": 1}, {"mono_ms": "7"}, False),
        ({"hash": "sha256:…"}, {"hash": "sha256:ab"}, True),
        ({"hash": "sha256:…"}, {"hash": "md5:ab"}, False),
        ({"errors": []}, {"errors": [1]}, False),
        ({"locked": ["…"]}, {"locked": []}, False),
        ({"locked": ["…"]}, {"locked": ["a", "b"]}, True),
        ({"a": True}, {"a": 1}, False),
    ],
)
def test_what_fits_a_promise(promised: Any, heard: Any, is_so: bool) -> None:
    assert page.fits(promised, json.loads(json.dumps(heard))) is is_so
