"""The published schemas: as docs/schemas has them, and as codec and inbound do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire import payloads as made
from trapd.errors import BadDocument
from trapd.records import Kind, Refusal, State
from trapd.remote import proposal
from trapd.stages.control.commands import COMMANDS
from trapd.store.room import eviction
from trapd.wire import codec, inbound, schemas, shapes_state
from trapd.wire.authority import Refused

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "schemas"
DOCUMENTS = schemas.documents()
UNIT = "ridge-07"
CODES = [200, 202, 400, 401, 403, 404, 409, 410, 413, 422, 423, 500, 507]


def faults(name: str, payload: bytes) -> list[str]:
    """What is wrong with a payload, fields that its schema does not name included."""
    return [error.message for error in made.strict(name).iter_errors(json.loads(payload))]


def test_the_files_are_what_the_code_says() -> None:
    """Else run scripts/schemas."""
    files = {file.stem: json.loads(file.read_text("utf-8")) for file in FOLDER.glob("*.json")}
    assert files == DOCUMENTS


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_is_a_schema_and_says_what_it_is_for(name: str) -> None:
    schema = DOCUMENTS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema.get("description") or all(each["description"] for each in schema["anyOf"])


def test_every_command_has_its_two() -> None:
    assert set(schemas.COMMANDS) == set(COMMANDS)
    assert {f"{way}-{name}" for way in ("cmd", "res") for name in COMMANDS} <= set(DOCUMENTS)


def test_every_leaf_finds_its_own() -> None:
    leaves = {
        "event": "event", "alert/disk": "alert", "media/u-3f9a-000001-0/manifest": "manifest",
        "res/ping": "res-ping", "cmd/ping": "cmd-ping", "res/no_such": "answer",
        "config/reported": "reported",
        "config/desired": "desired", "trail": "trail", "state": "state", "birth": "birth", "clock": "clock",
        "receipt": "receipt", "availability": None, "thumb/u": None, "media/u/c/0": None, "probe": None,
        "config/schema": None, "answer": None, "tombstone": None,
    }  # fmt: skip
    assert {leaf: schemas.name_of(leaf) for leaf in leaves} == leaves
    assert {name for name in leaves.values() if name} <= set(DOCUMENTS)


# --- what the unit writes --------------------------------------------------------------------------------


@given(made.events)
def test_events(event: Any) -> None:
    assert faults("event", codec.event(event)) == []


@given(made.births)
def test_births(fields: dict[str, Any]) -> None:
    assert faults("birth", codec.birth(**fields)) == []


@given(made.alerts)
def test_alerts(alert: Any) -> None:
    assert faults("alert", codec.alert(alert)) == []


@given(made.moments, made.ids, st.integers(1, 2**40))
def test_clock_and_tombstone(at: Any, name: str, n: int) -> None:
    assert faults("clock", codec.clock(at.boot_id, -n, at.quality)) == []
    assert faults("tombstone", codec.tombstone(name, "3f9a", n, "space")) == []
    assert faults("lost", codec.lost_file(name, "space")) == []


@given(made.media, st.integers(1, 10**6))
def test_manifests(medium: Any, chunk_bytes: int) -> None:
    chunks = -(-medium.bytes // chunk_bytes)
    assert faults("manifest", codec.manifest(medium, chunk_bytes, chunks)) == []


@given(made.moments, st.sampled_from(CODES), made.txns, st.text(max_size=50), st.booleans())
def test_trail_and_answers(at: Any, code: int, txn: str, message: str, there: bool) -> None:
    one = codec.trail(
        at, leaf="cmd/ping", txn=txn if there else None, code=code, kid=None, version=None, message=message
    )
    assert faults("trail", one) == []
    assert faults("trail", codec.trail_more(at, 3)) == []
    one = codec.answer(UNIT, txn if there else None, code, data={"x": 1}, error=message)
    assert faults("answer", one) == []
    for name in schemas.COMMANDS:
        assert faults(f"res-{name}", codec.answer(UNIT, txn, code, error=message)) == []


@given(made.reports)
def test_reports(fields: dict[str, Any]) -> None:
    assert faults("reported", codec.reported(**fields)) == []


@given(made.moments, made.states)
def test_states_are_flat(at: Any, facts: dict[str, Any]) -> None:
    """For Telegraf: every value a number or a short text, nothing within anything."""
    payload = codec.state(at, facts)
    assert faults("state", payload) == []
    for value in json.loads(payload).values():
        assert isinstance(value, int | float) or (isinstance(value, str) and len(value) <= 200)
        assert not isinstance(value, bool)


@pytest.mark.parametrize("nested", [{"a": 1}, [1], None, "x" * 201, True])
def test_what_is_not_flat_is_no_state(nested: Any) -> None:
    """Also in a field that a later version may add."""
    whole = json.loads(codec.state(made.MOMENT, made.LEAST_FACTS))
    validator = jsonschema.Draft202012Validator(DOCUMENTS["state"])
    assert list(validator.iter_errors(whole | {"new_field": 1.5})) == []
    assert list(validator.iter_errors(whole | {"new_field": nested}))


def test_every_count_of_the_store_has_its_line() -> None:
    """Counters become fields of `state` by their names."""
    counted = [f"refused.{why}" for why in Refusal]
    counted += [f"evicted.{step.name}" for step in (*eviction.DUE_TO_NOBODY, *eviction.UNDELIVERED)]
    counted += [*eviction.LOSSES, "evicted.rows"]
    for file in (ROOT / "trapd").rglob("*.py"):
        counted += made.COUNTED.findall(file.read_text("utf-8"))
    assert len(counted) > 25
    named = made.fields_of(shapes_state.State)
    assert {name.replace(".", "_") for name in counted} <= named
    assert {f"queue_{kind}" for kind in Kind} <= named
    assert {state.value for state in State} <= named


# --- what the operator writes ----------------------------------------------------------------------------


@given(made.desired)
def test_a_desired_document_of_this_shape_can_be_read(document: dict[str, Any]) -> None:
    assert list(made.strict("desired").iter_errors(document)) == []
    proposal.read(inbound.document(json.dumps(document).encode()), None)


@given(made.desired, st.sampled_from(["v", "version", "txn", "doc", "confirm", "more"]))
def test_what_is_refused_for_its_shape_does_not_fit(document: dict[str, Any], key: str) -> None:
    broken = document | {key: -1}
    with pytest.raises(Refused):
        proposal.read(broken, None)
    assert list(made.strict("desired").iter_errors(broken))


@given(made.requests)
def test_a_request_of_this_shape_can_be_read(named: tuple[str, dict[str, Any]]) -> None:
    name, request = named
    assert list(made.strict(f"cmd-{name}").iter_errors(request)) == []
    read = inbound.request(inbound.document(json.dumps(request).encode()), signed=False)
    if name == "media_get":
        inbound.media_request(read.args)


@pytest.mark.parametrize(
    "args", [{}, {"ids": []}, {"ids": ["a"], "more": 1}, {"ids": ["a"], "chunks": {"a": [[1]]}}]
)
def test_a_media_get_that_is_refused_does_not_fit(args: dict[str, Any]) -> None:
    with pytest.raises(BadDocument):
        inbound.media_request(args)
    assert list(made.strict("cmd-media_get").iter_errors({"txn": "t", "args": args}))


@given(made.receipts)
def test_a_receipt_of_this_shape_can_be_read(receipt: dict[str, Any]) -> None:
    assert list(made.strict("receipt").iter_errors(receipt)) == []
    inbound.receipt(json.dumps(receipt).encode())
