"""Signatures on documents from afar: Ed25519 over the topic and the canonical document. Pure; any thread.

What is signed is `TOPIC`, a line feed, and the RFC 8785 form of the document without its `sig`: a signature
is good for one topic, so that nothing is replayed to another unit or leaf. A key's `kid` is the first 16 hex
digits of the SHA-256 of its 32 bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from trapd.errors import BadDocument, TrapdError

PREFIX = "ed25519:"
SIGNATURE = "sig"

_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_KID = r"[0-9a-f]{16}"


class BadSignature(TrapdError):
    """Not signed, not by a trusted key, or not what was signed."""


def kid_of(key: bytes) -> str:
    """The name of a public key, 32 bytes."""
    return hashlib.sha256(key).hexdigest()[:16]


def public_line(key: bytes) -> str:
    """A public key as it stands in `remote.trusted_keys`."""
    return PREFIX + base64.b64encode(key).decode("ascii")


def public_key(line: str) -> bytes:
    """The 32 bytes of a line of `remote.trusted_keys`. Raises BadDocument."""
    key = _decoded(line.removeprefix(PREFIX)) if line.startswith(PREFIX) else None
    if key is None or len(key) != _KEY_BYTES or public_line(key) != line:
        raise BadDocument("this is no public key", "as trapd keygen prints it: ed25519:<base64 of 32 bytes>")
    return key


def kid_of_line(line: str) -> str:
    """The name of a key of `remote.trusted_keys`. Raises BadDocument."""
    return kid_of(public_key(line))


def signed_bytes(topic: str, document: Mapping[str, Any]) -> bytes:
    """What a signature of `document` on `topic` covers. Raises BadDocument for what has no canonical form."""
    import rfc8785  # for what is signed alone

    bare = {name: value for name, value in document.items() if name != SIGNATURE}
    try:
        return topic.encode() + b"\n" + rfc8785.dumps(bare)
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"this document has no canonical form: {error}") from error


def generate() -> tuple[bytes, bytes]:
    """A new private key (its 32-byte seed) and its public key."""
    from nacl.signing import SigningKey

    made = SigningKey.generate()
    return bytes(made), bytes(made.verify_key)


def sign(topic: str, document: Mapping[str, Any], seed: bytes) -> dict[str, Any]:
    """`document` with its `sig`, ready to be published to `topic`. Raises BadDocument."""
    from nacl.signing import SigningKey

    key = SigningKey(seed)
    signature = key.sign(signed_bytes(topic, document)).signature

    bare = {name: value for name, value in document.items() if name != SIGNATURE}
    sig = {"kid": kid_of(bytes(key.verify_key)), "b64": base64.b64encode(signature).decode("ascii")}
    return {**bare, SIGNATURE: sig}


class Keyring:
    """The public keys that are trusted. `lines` as in `remote.trusted_keys`. Raises BadDocument."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._keys = {kid_of(key): key for key in map(public_key, lines)}

    def with_(self, line: str) -> Keyring:
        """These keys and the one of `line`; these alone where it is empty."""
        return Keyring((*map(public_line, self._keys.values()), line)) if line else self

    def __bool__(self) -> bool:
        return bool(self._keys)

    def verify(self, topic: str, document: Mapping[str, Any]) -> str:
        """The `kid` of the trusted key that signed this document for this topic.

        Raises BadSignature. Every way to be wrong gives the same kind of answer, and no key's bytes.
        """
        from nacl.exceptions import BadSignatureError
        from nacl.signing import VerifyKey

        kid, signature = _parts(document.get(SIGNATURE))
        key = self._keys.get(kid)
        if key is None:
            raise BadSignature(f"the key {kid} is not trusted", "see remote.trusted_keys")
        try:
            VerifyKey(key).verify(signed_bytes(topic, document), signature)
        except (BadSignatureError, BadDocument, ValueError):
            raise BadSignature(f"this is not what the key {kid} signed for {topic}") from None
        return kid


def _parts(sig: object) -> tuple[str, bytes]:
    if sig is None:
        raise BadSignature("this is not signed", "sign it with trapd sign")
    if not isinstance(sig, dict) or set(sig) != {"kid", "b64"}:
        raise BadSignature('a signature is {"kid","b64"}')
    kid, text = sig["kid"], sig["b64"]
    if not isinstance(kid, str) or not re.fullmatch(_KID, kid):
        raise BadSignature("kid is not 16 hex digits")
    signature = _decoded(text) if isinstance(text, str) else None
    if signature is None or len(signature) != _SIGNATURE_BYTES:
        raise BadSignature("b64 is not the base64 of 64 bytes")
    return kid, signature


def _decoded(text: str) -> bytes | None:
    """Standard, padded base64 and nothing else; None for what is not."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
