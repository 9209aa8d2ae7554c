"""docs/operating.md as a test reads it: its blocks in order, and whether what is heard is as promised."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating.md"
ANY = "…"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from run to run: only its type is promised.
_ONLY_BY_TYPE = frozenset({"ts", "ts_quality", "mono_ms", "epoch", "id", "bytes", "sha256", "chunks"})


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `kind` stands behind its fence."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something to run, and what the listening terminal shows then: topics with payloads."""

    kind: str
    script: str
    promised: tuple[tuple[str, dict[str, Any]], ...] = ()


def blocks(kind: str | None = None) -> list[Block]:
    """Those of the page, or of one kind, in order."""
    found = [Block(*match.groups()) for match in _BLOCK.finditer(PAGE.read_text("utf-8"))]
    return [block for block in found if kind in (None, block.kind)]


def steps() -> Iterator[Step]:
    """Everything that can be run, in the order of the page."""
    all_blocks = blocks()
    for block, following in zip(all_blocks, [*all_blocks[1:], None], strict=True):
        if block.kind in ("sh", "rr"):
            heard = following.text if following is not None and following.kind == "heard" else ""
            yield Step(block.kind, block.text, tuple(_promised(heard)))


def tables() -> dict[str, list[list[str]]]:
    """Under each heading, the rows of its table without the first, cell by cell."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("| ") and not line.startswith("|---"):
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return {heading: rows[1:] for heading, rows in found.items()}


def in_code(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def fits(promised: Any, heard: Any, key: str = "") -> bool:
    """Whether a message is what the page promises.

    `…` stands for anything; beside it an object may hold more. Of what differs from run to run only the type
    counts.
    """
    if promised == ANY:
        return True
    if isinstance(promised, dict):
        if not isinstance(heard, dict) or (ANY not in promised and promised.keys() != heard.keys()):
            return False
        return all(
            name in heard and fits(promised[name], heard[name], name) for name in promised.keys() - {ANY}
        )
    if isinstance(promised, list) and len(promised) == 1:
        return isinstance(heard, list) and len(heard) > 0 and all(fits(promised[0], item) for item in heard)
    if isinstance(promised, str) and promised.endswith(ANY):
        return isinstance(heard, str) and heard.startswith(promised[:-1])
    if key in _ONLY_BY_TYPE:
        return type(promised) is type(heard)
    return type(promised) is type(heard) and promised == heard


def _promised(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in text.splitlines():
        topic, _, payload = line.partition(" ")
        yield topic, json.loads(payload)
