"""What an unknown field of a payload was probably meant to be. Pure; any thread."""

from __future__ import annotations

from collections.abc import Iterable

_LIKE = 0.6  # share of characters in common
_LONGEST = 40


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the field that is meant, or those that there are."""
    from difflib import get_close_matches  # nobody needs it before somebody has misspelt something

    there = sorted(known)
    found = get_close_matches(name.lower(), there, n=1, cutoff=_LIKE) if len(name) <= _LONGEST else []
    return f"did you mean {found[0]}?" if found else f"there are {', '.join(there)}"
