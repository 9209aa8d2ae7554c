"""Writes docs/schemas, one file for each and none that is no more, docs/asyncapi.json, and the schema of the
configuration as units publish it.

Run by scripts/schemas.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from trapd import __version__
from trapd.config import json_schema
from trapd.settings.published import FILE
from trapd.wire import asyncapi, schemas

DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> int:
    """Write every file, and say how many."""
    folder = DOCS / "schemas"
    folder.mkdir(exist_ok=True)
    texts = {f"{name}.json": schema for name, schema in schemas.documents().items()}
    for old in folder.glob("*.json"):
        if old.name not in texts:
            old.unlink()
    for name, schema in texts.items():
        write(folder / name, schema)
    write(DOCS / "asyncapi.json", asyncapi.document(__version__))
    FILE.write_text(json.dumps(json_schema(), separators=(",", ":")), encoding="utf-8")
    sys.stdout.write(f"{len(texts)} schemas in docs/schemas, docs/asyncapi.json, and {FILE.name}\n")
    return 0


def write(file: Path, document: Any) -> None:
    """As a person would read it."""
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
