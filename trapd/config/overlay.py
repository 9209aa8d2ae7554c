"""A configuration from afar over the local one: merged, compared, and told without what is nobody's business.

Pure; called by `trapd.remote`. What may never be changed from afar is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

from trapd.config.schema import Settings, keys, value_of
from trapd.errors import Fault

ROTATED = "remote.trusted_keys"
"""Changed by a document that a key of the present list has signed, and by no other."""

_NEVER = frozenset(
    {
        "unit.id", "sensor.backend", "camera.backend", "mqtt.tls.enabled", "remote.enabled",
        "remote.require_signature", "remote.allow_plaintext", "remote.locked", ROTATED,
    }
)  # fmt: skip
_HIDDEN = frozenset({"unit.latitude", "unit.longitude", "mqtt.password_file", "mqtt.username"})
_IN_PLACE_OF_HIDDEN = "(hidden)"


def merged(local: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`local` with what `over` says in its place, group by group; lists and values are replaced whole."""
    result = dict(local)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(value, Mapping) and (below is None or isinstance(below, Mapping)):
            result[key] = merged(below or {}, value)
        else:
            result[key] = value
    return result


def patched(target: Any, patch: Any) -> Any:
    """`target` after a merge patch (RFC 7396): null removes, objects go group by group, all else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result


@cache
def never_from_afar() -> tuple[str, ...]:
    """The keys that no document changes: who the unit is, where its files are, and who may change it."""
    return tuple(path for path, key in keys().items() if path in _NEVER or _holds_a_path(key.annotation))


def locked(settings: Settings) -> tuple[str, ...]:
    """All keys that cannot be changed from afar, those that `remote.locked` names included."""
    named = settings.remote.locked
    return tuple(
        path
        for path in keys()
        if path in never_from_afar() or any(path == name or path.startswith(f"{name}.") for name in named)
    )


def refused_changes(present: Settings, wanted: Settings, *, may_rotate: bool) -> tuple[Fault, ...]:
    """Each locked key that `wanted` would change. Repeating a value is no change."""
    return tuple(
        Fault(path, "cannot be changed from afar", _why(path))
        for path in locked(present)
        if value_of(wanted, path) != value_of(present, path) and not (path == ROTATED and may_rotate)
    )


def redacted(doc: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`doc` as it may be published: without the place, the user name, and where the password is."""
    shown: dict[str, Any] = {}
    for key, value in doc.items():
        path = f"{prefix}{key}"
        if path in _HIDDEN and value is not None:
            shown[key] = _IN_PLACE_OF_HIDDEN
        else:
            shown[key] = redacted(value, f"{path}.") if isinstance(value, Mapping) else value
    return shown


def _holds_a_path(annotation: object) -> bool:
    return annotation is Path or any(_holds_a_path(part) for part in get_args(annotation))


def _why(path: str) -> str:
    if path == ROTATED:
        return "a change of keys must be signed by a key of the present list"
    if path in never_from_afar():
        return "it is set in the local file alone"
    return "it is named in remote.locked of the local file"
