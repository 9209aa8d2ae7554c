"""The errors are drawn as a tree, for whoever looks for the one to raise or to catch."""

from __future__ import annotations

import re

from trapd import errors


def _drawn(kind: type[Exception]) -> list[tuple[str, int]]:
    """Each error below `kind` with its depth, depth first."""
    found = []
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            found += [(each.__name__, 1), *((name, depth + 1) for name, depth in _drawn(each))]
    return found


def test_the_tree_shows_each_error_below_the_one_it_is_a_kind_of() -> None:
    lines = re.findall(r"^([ |]+)\+-- (\w+)", errors.__doc__ or "", re.MULTILINE)
    assert [(name, (len(indent) + 4) // 5) for indent, name in lines] == _drawn(errors.TrapdError)
