"""A document that wants to become the configuration: read, and judged before anything is tried.

Pure but for what is injected; Control's thread. Every fault is found before the first is told. What fails
here has changed nothing, and can be repeated, put right, at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from trapd.errors import BadDocument, ConfigurationError, Fault
from trapd.frozen import frozen
from trapd.records import Moment
from trapd.remote.ledger import VERSION_STEP, Attempt, Ledger, Overlay, few
from trapd.remote.stored import DEEPEST
from trapd.settings import Settings
from trapd.settings.overlay import depth_within, refused_changes
from trapd.settings.text import key_shown
from trapd.wire.authority import (
    CANNOT,
    CONFLICT,
    FORBIDDEN,
    INVALID,
    NO_ROOM,
    QUARANTINED,
    Period,
    Refused,
    period_of,
    refuse_expired,
)

_FIELDS = frozenset({"v", "version", "txn", "issued_at", "expires_at", "confirm", "doc", "sig"})
_MOST_VALUES = 400  # a document that sets every key has fewer
_LARGEST = 2**53
_LONGEST_TXN = 128


@frozen
class Desired:
    """A sound document of `config/desired`. `kid`: the key that signed it, None for none."""

    overlay: Overlay
    txn: str
    confirm: bool
    period: Period = field(default_factory=Period)
    kid: str | None = None


@frozen
class Present:
    """What a proposal is judged against. `settings`: those in effect, with the local file as it is now.

    `effective`: the settings with a document over that file, every word of it; raises ConfigurationError.
    `cannot`: what this hardware cannot do of them. `used_bytes`: what the store takes; `free_bytes`: what is
    free on its disk.
    """

    settings: Settings
    ledger: Ledger
    now: Moment
    effective: Callable[[Mapping[str, Any]], Settings]
    cannot: Callable[[Settings], tuple[Fault, ...]]
    used_bytes: int
    free_bytes: int


def hash_of(document: Mapping[str, Any]) -> str:
    """Of the whole document, signature included. Raises BadDocument for one that is far too deep."""
    try:
        return f"sha256:{hashlib.sha256(_canonical(document)).hexdigest()}"
    except RecursionError:
        raise BadDocument("this document is far too deep") from None


def _canonical(document: Mapping[str, Any]) -> bytes:
    import rfc8785  # with the first document

    try:
        return bytes(rfc8785.dumps(dict(document)))
    except ValueError:
        # 2^53 itself, or half a character: it is refused all the same, and known again when it comes again.
        return json.dumps(document, sort_keys=True).encode()


def named(document: Mapping[str, Any]) -> tuple[int, str]:
    """Version and txn of a document that may be anything; 0 and nothing where they are none."""
    version, txn = document.get("version"), document.get("txn")
    return (
        version if type(version) is int and abs(version) <= _LARGEST else 0,
        txn[:_LONGEST_TXN] if isinstance(txn, str) and txn.isprintable() else "",
    )


def refused(document: Mapping[str, Any], error: Refused) -> Attempt:
    """What is remembered of a document that could not be read. Raises BadDocument."""
    version, txn = named(document)
    return Attempt(version, txn, error.code, "rejected", hash_of(document), few(error.faults))


def read(document: Mapping[str, Any], kid: str | None) -> Desired:
    """The parts of a document whose signature has been seen to. Raises Refused with every fault."""
    faults = [Fault(key_shown(name), "is not a known key here") for name in sorted(set(document) - _FIELDS)]
    version, txn, doc = document.get("version"), document.get("txn"), document.get("doc")
    if type(document.get("v")) is not int or document["v"] != 1:
        faults.append(Fault("v", "must be 1"))
    if type(version) is not int or not 0 < version <= _LARGEST:
        faults.append(Fault("version", "must be a whole number above 0"))
    if not isinstance(txn, str) or not 0 < len(txn) <= _LONGEST_TXN or not txn.isprintable():
        faults.append(Fault("txn", f"must be 1 to {_LONGEST_TXN} printable characters"))
    if document.get("confirm", "auto") not in ("auto", "operator"):
        faults.append(Fault("confirm", "must be auto or operator"))
    if not isinstance(doc, dict):
        faults.append(Fault("doc", "must be an object", "the whole overlay, not a patch"))
    elif not depth_within(doc, DEEPEST):
        faults.append(Fault("doc", f"has more than {DEEPEST} objects or lists within each other"))
    elif _values(doc) > _MOST_VALUES:
        faults.append(Fault("doc", f"has more than {_MOST_VALUES} values", "trapd schema lists the keys"))
    period = Period()
    try:
        period = period_of(document)
    except BadDocument as error:
        faults.append(Fault("issued_at", error.message))
    if kid is not None and period.issued_ms is None:
        faults.append(Fault("issued_at", "is required in what is signed"))
    if faults:
        raise Refused(INVALID, "this is no document of config/desired", faults=tuple(faults))
    overlay = Overlay(int(version or 0), dict(doc or {}), hash_of(document))
    return Desired(overlay, str(txn), document.get("confirm") == "operator", period, kid)


def judge(desired: Desired, present: Present) -> Settings:
    """The settings that it would bring. Raises Refused."""
    version, stored = desired.overlay.version, present.ledger.stored_version
    if version in present.ledger.quarantined:
        raise Refused(QUARANTINED, f"version {version} has failed its trial", "send it with a new version")
    if version <= stored:
        raise Refused(CONFLICT, f"version {version} is not above {stored}, the last one tried")
    if version > stored + VERSION_STEP:
        raise Refused(CONFLICT, f"version {version} is more than {VERSION_STEP} above {stored}")
    refuse_expired(desired.period, present.now)
    return fitting(desired.overlay.doc, present, may_rotate=desired.kid is not None)


def fitting(doc: Mapping[str, Any], present: Present, *, may_rotate: bool) -> Settings:
    """The settings with `doc` over the local file, if this unit can be so. Raises Refused."""
    try:
        wanted = present.effective(doc)
    except ConfigurationError as error:
        raise Refused(INVALID, error.message, faults=error.faults) from None
    if faults := refused_changes(present.settings, wanted, may_rotate=may_rotate):
        raise Refused(FORBIDDEN, "it changes what cannot be changed from afar", faults=faults)
    if present.settings.remote.trusted_keys and not wanted.remote.trusted_keys:
        fault = Fault("remote.trusted_keys", "without a key nothing signed is obeyed any more", "name one")
        raise Refused(FORBIDDEN, "it would leave nobody who may change it back", faults=(fault,))
    if faults := present.cannot(wanted):
        raise Refused(CANNOT, "this unit cannot do that", faults=faults)
    # Of a store that is too large already nothing is asked but that it be made no smaller.
    if wanted.storage.max_bytes < min(present.used_bytes, present.settings.storage.max_bytes):
        fault = Fault(
            "storage.max_bytes", f"{present.used_bytes} bytes are used already", "delete or fetch first"
        )
        raise Refused(NO_ROOM, "there is more in the store than that", faults=(fault,))
    # Nor may a larger floor make the unit evict what was not fetched, until nothing is left.
    if wanted.storage.min_free_bytes > max(present.free_bytes, present.settings.storage.min_free_bytes):
        fault = Fault(
            "storage.min_free_bytes", f"{present.free_bytes} bytes are free", "delete or fetch first"
        )
        raise Refused(NO_ROOM, "there is less free on the disk than that", faults=(fault,))
    return wanted


def _values(value: object) -> int:
    """How many values it holds; its depth is known to be small."""
    if isinstance(value, dict | list):
        return 1 + sum(map(_values, value.values() if isinstance(value, dict) else value))
    return 1
