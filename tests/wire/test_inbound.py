"""What comes from outside is taken apart strictly, or refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd.errors import BadDocument
from trapd.wire import inbound
from trapd.wire.inbound import MediaRequest, Receipt, Request


def test_receipts_of_both_kinds() -> None:
    assert inbound.receipt(b'{"ids":["a","b","a"]}') == Receipt(ids=("a", "b"))
    assert inbound.receipt(b'{"epoch":"3f9a","upto":4812}') == Receipt(epoch="3f9a", upto=4812)
    assert inbound.receipt(b'{"ids":[]}') == Receipt()


def test_a_request_and_its_photographs() -> None:
    text = b'{"txn":"t","args":{"ids":["a","b"],"chunks":{"a":[[0,2],[5,5]]}},"sig":{}}'
    request = inbound.request(inbound.document(text), signed=False)
    assert request == Request("t", {"ids": ["a", "b"], "chunks": {"a": [[0, 2], [5, 5]]}})
    assert inbound.media_request(request.args) == MediaRequest({"a": ((0, 2), (5, 5)), "b": None})


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":2}', "NaN", '{"a":Infinity}', "9007199254740993", "[1]", '"x"', ""]
)
def test_only_an_object_that_every_program_reads_alike(text: str) -> None:
    with pytest.raises(BadDocument):
        inbound.document(text.encode())


def test_the_largest_integer_that_is_exact() -> None:
    assert inbound.document(b'{"a":9007199254740992}') == {"a": 2**53}
    with pytest.raises(BadDocument):
        inbound.document(b'{"a":-9007199254740993}')


@pytest.mark.parametrize("text", [r'{"a":"\ud800"}', r'{"\uDFFF":1}', r'{"a":[{"b":"x\ud83dy"}]}'])
def test_half_a_character_is_refused(text: str) -> None:
    """No database takes it, and nothing can be signed with it: it would end whoever works with it later."""
    with pytest.raises(BadDocument, match="half a character"):
        inbound.document(text.encode())


def test_whole_characters_are_taken_however_they_are_written() -> None:
    assert inbound.document(rb'{"a":"\ud83d\ude00 \\ud800"}') == {"a": "\U0001f600 \\ud800"}


@pytest.mark.parametrize(("levels", "taken"), [(31, True), (32, False), (900, False)])
def test_depth_is_bounded(levels: int, taken: bool) -> None:
    text = b'{"a":' + b"[" * levels + b"]" * levels + b"}"
    if taken:
        inbound.document(text)
        return
    with pytest.raises(BadDocument):
        inbound.document(text)


def test_so_many_values_are_looked_at() -> None:
    inbound.receipt(json.dumps({"ids": [f"ridge-07-3f9a-{n:06d}" for n in range(5000)]}).encode())
    with pytest.raises(inbound.TooLarge):
        inbound.document(b'{"a":[' + b"1.5," * 50_000 + b"1]}")


@pytest.mark.parametrize(("values", "taken"), [(998, True), (1000, False)])
def test_a_configuration_has_so_many_values(values: int, taken: bool) -> None:
    found = {"doc": {"list": [0] * values}}
    if taken:
        inbound.configuration(found)
        return
    with pytest.raises(inbound.TooLarge):
        inbound.configuration(found)


def test_size_is_looked_at_before_anything_else() -> None:
    just = b'{"a":"' + b"x" * (inbound.MOST_BYTES - 8) + b'"}'
    assert len(just) == inbound.MOST_BYTES
    inbound.document(just)
    with pytest.raises(inbound.TooLarge):
        inbound.document(just + b" ")


def parsed_request(payload: bytes) -> Request:
    return inbound.request(inbound.document(payload), signed=True)


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(payload: bytes) -> None:
    for parse in (inbound.receipt, parsed_request):
        try:
            parse(payload)
        except BadDocument as error:
            assert len(str(error)) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["ids", "chunks", "a"]) | st.text(), inner)
    ),
)


@given(JSON)
def test_no_document_does_more_than_be_refused(value: Any) -> None:
    for wrapped in (
        value,
        {"ids": value},
        {"ids": ["a"], "chunks": {"a": value}},
        {"epoch": "e", "upto": value},
    ):
        payload = json.dumps(wrapped).encode("utf-8", "surrogatepass")
        for parse in (inbound.receipt, parsed_request):
            try:
                parse(payload)
            except BadDocument:
                continue
        if isinstance(wrapped, dict):
            try:
                found = inbound.media_request(wrapped)
            except BadDocument:
                continue
            assert all(
                ranges is None or all(0 <= first <= last for first, last in ranges)
                for ranges in found.wanted.values()
            )
