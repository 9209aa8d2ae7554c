"""The short form of a report and of an answer: as the schemas have them, and no longer than may be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trapd.errors import Fault
from trapd.wire import codec
from trapd.wire.short import shortened

FAULTS = [Fault(f"key{number}", "is wrong", "put it right") for number in range(50)]


def report(doc: dict[str, Any]) -> bytes:
    return codec.reported(
        version=2,
        phase="rejected",
        hash_="sha256:" + "ab" * 32,
        attempt=(3, "t", 400, FAULTS),
        doc=doc,
        locked=["mqtt.host"],
    )


def test_of_many_faults_three_are_told_and_how_many_more_there_are() -> None:
    found = json.loads(shortened(report({"heartbeat_s": 60}), 2000))
    errors = found["last_attempt"]["errors"]
    assert [error["path"] for error in errors] == ["key0", "key1", "key2", ""]
    assert errors[-1]["message"] == "there are 47 faults more"
    assert (found["doc"], found["locked"]) == ({"heartbeat_s": 60}, ["mqtt.host"])


def test_then_the_document_goes_and_its_hash_stays() -> None:
    short = shortened(report({"unit": {"name": "x" * 5000}}), 2000)
    found = json.loads(short)
    assert len(short) < 2000
    assert "doc" not in found
    assert found["hash"] == "sha256:" + "ab" * 32


@pytest.mark.parametrize("data", [None, {}, {"version": 3, "errors": []}])
def test_an_answer_without_faults_stays_as_it_is(data: dict[str, Any] | None) -> None:
    payload = codec.answer("ridge-07", "t", 200, data=data)
    assert json.loads(shortened(payload, 10)) == json.loads(payload)
