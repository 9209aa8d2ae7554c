"""A document to Settings, or every fault of it at once.

The document is plain data, from a file or from afar. What cannot be used is set aside fault by fault, so that
pydantic and the rules see only what is sound, and one fault never hides another. Pure.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import ValidationError

from trapd.config.document import Place
from trapd.config.kinds import REFUSED
from trapd.config.nearest import colon_alone, names_in, nearest_choice, respelt, suggestion
from trapd.config.rules import RULES
from trapd.config.schema import Schema, keys, sections
from trapd.config.words import expected_at
from trapd.errors import ConfigurationError, Fault
from trapd.settings.overlay import NEVER_SHOWN
from trapd.settings.text import joined, key_shown, printable, shown
from trapd.settings.values import Settings, made, value_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# What the operator must say, with an example; it stands in for the missing value while the rest is checked.
REQUIRED = {"unit.id": "wangqing-07", "mqtt.host": "broker.example.org"}

_MOST_SUGGESTIONS = 20  # each costs a comparison with every key

_PLAIN = re.compile(r"[A-Za-z0-9][\w.-]{0,60}")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9_]+(:[0-9]+)+(\.[0-9_]*)?")


def settings_from(document: Mapping[str, object], folder: Path) -> Settings:
    """The settings that plain data asks for; relative paths in it start at `folder`.

    Raises ConfigurationError with every fault.
    """
    settings, faults = check(document, folder)
    if settings is None:
        raise ConfigurationError(f"the configuration has {counted(faults)}", faults)
    return settings


def check(
    document: Mapping[str, object],
    folder: Path,
    places: Mapping[str, Place] = MappingProxyType({}),
    known_faults: Iterable[Fault] = (),
) -> tuple[Settings | None, tuple[Fault, ...]]:
    """As `settings_from`, but returns the faults, in the order of the document's `places`; None where any.

    `known_faults` were found in reading the document, and count.
    """
    faults = {fault.path: fault for fault in known_faults}
    twice = faults.keys() & keys().keys()
    unusable: dict[str, Fault] = {}
    sound = _structure("", document, unusable)
    context = {"folder": folder}
    bad = {*unusable, *twice}
    faults |= unusable
    try:
        checked = Schema.model_validate(sound, context=context)
    except ValidationError as error:
        for path, fault in _value_faults(error, sound, places):
            faults.setdefault(fault.path, fault)
            bad.add(path)
        checked = Schema.model_validate(_without(sound, bad), context=context)
    settings = made(lambda path: value_of(checked, path))
    for fault in _surprises(places):
        faults.setdefault(fault.path, fault)
    for rule in RULES:
        if not any(_touches(path, bad) for path in rule.reads):
            for fault in rule.faults(settings):
                faults.setdefault(fault.path, fault)
    ordered = sorted(faults.values(), key=lambda fault: _line(fault.path, places))
    return (None if faults else settings), tuple(ordered)


def counted(faults: tuple[Fault, ...]) -> str:
    """ "1 fault", "2 faults"."""
    return f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"


def _structure(section: str, given: Mapping[str, object], faults: dict[str, Fault]) -> dict[str, Any]:
    """The known keys of `given`, with every group present; unknown keys and broken groups become faults."""
    known = names_in(section)
    sound: dict[str, Any] = {name: {} for name in known if joined(section, name) in sections()}
    for key, value in given.items():
        path = joined(section, key_shown(key))
        if key not in known:
            where = f"in {section}" if section else "at the top"
            hint = (
                (colon_alone(section, key) or suggestion(section, key))
                if len(faults) < _MOST_SUGGESTIONS
                else "trapd schema lists the keys"
            )
            faults[path] = Fault(path, f"is not a known key {where}", hint)
        elif path not in sections():
            sound[key] = value
        elif isinstance(value, Mapping):
            sound[key] = _structure(path, value, faults)
        elif value is not None:  # a group with nothing under it means its defaults
            hint = colon_alone(path, value) or f"indent its keys below it: {', '.join(names_in(path)[:3])}, …"
            faults[path] = Fault(path, f"must be a group of keys, is {shown(value)}", hint)
    return sound


def _value_faults(
    error: ValidationError, sound: dict[str, Any], places: Mapping[str, Place]
) -> list[tuple[str, Fault]]:
    """Each fault with the key whose value cannot be used."""
    found = [_value_fault(detail, sound, places) for detail in error.errors(include_url=False)]
    # pydantic calls a list with one wrong item too short as well; the item is what is at fault.
    with_items = {path for path, fault in found if fault.path != path}
    return [(path, fault) for path, fault in found if fault.path != path or path not in with_items]


def _value_fault(
    detail: ErrorDetails, sound: dict[str, Any], places: Mapping[str, Place]
) -> tuple[str, Fault]:
    path, index = _key_of(detail["loc"])
    if detail["type"] == "missing":
        if index is None:
            return path, Fault(path, "is required", _example(path))
        index = None  # a list that is too short is at fault as a whole
    value = _at(sound, path)
    at = path
    if index is not None:
        value, at = value[index], f"{path}[{index}]"
    if detail["type"] == REFUSED:
        words = detail["ctx"]
        return path, Fault(at, words["message"], words["hint"])
    message = f"must be {expected_at(keys()[path], index)}{_instead(path, value)}"
    return path, Fault(at, message, _hint(path, index, value, places.get(at)))


def _instead(path: str, value: object) -> str:
    """What stands there, unless it may be a secret put in the wrong place."""
    hidden = path in NEVER_SHOWN or (isinstance(value, str) and "@" in value)
    return "" if hidden else f", is {shown(value)}"


def _key_of(location: tuple[int | str, ...]) -> tuple[str, int | None]:
    """The key pydantic speaks of, and the item of its list; what follows names parts of unions."""
    for length in range(1, len(location) + 1):
        path = ".".join(str(part) for part in location[:length])
        if path in keys():
            index = location[length] if length < len(location) else None
            return path, index if isinstance(index, int) else None
    raise AssertionError(f"pydantic names a place that is no key: {location}")


def _example(path: str) -> str:
    return f"for example {path.rpartition('.')[2]}: {REQUIRED[path]}"


def _hint(path: str, index: int | None, value: object, place: Place | None) -> str:
    """What to do, where the value is not of the type it looks like."""
    if value is None:
        return _example(path) if path in REQUIRED else "leave the key out for its default"
    text = place.text if place else None
    if index is None and (as_list := _as_list(path, value)):
        return as_list
    if _accepts_text(path, index):
        if text and isinstance(value, bool | int | float | datetime.date):
            reading = shown(value) if shown(value) != text else "a number"
            return f"YAML reads {printable(text)} as {reading}: put it in quotes"
        return respelt(path, value) if isinstance(value, str) and "@" not in value else ""
    if isinstance(value, str):
        return nearest_choice(keys()[path], value) or _as_number(value, text)
    return ""


def _as_list(path: str, value: object) -> str:
    """How one value, or some with commas, is written where a list belongs; else empty."""
    annotation = keys()[path].annotation
    if path in NEVER_SHOWN or get_origin(annotation) is not tuple or get_args(annotation)[-1] is not Ellipsis:
        return ""
    member = get_args(annotation)[0]
    items = [item.strip() for item in value.split(",")] if isinstance(value, str) else [str(value)]
    if get_origin(member) is Literal:
        fits = set(items) <= set(get_args(member))
    elif _takes_text(member):
        fits = isinstance(value, str) and all(_PLAIN.fullmatch(item) for item in items)
    else:
        fits = isinstance(value, int) and not isinstance(value, bool)
    return f"write [{', '.join(items)}]" if fits else ""


def _as_number(value: str, text: str | None) -> str:
    try:
        number = float(value)
    except ValueError:
        return "write a point for the comma" if _DECIMAL_COMMA.fullmatch(value) else ""
    if not isfinite(number):
        return ""
    return f"YAML reads {printable(text)} as text: write {number:.15g}" if text else "remove the quotes"


def _accepts_text(path: str, index: int | None) -> bool:
    annotation = keys()[path].annotation
    if index is None:
        return _takes_text(annotation)
    # A list may stand where one value belongs: that is told as a fault of its own.
    members = get_args(annotation)
    return _takes_text(members[0]) if members else False


def _takes_text(annotation: object) -> bool:
    if get_origin(annotation) is tuple:
        return False
    return annotation in (str, Path) or any(_takes_text(part) for part in get_args(annotation))


def _surprises(places: Mapping[str, Place]) -> Iterator[Fault]:
    """Numbers that YAML reads in base 8 or 60, where a person reads base 10."""
    for path, place in places.items():
        key, bracket, _ = path.partition("[")
        text = place.text or ""
        if key not in keys() or _accepts_text(key, 0 if bracket else None):
            continue
        if _OCTAL.fullmatch(text):
            decimal = int(text.replace("_", ""), 10)
            yield Fault(path, f"is written {printable(text)}, which YAML reads in base 8", f"write {decimal}")
        elif _SEXAGESIMAL.fullmatch(text):
            yield Fault(
                path, f"is written {printable(text)}, which YAML reads in base 60", "write a plain number"
            )


def _without(sound: dict[str, Any], bad: set[str]) -> dict[str, Any]:
    """`sound` less the bad keys, with examples for what is required."""

    def pruned(section: str, given: dict[str, Any]) -> dict[str, Any]:
        kept = {}
        for key, value in given.items():
            path = joined(section, key)
            if path not in bad:
                kept[key] = pruned(path, value) if path in sections() else value
        return kept

    whole = pruned("", sound)
    for path, example in REQUIRED.items():
        section, _, key = path.rpartition(".")
        whole.setdefault(section, {}).setdefault(key, example)
    return whole


def _at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document[name]
    return document


def _touches(path: str, bad: set[str]) -> bool:
    return any(path == other or path.startswith(f"{other}.") for other in bad)


def _line(path: str, places: Mapping[str, Place]) -> int:
    """The line a fault belongs to; that of the nearest group where the key itself is missing."""
    while path and path not in places:
        path = path.rpartition("[" if path.endswith("]") else ".")[0]
    return places[path].line if path in places else 0
