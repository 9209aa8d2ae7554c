"""Signatures: good for one document on one topic by one trusted key, and for nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd.errors import BadDocument
from trapd.wire import inbound, signing

TOPIC = "trapd/v1/ridge-07/config/desired"
SEED = bytes(range(32))
DOCUMENT = {"v": 1, "version": 42, "txn": "a1", "doc": {"burst": {"frames": 5}}}

texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(texts.filter(lambda name: name != "sig"), values, max_size=5)


def keyring(seed: bytes = SEED) -> signing.Keyring:
    from nacl.signing import SigningKey

    return signing.Keyring([signing.public_line(bytes(SigningKey(seed).verify_key))])


def signed(**changes: Any) -> dict[str, Any]:
    return signing.sign(TOPIC, DOCUMENT, SEED) | changes


def test_a_known_key_gives_the_known_signature() -> None:
    """The first test vector of RFC 8032, section 7.1, names this pair; kid is the contract's."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    document = signing.sign(TOPIC, DOCUMENT, seed)
    assert document["sig"]["kid"] == hashlib.sha256(public).hexdigest()[:16] == signing.kid_of(public)
    assert signing.Keyring([signing.public_line(public)]).verify(TOPIC, document) == signing.kid_of(public)


def test_what_is_signed_is_the_topic_and_the_canonical_document() -> None:
    """Numbers and order as in the example of RFC 8785, section 3.2.4; the line feed between is ours."""
    document = {"numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27], "literals": [None, True, False]}
    assert signing.signed_bytes("a/b", document) == (
        b'a/b\n{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}'
    )


@given(documents)
def test_every_document_that_can_arrive_can_be_signed_and_verified(document: dict[str, Any]) -> None:
    made = signing.sign(TOPIC, document, SEED)
    arrived = inbound.document(json.dumps(made, indent=2).encode())
    assert keyring().verify(TOPIC, arrived)


@given(documents, documents)
def test_a_signature_is_good_for_no_other_document(one: dict[str, Any], other: dict[str, Any]) -> None:
    made = signing.sign(TOPIC, one, SEED)
    forged = {**other, "sig": made["sig"]}
    if signing.signed_bytes(TOPIC, one) == signing.signed_bytes(TOPIC, other):
        assert keyring().verify(TOPIC, forged)
    else:
        with pytest.raises(signing.BadSignature):
            keyring().verify(TOPIC, forged)


@pytest.mark.parametrize("topic", ["trapd/v1/ridge-08/config/desired", "trapd/v1/ridge-07/cmd/reboot", ""])
def test_a_signature_is_good_for_no_other_topic(topic: str) -> None:
    with pytest.raises(signing.BadSignature, match="not what the key"):
        keyring().verify(topic, signed())


def test_a_key_that_is_not_trusted_is_named_and_refused() -> None:
    with pytest.raises(signing.BadSignature, match=r"key [0-9a-f]{16} is not trusted"):
        keyring(bytes(32)).verify(TOPIC, signed())
    with pytest.raises(signing.BadSignature, match="not trusted"):
        signing.Keyring([]).verify(TOPIC, signed())


@pytest.mark.parametrize(
    "sig",
    [
        None, "x", 5, [], {}, {"kid": "a" * 16}, {"kid": 5, "b64": ""}, {"kid": "A" * 16, "b64": "="},
        {"kid": signing.kid_of(b""), "b64": "x"}, signed()["sig"] | {"more": 1},
        signed()["sig"] | {"b64": signed()["sig"]["b64"][:-2]}, signed()["sig"] | {"b64": 5},
        signed()["sig"] | {"b64": base64.b64encode(bytes(64)).decode()},
        signed()["sig"] | {"b64": " " + signed()["sig"]["b64"]},
        signed()["sig"] | {"b64": base64.b64encode(b"\xff" * 64).decode()},
    ],
    ids=str,
)  # fmt: skip
def test_what_only_looks_like_a_signature(sig: object) -> None:
    with pytest.raises(signing.BadSignature):
        keyring().verify(TOPIC, {**DOCUMENT, "sig": sig})


@pytest.mark.parametrize("line", ["", "ed25519:", "ed25519:AAAA", "rsa:" + "A" * 43 + "=", "A" * 43 + "="])
def test_what_is_no_public_key(line: str) -> None:
    with pytest.raises(BadDocument):
        signing.public_key(line)


def test_a_document_without_a_canonical_form_is_not_signed() -> None:
    for value in (float("nan"), float("inf"), 2**60, "\ud800"):
        with pytest.raises(BadDocument):
            signing.sign(TOPIC, {"a": value}, SEED)


def test_numbers_that_other_programs_read_otherwise_are_refused_on_arrival() -> None:
    for text in (b'{"a":NaN}', b'{"a":1e400}', b'{"a":-1e400}', b'{"a":9007199254740993}', b'{"a":1,"a":1}'):
        with pytest.raises(BadDocument):
            inbound.document(text)
