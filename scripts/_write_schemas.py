"""Writes docs/schemas: one file for each schema, and none that is no more. Run by scripts/schemas."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from trapd.wire import schemas

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"


def main() -> int:
    """Write every file, and say how many."""
    FOLDER.mkdir(exist_ok=True)
    texts = {f"{name}.json": schema for name, schema in schemas.documents().items()}
    for old in FOLDER.glob("*.json"):
        if old.name not in texts:
            old.unlink()
    for name, schema in texts.items():
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        (FOLDER / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(texts)} schemas in docs/schemas\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
