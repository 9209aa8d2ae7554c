"""What can be said of a payload that is not the JSON that is taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd.wire import inbound, unreadable
from trapd.wire.unreadable import Unreadable


def found(payload: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        inbound.document(payload)
    return caught.value


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ('{"version":4,"txn":"a"', {"version": 4, "txn": "a"}), ('{"version":4', {}), ("{,", {}), ("", {}),
        ('{"version":4,', {"version": 4}), ('{"txn":"a', {}), ('{"txn":"a" "version":4}', {"txn": "a"}),
        ('{"txn":"a","txn":"b"', {}), ("[1", {}), ("{", {}), ('{"doc":{"version":4},"txn":"a"', {"txn": "a"}),
        ('{"version":4x}', {}), ('{"version":[4],"txn":{}', {}), ('{"doc":' + "[" * 100_000, {}),
        ('{"version":' + "9" * 5000 + "}", {}),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_broken_is_read_up_to_where_it_is(text: str, members: dict[str, Any]) -> None:
    assert unreadable.begun(text) == members


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('{"v":1,"v":2,"doc":{"burst":{"frames":1,"frames":2}}}',
         {"v": "stands twice", "burst.frames": "stands twice"}),
        ('{"version":NaN,"doc":{"a":[1e999,99999999999999999999]}}',
         {"version": "NaN is no JSON", "a[0]": "a number is too large", "a[1]": "an integer is beyond 2^53"}),
        ('{"doc":{"\\ud800":1,"b":"\\ud800"}}',
         {'"\\ud800"': "holds half a character", "b": "holds half a character"}),
        ('{"a\\nb":1,"a\\nb":2}', {'"a\\nb"': "stands twice"}),
    ],
)  # fmt: skip
def test_every_fault_is_named_with_its_place(text: str, faults: dict[str, str]) -> None:
    assert {fault.path: fault.message for fault in found(text.encode()).faults} == faults


def test_what_stands_beside_a_fault_is_whole() -> None:
    text = '{"v":1,"txn":"a","txn":"b","doc":{"burst":{"frames":0,"frames":1},"heartbeat_s":NaN,"c":[NaN,1]}}'
    assert found(text.encode()).members == {"v": 1, "doc": {"burst": {"frames": 0}, "c": [1]}}


def test_of_too_much_only_what_a_record_names_is_read() -> None:
    text = json.dumps({"version": 3, "txn": "a", "v": 10**20, "doc": {"x": [1.5] * 20_000}})
    error = found(text.encode())
    assert error.members == {"version": 3, "txn": "a"}
    assert [(fault.path, fault.message) for fault in error.faults] == [("v", "an integer is beyond 2^53")]


@pytest.mark.parametrize("digits", [17, 5000])
def test_an_integer_of_any_length_is_named(digits: int) -> None:
    error = found(b'{"txn":"a","b":[' + b"9" * digits + b"]}")
    assert [(fault.path, fault.message) for fault in error.faults] == [("b[0]", "an integer is beyond 2^53")]
    assert error.message == "this is no JSON that is taken: an integer is beyond 2^53"
    assert error.members == {"txn": "a", "b": []}


def test_of_many_faults_fifty_are_named() -> None:
    many = ",".join(f'"k{n}":1,"k{n}":1' for n in range(300))
    assert len(found(f"{{{many}}}".encode()).faults) == 50


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_comes_is_read_or_refused(payload: bytes) -> None:
    for put in (payload, b'{"version":7,"txn":"x","doc":' + payload):
        try:
            inbound.document(put)
        except Unreadable as error:
            json.dumps(error.members).encode()
            assert all(fault.path.isprintable() and fault.message.isprintable() for fault in error.faults)
