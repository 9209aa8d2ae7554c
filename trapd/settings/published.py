"""The configuration's JSON Schema as the unit publishes it: made ahead by scripts/schemas. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).resolve().parent.parent / "data" / "config_schema.json"


def schema_text() -> bytes:
    """One line of JSON: what `trapd schema` prints."""
    return FILE.read_bytes()
