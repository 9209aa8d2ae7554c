"""YAML becomes plain data with places, or one clear sentence; no text is too hostile to read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from trapd.config import document
from trapd.errors import ConfigurationError, Fault


@pytest.fixture(autouse=True, params=["CSafeLoader", "SafeLoader"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything holds with libyaml's parser and with the one in Python."""
    if not hasattr(yaml, request.param):
        pytest.skip("this PyYAML was built without libyaml")
    monkeypatch.setattr(document, "LOADER", getattr(yaml, request.param))
    yield


def fault(text: str) -> Fault:
    with pytest.raises(ConfigurationError) as caught:
        document.read(text)
    [only] = caught.value.faults
    return only


NOT_YAML = [
    ("a:\n\tb: 1", "line 2, column 1: a tab cannot stand here", "indent with spaces"),
    ("a: b: c", "line 1, column 5: a ':' is not expected here",
     "check the indent, or put text that holds ': ' into quotes"),
    ("b: 1\na: 'x\n\n", "line 2, column 4: a quote is opened and never closed", "close it on the same line"),
    ("a: [1, 2\n", "line 1, column 4: a bracket is opened and not closed, or a comma is missing",
     "write [1, 2] or {a: 1}"),
    ("a: {b: 1", "line 1, column 4: a bracket is opened and not closed, or a comma is missing",
     "write [1, 2] or {a: 1}"),
    ("a:\n  b: 1\n c: 2", "line 3, column 2: this does not fit the lines above",
     "the keys of one group begin in the same column"),
    ("a: 1\nb\n", "line 2, column 1: a key without ':'", "write key: value"),
    ("a: @x", "line 1, column 4: a value cannot begin with this character", "put the value into quotes"),
    ("a: - b", "line 1, column 4: a list item '-' is not expected here",
     "begin the list on a line of its own"),
    ("a: 1\n---\nb: 2", "line 2: a second document begins", "remove the line ---"),
    ("a: 1\nb: \x01", "line 2: there is a control character", "remove it; text editors do not show it"),
    ("a: ]", "line 1, column 4: a value is missing here, or a bracket is one too many", ""),
    ("a: !!python/object:os.system x", "line 1: a tag (!) is not used in this file", "remove it"),
    ("a: !!set {x}", "line 1: a tag (!) is not used in this file", "remove it"),
    ("? [a]\n: b", "line 1: a key must be plain text", "put text that begins with [, {, & or * into quotes"),
    ("a: *x", "line 1: an alias (*) names nothing above it", "write the value out, or in quotes"),
    ("&a [*a]", "line 1: an alias (*) stands within what it names", "write the value out"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "hint"), NOT_YAML)
def test_what_is_no_yaml_is_told_with_its_line(text: str, message: str, hint: str) -> None:
    """Line and column, in words that need no YAML specification."""
    assert fault(text) == Fault("", message, hint)


def test_no_piece_of_the_file_is_repeated() -> None:
    """A line that cannot be read may hold a password."""
    lines = (
        "a: !hunter2!x y",
        "a: *hunter2",
        'a: "hunter2\\q"',
        "a: [hunter2",
        "a: |hunter2",
        "a: hunter2: x",
    )
    for text in lines:
        assert "hunter2" not in repr(fault(text))


def test_data_is_what_safe_load_gives() -> None:
    """Lists, groups, numbers, dates, text in every style, aliases, and an explicit tag of a scalar."""
    text = """\
a: [1, 2.5, yes, ~, 2026-11-22, "x", 'y', 0x10, 1_000]
b:
  - c: {d: e}
  - |
    two
    lines
f: !!str 12
g: &g [1, 2]
h: *g
"""
    assert document.read(text).data == yaml.safe_load(text)


def test_no_document_is_none() -> None:
    """An empty file, or one of comments."""
    assert document.read("").data is None
    assert document.read("# nothing\n").data is None


def test_keys_are_text() -> None:
    """What YAML would make true, a number or nothing of, is the key as written."""
    assert document.read("no: 1\n17: 2\n~: 3\n<<: 4").data == {"no": 1, "17": 2, "~": 3, "<<": 4}


def test_what_only_looks_like_a_date_or_a_number_is_text() -> None:
    """Where YAML's own reading fails, the text stays."""
    digits = "9" * 5000
    read = document.read(f"a: 2026-13-45\nb: {digits}\nc: !!int x\nd: !!bool maybe\ne: !!timestamp y")
    assert read.data == {"a": "2026-13-45", "b": digits, "c": "x", "d": "maybe", "e": "y"}


def test_places_have_line_and_text() -> None:
    """By fault path; a quoted scalar has no text, for YAML reads nothing into it."""
    places = document.read("a:\n  b: [017,\n    'x']\n'c d': yes").places
    assert places["a"] == document.Place(2)
    assert places["a.b[0]"] == document.Place(2, "017")
    assert places["a.b[1]"] == document.Place(3)
    assert places['"c d"'] == document.Place(4, "yes")


def test_a_key_written_twice_on_one_line() -> None:
    assert document.read("a: {b: 1, b: 2}\n").faults == (
        Fault("a.b", "is written twice, on line 1", "keep one of them"),
    )


def test_every_key_written_twice_is_named() -> None:
    """With both lines; the first counts, and a group's second half is still looked at."""
    read = document.read("a: 1\nb: {c: 1}\na: 2\nb: {d: 2, c: 3}\n'a': 4")
    assert read.faults == (
        Fault("a", "is written twice, on line 1 and on line 3", "keep one of them"),
        Fault("b", "is written twice, on line 2 and on line 4", "keep one of them"),
        Fault("a", "is written twice, on line 1 and on line 5", "keep one of them"),
    )
    assert read.data == {"a": 1, "b": {"c": 1, "d": 2}}


def test_depth_is_bounded() -> None:
    """A hundred thousand brackets end early, not the stack."""
    message = "line 1: more than 20 groups or lists within each other"
    assert fault("[" * 100_000).message == message
    assert fault("{a: " * 50_000).message == message
    assert document.read("[" * 20 + "]" * 20).data is not None


def test_aliases_are_bounded() -> None:
    """A laugh of nine by nine stops at the twentieth alias, a doubling one at its values."""
    laughs = ["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10))]
    assert fault("\n".join(laughs)).message == "line 4: more than 20 aliases (*)"
    doubling = [f"a0: &a0 [{'x, ' * 50}]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 11))]
    assert fault("\n".join(doubling)).message == "line 9: more than 20000 values, aliases written out"
