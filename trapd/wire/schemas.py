"""The JSON Schemas of all that goes over MQTT, by name; `docs/schemas` holds them as files. Pure.

For who writes a receiver or an operator's tool. What the unit writes may get further fields in a later
version; what the operator writes may not have any.
"""

from __future__ import annotations

from typing import Any

from trapd.frozen import Frozen
from trapd.wire import shapes as s
from trapd.wire import shapes_operator as o
from trapd.wire.shape import DIALECT, closed, schema_of
from trapd.wire.shapes_state import Flat, State

PUBLISHED: dict[str, Any] = {
    "birth": s.Birth,
    "state": State,
    "alert": s.Alert,
    "event": s.Event,
    "tombstone": s.Tombstone,
    "lost": s.LostFile,
    "clock": s.ClockOffset,
    "manifest": s.Manifest,
    "reported": s.Reported,
    "trail": s.Trail | s.TrailMore,
    "answer": s.Answer,
}
"""What the unit writes."""

WRITTEN: dict[str, Any] = {"desired": o.Desired, "receipt": o.ReceiptOfIds | o.ReceiptUpTo}
"""What the operator writes, but for commands."""


class Command(Frozen):
    """The types of a command's `args` and of its answer's `data`."""

    args: Any
    data: Any


COMMANDS: dict[str, Command] = {
    "ping": Command(o.NoArgs, s.Pong),
    "capture": Command(o.NoArgs, s.Captured),
    "status": Command(o.NoArgs, s.Status),
    "media_get": Command(o.MediaGet, s.Fetching),
    "config_patch": Command(o.ConfigPatch, s.Considered),
    "config_confirm": Command(o.ConfigConfirm, s.Considered),
    "config_rollback": Command(o.NoArgs, s.Considered),
    "arm": Command(o.NoArgs, s.Armed),
    "disarm": Command(o.NoArgs, s.Armed),
    "rebirth": Command(o.NoArgs, s.Nothing),
    "reboot": Command(o.NoArgs, s.Nothing),
}

_OTHERS = {State: Flat, s.Status: Flat}
_ON_LEAVES = {"config/reported": "reported", "config/desired": "desired"}
_BY_LEAF = frozenset({"birth", "state", "event", "clock", "trail", "receipt"})


def documents() -> dict[str, dict[str, Any]]:
    """Every schema, by the name of its file without `.json`."""
    found = {name: _titled(name, schema_of(shape, _OTHERS)) for name, shape in PUBLISHED.items()}
    found |= {name: _titled(name, closed(schema_of(shape))) for name, shape in WRITTEN.items()}
    for name, command in COMMANDS.items():
        found[f"cmd-{name}"] = _titled(f"cmd-{name}", closed(_request(command)))
        found[f"res-{name}"] = _titled(f"res-{name}", _answer(command))
    return found


def name_of(leaf: str) -> str | None:
    """Which schema describes a payload on `leaf`; None for what is no JSON, and for `config/schema`.

    On `event` come tombstones as well, and on `thumb/…` and `media/…/manifest` what is `lost`: they say so.
    """
    match leaf.split("/"):
        case ["alert", _]:
            return "alert"
        case ["media", _, "manifest"]:
            return "manifest"
        case ["cmd" | "res" as way, command] if command in COMMANDS:
            return f"{way}-{command}"
        case ["res", _]:
            return "answer"
    return leaf if leaf in _BY_LEAF else _ON_LEAVES.get(leaf)


def _request(command: Command) -> dict[str, Any]:
    schema = schema_of(o.Request)
    args = schema_of(command.args)
    schema["properties"]["args"] = args
    if "required" in args:
        schema["required"].append("args")
    return schema


def _answer(command: Command) -> dict[str, Any]:
    schema = schema_of(s.Answer)
    schema["properties"]["data"] = {"anyOf": [schema_of(command.data, _OTHERS), {"type": "null"}]}
    return schema


def _titled(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": DIALECT, "title": f"trapd {name}", **schema}
