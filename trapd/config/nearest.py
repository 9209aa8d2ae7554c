"""What an unknown key was probably meant to be.

Pure; called for every unknown key of a configuration and for every unknown name in remote.locked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from trapd.config.schema import keys, sections
from trapd.settings.text import joined

LIKE = 0.6  # share of characters in common from which a spelling is taken for another's misspelling
VERY_LIKE = 0.8

_NAMES = ("unit.id", "unit.station", "unit.groups")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{2,31}")
_OTHERWISE = re.compile(r"[^a-z0-9_-]+")
_ADDRESS = re.compile(r"[a-z]+://([^\s/:@\[\]]+)(?::\d+)?/?")


def names_in(section: str) -> list[str]:
    """The keys and groups that may stand directly in `section`."""
    return list(sections()[section].model_fields)


def suggestion(section: str, key: str) -> str:
    """A hint for `key`, which may not stand in `section`: a question, a place, or the list of what may."""
    everything = [*keys(), *(path for path in sections() if path)]
    if key in everything:
        return f"{key} is written as nested groups, not with dots"
    siblings = names_in(section)
    name, likeness = _closest(key, siblings)
    if likeness >= VERY_LIKE:
        return f"did you mean {joined(section, name)}?"
    elsewhere = [path for path in everything if path.rpartition(".")[2] == key.lower()]
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere)}?"
    if likeness >= LIKE:
        return f"did you mean {joined(section, name)}?"
    path, likeness = _closest(key, everything, last_part=True)
    if likeness >= VERY_LIKE:
        return f"did you mean {path}?"
    return f"valid here: {', '.join(siblings)}"


def colon_alone(section: str, text: object) -> str:
    """A hint for `key:value`, which YAML takes for one word; empty for all else. The value is not shown."""
    key, colon, _ = text.partition(":") if isinstance(text, str) else ("", "", "")
    return f"a space belongs behind the colon: {key}: …" if colon and key in names_in(section) else ""


def suggested_path(path: str) -> str:
    """A hint for a dotted path that names no key."""
    near, likeness = _closest(path, [*keys(), *(name for name in sections() if name)])
    return f"did you mean {near}?" if likeness >= LIKE else "trapd schema lists the keys"


def respelt(path: str, value: str) -> str:
    """A hint for a name or an address that would do in another spelling; else empty."""
    if path == "mqtt.host":
        found = _ADDRESS.fullmatch(value)
        return f"write {found[1]}" if found else ""
    if path not in _NAMES:
        return ""
    name = _OTHERWISE.sub("-", value.lower()).strip("-_")[:32]
    return f"write {name}" if _NAME.fullmatch(name) else ""


def nearest_choice(field: FieldInfo, value: str) -> str:
    """A hint for `value`, which is none of the words the key may be; empty where none is near."""
    words = [word for word in _words(field.annotation) if isinstance(word, str)]
    if not words:
        return ""
    word, likeness = _closest(value, words)
    return f"did you mean {word}?" if likeness >= LIKE else ""


def _words(annotation: object) -> Iterator[object]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for part in get_args(annotation):
            yield from _words(part)


def _closest(wanted: str, names: list[str], *, last_part: bool = False) -> tuple[str, float]:
    matcher = SequenceMatcher(b=wanted.lower()[:80])

    def likeness(name: str) -> float:
        matcher.set_seq1(name.rpartition(".")[2] if last_part else name)
        # Both are bounds from above, and cost a hundredth.
        if matcher.real_quick_ratio() < LIKE or matcher.quick_ratio() < LIKE:
            return 0.0
        return matcher.ratio()

    best = max(names, key=likeness)
    return best, likeness(best)
