"""What somebody wrote, as it may be shown: on one line, printable and short, for it may be hostile. Pure."""

from __future__ import annotations

import datetime
import re

LONGEST = 60  # characters of a quoted value


def shown(value: object) -> str:  # noqa: PLR0911 - one sentence for each type
    """What stands there, to follow "is"."""
    match value:
        case None:
            return "empty"
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{printable(value)}'"
        case dict():
            return "a group of keys"
        case list() | tuple():
            return f"a list of {len(value)}"
        case datetime.date():
            return f"the date {value.isoformat()}"
        case int() if value.bit_length() > 200:
            return "a number of more than 60 digits"
    return printable(repr(value))


def printable(text: str) -> str:
    """`text` on one line of at most 60 characters, with everything unprintable escaped."""
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def key_shown(key: str) -> str:
    """One key as part of a path; anything but a plain word in quotes."""
    return key if re.fullmatch(r"[\w-]{1,60}", key) else f'"{printable(key)}"'


def joined(*parts: str) -> str:
    """A dotted path of the parts that are not empty."""
    return ".".join(part for part in parts if part)
