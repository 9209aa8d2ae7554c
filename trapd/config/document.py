"""YAML text to plain data, with the place of every value.

As `yaml.safe_load`, but: a key written twice is a fault, and the last one does not win; keys are text; only
the tags of plain scalars are known; depth and aliases are bounded, so that a small file cannot become a large
document. Called by `trapd.config.load`; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from trapd.errors import ConfigurationError, Fault
from trapd.frozen import Frozen
from trapd.settings.text import joined, key_shown, printable

MAX_DEPTH = 20
MAX_ALIASES = 20
MAX_VALUES = 20_000  # with every alias written out

# libyaml's parser is ten times faster; where it is missing, the one in Python gives the same events.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(_TAG + kind for kind in ("null", "bool", "int", "float", "str", "timestamp"))
_COLLECTIONS = frozenset({None, "!", _TAG + "map", _TAG + "seq"})


class Place(Frozen):
    """Where a value stands: its line, counted from 1, and for a plain scalar its text as written."""

    line: int
    text: str | None = None


class Document(Frozen):
    """What the text says. `places` is keyed by fault path; `faults` are the keys written twice."""

    data: object
    places: dict[str, Place]
    faults: tuple[Fault, ...]


def read(text: str) -> Document:
    """Parse one YAML document; None where there is none. Raises ConfigurationError where it is no YAML."""
    loader = None
    try:
        loader = LOADER(text)
        return _Builder(loader).build()
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in (error.problem or ""):  # libyaml's own limit, met while it looks ahead
            raise too_deep(error.problem_mark.line + 1 if error.problem_mark else 1) from None
        raise syntax_error(error, text) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise unreadable(
            line, "there is a control character", "remove it; text editors do not show it"
        ) from None
    finally:
        if loader is not None:
            loader.dispose()


def unreadable(line: int, message: str, hint: str, column: int | None = None) -> ConfigurationError:
    """The one fault of a text that is no YAML document."""
    where = f"line {line}" if column is None else f"line {line}, column {column}"
    fault = Fault("", f"{where}: {message}", hint)
    return ConfigurationError("the configuration cannot be read as YAML", (fault,))


def too_deep(line: int) -> ConfigurationError:
    """The one fault of a text that nests without an end."""
    return unreadable(line, f"more than {MAX_DEPTH} groups or lists within each other", "")


def syntax_error(error: yaml.MarkedYAMLError, text: str) -> ConfigurationError:
    """The parser's complaint in plain words, without quoting the file: it may hold a secret."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return unreadable(1, "this is not YAML", "")
    problem, context = error.problem or "", error.context or ""
    lines = text.splitlines()
    begun = error.context_mark or mark
    if mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
        said, hint = "a tab cannot stand here", "indent with spaces"
    elif "unexpected end of stream" in problem:
        mark, said, hint = begun, "a quote is opened and never closed", "close it on the same line"
    elif "flow sequence" in context or "flow mapping" in context:
        mark, said, hint = (
            begun,
            "a bracket is opened and not closed, or a comma is missing",
            "write [1, 2] or {a: 1}",
        )
    elif "values are not allowed" in problem:
        said, hint = "a ':' is not expected here", "check the indent, or put text that holds ': ' into quotes"
    elif "entries are not allowed" in problem:
        said, hint = "a list item '-' is not expected here", "begin the list on a line of its own"
    elif "expected ':'" in problem:
        mark, said, hint = begun, "a key without ':'", "write key: value"
    elif "block mapping" in context or "block collection" in context:
        said, hint = "this does not fit the lines above", "the keys of one group begin in the same column"
    elif "cannot start any token" in problem:
        said, hint = "a value cannot begin with this character", "put the value into quotes"
    elif "escape" in problem:
        said, hint = "a backslash within double quotes", "use single quotes"
    elif "node content" in problem:
        said, hint = "a value is missing here, or a bracket is one too many", ""
    else:
        # Up to the first quote: what follows may be a piece of the file.
        said, hint = printable(problem.partition("'")[0].strip()), ""
    return unreadable(mark.line + 1, said, hint, mark.column + 1)


@dataclass(slots=True)
class _Open:
    """A list or a group of keys that is not complete yet."""

    value: list[object] | dict[str, object]
    path: str
    anchor: str | None
    before: int  # values seen before it
    key: str | None = None
    lines: dict[str, int] = field(default_factory=dict)  # of each key


class _Builder:
    """Puts a document together from parser events, without recursion."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._open: list[_Open] = []
        self._root: object = None
        self._places: dict[str, Place] = {}
        self._faults: list[Fault] = []
        self._anchors: dict[str, tuple[object, int]] = {}  # the value, and how many values it holds
        self._aliases = 0
        self._values = 0

    def build(self) -> Document:
        documents = 0
        while self._loader.check_event():
            event = self._loader.get_event()
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise unreadable(line, "a second document begins", "remove the line ---")
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()
            elif isinstance(event, yaml.NodeEvent):
                self._node(event, line)
        return Document(self._root, self._places, tuple(self._faults))

    def _node(self, event: Any, line: int) -> None:
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._key(top, event, line)
            return
        self._values += 1
        path = self._path()
        if path not in self._places:  # of a key written twice, the first counts
            plain = isinstance(event, yaml.ScalarEvent) and not event.style
            self._places[path] = Place(line, event.value if plain else None)
        if isinstance(event, yaml.AliasEvent):
            self._add(self._alias(str(event.anchor), line))
        elif isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, line)
            if event.anchor:
                self._anchors[event.anchor] = (value, 1)
            self._add(value)
        else:
            self._begin(event, path, line)
        if self._values > MAX_VALUES:
            raise unreadable(line, f"more than {MAX_VALUES} values, aliases written out", "")

    def _path(self) -> str:
        if not self._open:
            return ""
        top = self._open[-1]
        if isinstance(top.value, list):
            return f"{top.path}[{len(top.value)}]"
        return joined(top.path, key_shown(top.key or ""))

    def _key(self, top: _Open, event: Any, line: int) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise unreadable(
                line, "a key must be plain text", "put text that begins with [, {, & or * into quotes"
            )
        key = str(event.value)
        top.key = key
        if key in top.lines:
            first = top.lines[key]
            where = f"on line {line}" if first == line else f"on line {first} and on line {line}"
            message = f"is written twice, {where}"
            self._faults.append(Fault(self._path(), message, "keep one of them"))
        top.lines.setdefault(key, line)

    def _begin(self, event: Any, path: str, line: int) -> None:
        if event.tag not in _COLLECTIONS:
            raise unreadable(line, "a tag (!) is not used in this file", "remove it")
        if len(self._open) >= MAX_DEPTH:
            raise too_deep(line)
        empty: list[object] | dict[str, object] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._open.append(_Open(empty, path, event.anchor, self._values - 1))

    def _close(self) -> None:
        done = self._open.pop()
        if done.anchor:
            self._anchors[done.anchor] = (done.value, self._values - done.before)
        self._add(done.value)

    def _add(self, value: object) -> None:
        if not self._open:
            self._root = value
            return
        top = self._open[-1]
        if isinstance(top.value, list):
            top.value.append(value)
            return
        first = top.value.setdefault(str(top.key), value)
        if first is not value and isinstance(first, dict) and isinstance(value, dict):
            # A group written twice: already a fault, but what stands in its second half is checked too.
            first.update({key: below for key, below in value.items() if key not in first})
        top.key = None

    def _alias(self, anchor: str, line: int) -> object:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise unreadable(line, f"more than {MAX_ALIASES} aliases (*)", "write the values out")
        if any(part.anchor == anchor for part in self._open):
            raise unreadable(line, "an alias (*) stands within what it names", "write the value out")
        if anchor not in self._anchors:
            raise unreadable(line, "an alias (*) names nothing above it", "write the value out, or in quotes")
        value, values = self._anchors[anchor]
        self._values += values - 1
        return value

    def _scalar(self, event: Any, line: int) -> object:
        tag = event.tag
        if tag in (None, "!"):
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
            if tag not in _SCALARS:  # << and =, which mean nothing here
                return event.value
        if tag not in _SCALARS:
            raise unreadable(line, "a tag (!) is not used in this file", "remove it")
        node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
        try:
            return self._loader.construct_object(node)
        except (ValueError, ArithmeticError, LookupError, AttributeError):
            # Looks like a date or a number and is none (2026-13-45, !!int x): it stays the text that it is.
            return event.value
