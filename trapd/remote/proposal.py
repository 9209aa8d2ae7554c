"""A document that wants to become the configuration: read, and judged before anything is tried.

Pure but for what is injected; Control's thread. Every fault is found before the first is told. What fails
here has changed nothing, and can be repeated, put right, at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn

from trapd.errors import BadDocument, ConfigurationError, Fault
from trapd.frozen import Frozen, field
from trapd.records import Moment
from trapd.remote.ledger import VERSION_STEP, Attempt, Ledger, Overlay, few
from trapd.remote.stored import DEEPEST
from trapd.settings import Settings
from trapd.settings.overlay import ROTATED, depth_within, refused_changes, without
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
from trapd.wire.nearest import nearest
from trapd.wire.signing import kid_of_line

PRECISION = "unit.location_precision_km"
_FIELDS = frozenset({"v", "version", "txn", "issued_at", "expires_at", "confirm", "doc", "sig"})
_MOST_VALUES = 400  # a document that sets every key has fewer
_WHY = {
    FORBIDDEN: "it changes what cannot be changed from afar",
    CANNOT: "this unit cannot do that",
    NO_ROOM: "there is no room for that",
}
LEAST_CONFIRM_S = 300.0
"""So long a trial is, at least, that a document from afar asks for: a slow unit on a slow link starts, finds
its camera, loads its model and reaches the broker in it. The local file may say less."""
_LARGEST = 2**53
_LONGEST_TXN = 128


class Desired(Frozen):
    """A sound document of `config/desired`. `kid`: the key that signed it, None for none."""

    overlay: Overlay
    txn: str
    confirm: bool
    period: Period = field(default_factory=Period)
    kid: str | None = None


class Present(Frozen):
    """What a proposal is judged against. `settings`: those in effect, with the local file as it is now.

    `effective`: the settings with a document over that file, every word of it; raises ConfigurationError.
    `cannot`: what this hardware cannot do of them. `used_bytes`: what the store takes; `free_bytes`: what is
    free on its disk. `own`: what the local file alone says; None where that is not sound by itself.
    """

    settings: Settings
    ledger: Ledger
    now: Moment
    effective: Callable[[Mapping[str, Any]], Settings]
    cannot: Callable[[Settings], tuple[Fault, ...]]
    used_bytes: int
    free_bytes: int
    own: Callable[[], Settings | None]


def hash_of(document: Mapping[str, Any]) -> str:
    """Of the whole document, signature included. Raises BadDocument for one that is far too deep."""
    try:
        return f"sha256:{hashlib.sha256(_canonical(document)).hexdigest()}"
    except RecursionError:
        raise BadDocument("this document is far too deep") from None


def hash_of_bytes(payload: bytes) -> str:
    """Of a document that is none, as it came."""
    return f"sha256:{hashlib.sha256(payload).hexdigest()}"


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


def refused(document: Mapping[str, Any], hash_: str, code: int, faults: Iterable[Fault]) -> Attempt:
    """What is remembered of a document that could not be read; of several faults at one place the first."""
    by_path: dict[tuple[str, str], Fault] = {}
    for fault in faults:
        by_path.setdefault((fault.path, "" if fault.path else fault.message), fault)
    return Attempt(*named(document), code, "rejected", hash_, few(tuple(by_path.values())))


def read(document: Mapping[str, Any], kid: str | None) -> Desired:
    """The parts of a document whose signature has been seen to. Raises Refused with every fault."""
    faults = [
        Fault(key_shown(name), "is not a known key here", nearest(name, _FIELDS))
        for name in sorted(set(document) - _FIELDS)
    ]
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
    try:
        _by_its_version(desired, present)
    except Refused as error:
        faults = (*error.faults, *faults_within(desired.overlay.doc, present))
        raise Refused(error.code, error.message, faults=faults) from None
    return fitting(desired.overlay.doc, present, is_new=True, may_rotate=desired.kid is not None)


def faults_beside(members: Mapping[str, Any], known: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """What else is wrong with a document of which some values cannot be read; none where nothing is whole."""
    if "doc" not in members:
        return ()
    try:
        read(members, None)
    except Refused as error:
        return tuple(fault for fault in error.faults if fault.path not in {each.path for each in known})
    return ()


def _by_its_version(desired: Desired, present: Present) -> None:
    version, stored = desired.overlay.version, present.ledger.stored_version
    if version in present.ledger.quarantined:
        _at("version", QUARANTINED, f"{version} has failed its trial", "send it with a new version")
    if version <= stored:
        _at("version", CONFLICT, f"must be above {stored}, the last one tried, is {version}")
    if version > stored + VERSION_STEP:
        _at("version", CONFLICT, f"must be at most {VERSION_STEP} above {stored}, is {version}")
    refuse_expired(desired.period, present.now)


def _at(path: str, code: int, message: str, hint: str = "") -> NoReturn:
    raise Refused(code, message, hint, (Fault(path, message, hint),))


def faults_within(doc: object, present: Present) -> tuple[Fault, ...]:
    """What is wrong with an overlay's keys and values, whatever else is wrong with the document."""
    if not isinstance(doc, dict) or not depth_within(doc, DEEPEST) or _values(doc) > _MOST_VALUES:
        return ()
    try:
        wanted = present.effective(doc)
    except ConfigurationError as error:
        return (*error.faults, *_locked_beside(doc, error.faults, present, may_rotate=True))
    return refused_changes(present.settings, wanted, may_rotate=True)


def _locked_beside(
    doc: Mapping[str, Any], faults: tuple[Fault, ...], present: Present, *, may_rotate: bool
) -> tuple[Fault, ...]:
    """What it would change and may not, beside the keys at fault; none where the rest is not sound alone."""
    bad = {fault.path.partition("[")[0] for fault in faults}
    try:
        wanted = present.effective(without(doc, lambda path: path in bad))
    except ConfigurationError:
        return ()
    found = refused_changes(present.settings, wanted, may_rotate=may_rotate)
    return tuple(fault for fault in found if fault.path not in bad)


def fitting(doc: Mapping[str, Any], present: Present, *, is_new: bool, may_rotate: bool = False) -> Settings:
    """The settings with `doc` over the local file, if this unit can be so. Raises Refused with every fault,
    and the code of the first. `is_new`: it was never in force.
    """
    try:
        wanted = present.effective(doc)
    except ConfigurationError as error:
        beside = _locked_beside(doc, error.faults, present, may_rotate=may_rotate)
        raise Refused(INVALID, error.message, faults=(*error.faults, *beside)) from None
    found = [(FORBIDDEN, fault) for fault in refused_changes(present.settings, wanted, may_rotate=may_rotate)]
    found += [(FORBIDDEN, fault) for fault in _shuts_out(doc, present, wanted, is_new=is_new)]
    found += [(FORBIDDEN, fault) for fault in _gives_away(present, wanted)]
    found += [(CANNOT, fault) for fault in present.cannot(wanted)]
    found += [(NO_ROOM, fault) for fault in _no_room(present, wanted)]
    if found:
        code = found[0][0]
        raise Refused(code, _WHY[code], faults=tuple(fault for _, fault in found))
    return wanted


def _shuts_out(
    doc: Mapping[str, Any], present: Present, wanted: Settings, *, is_new: bool
) -> Iterator[Fault]:
    """What would leave nobody who may change it back, or no time to show that it is good."""
    before, after = present.settings.remote, wanted.remote
    if before.trusted_keys and not after.trusted_keys:
        yield Fault(ROTATED, "without a key nothing signed is obeyed any more", "name one")
    elif is_new and before.trusted_keys != after.trusted_keys and not _names(doc, "trusted_keys"):
        # Else who forgets to name the new keys brings back the old ones, which may be in a stranger's hands.
        yield Fault(ROTATED, "would be the local file's again", "name the keys that are to be trusted")
    if is_new and _names(doc, "confirm_s") and after.confirm_s < LEAST_CONFIRM_S:
        own = present.own()
        least_s = LEAST_CONFIRM_S if own is None else min(LEAST_CONFIRM_S, own.remote.confirm_s)
        if after.confirm_s < least_s:
            message = f"must be {least_s:g} or more in a document from afar, is {after.confirm_s:g}"
            yield Fault("remote.confirm_s", message, "a slow unit needs the time to prove itself")


def _gives_away(present: Present, wanted: Settings) -> Iterator[Fault]:
    """The place is a secret: from afar it is made less exact, and no more exact than who stood there said."""
    before_km, after_km = (settings.unit.location_precision_km for settings in (present.settings, wanted))
    if after_km >= before_km:
        return
    own = present.own()
    least_km = before_km if own is None else own.unit.location_precision_km
    if after_km < least_km:
        message = f"must be {least_km:g} or more in a document from afar, is {after_km:g}"
        yield Fault(PRECISION, message, "how exactly the place is published is said in the unit's own file")


def retires(kid: str | None, present: Present, wanted: Settings, retiring: str) -> str:
    """The line of the key that signed, where the wanted list leaves it out: it stays trusted until a key of
    that list has signed something, for perhaps nobody has them. `retiring`: the one that does so already.
    """
    for line in filter(None, (*present.settings.remote.trusted_keys, retiring)):
        if kid_of_line(line) == kid:
            return "" if line in wanted.remote.trusted_keys else line
    return retiring


def _names(doc: Mapping[str, Any], key: str) -> bool:
    remote = doc.get("remote")
    return isinstance(remote, Mapping) and remote.get(key) is not None


def _no_room(present: Present, wanted: Settings) -> Iterator[Fault]:
    # Of a store that is too large already nothing is asked but that it be made no smaller.
    if wanted.storage.max_bytes < min(present.used_bytes, present.settings.storage.max_bytes):
        yield Fault(
            "storage.max_bytes", f"{present.used_bytes} bytes are used already", "delete or fetch first"
        )
    # Nor may a larger floor make the unit evict what was not fetched, until nothing is left.
    if wanted.storage.min_free_bytes > max(present.free_bytes, present.settings.storage.min_free_bytes):
        yield Fault("storage.min_free_bytes", f"{present.free_bytes} bytes are free", "delete or fetch first")


def _values(value: object) -> int:
    """How many values it holds; its depth is known to be small."""
    if isinstance(value, dict | list):
        return 1 + sum(map(_values, value.values() if isinstance(value, dict) else value))
    return 1
