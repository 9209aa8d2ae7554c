"""The short form of what an operator has to know of a configuration, where the whole does not go. Pure.

Faults go first: some of them tell what to do, and fifty do not tell more. Then the document, which whoever
sent it has, and its hash tells which it is.
"""

from __future__ import annotations

import json
from typing import Any

_FAULTS = 3
_LEFT_OUT = ("doc", "locked")


def shortened(payload: bytes, most_bytes: int) -> bytes:
    """Of `config/reported`, or of an answer to such a command; the shortest where none fits."""
    found: dict[str, Any] = json.loads(payload)
    of_them = found.get("last_attempt") or found.get("data") or {}
    errors = of_them.get("errors", [])
    if len(errors) > _FAULTS:
        more = {"path": "", "message": f"there are {len(errors) - _FAULTS} faults more", "hint": ""}
        of_them["errors"] = [*errors[:_FAULTS], more]
    if len(_text(found)) > most_bytes:
        found = {name: value for name, value in found.items() if name not in _LEFT_OUT}
    return _text(found)


def _text(found: dict[str, Any]) -> bytes:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
