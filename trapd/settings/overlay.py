"""A configuration from afar over the local one: merged, compared, and told without what is nobody's business.

Pure; called by `trapd.remote`. What may never be changed from afar is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from trapd.errors import Fault
from trapd.settings.values import LOCKED_BY_DEFAULT, PATHS, Settings, key_paths, value_of

# Faults may be published: where exactly the unit hangs is for poachers as good as a map, and what stands as a
# user name or a key's file may be a password in the wrong place.
NEVER_SHOWN = frozenset(
    {
        "unit.latitude",
        "unit.longitude",
        "mqtt.username",
        "mqtt.password_file",
        "mqtt.tls.key_file",
        "remote.trusted_keys",
    }
)

ROTATED = "remote.trusted_keys"
"""Changed by a document that a key of the present list has signed, and by no other."""

_NEVER = frozenset(
    {
        "unit.id", "sensor.backend", "camera.backend", "mqtt.tls.enabled", "remote.enabled",
        "remote.require_signature", "remote.allow_plaintext", "remote.locked", ROTATED,
    }
)  # fmt: skip
_HIDDEN = NEVER_SHOWN - {ROTATED}
_IN_PLACE_OF_HIDDEN = "(hidden)"


def merged(local: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`local` with what `over` says in its place, group by group; lists and values are replaced whole.

    A group with nothing under it says nothing.
    """
    result = dict(local)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(value, Mapping) and (below is None or isinstance(below, Mapping)):
            result[key] = merged(below or {}, value)
        elif value is not None or not isinstance(below, Mapping):
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
    return tuple(path for path in key_paths() if path in _NEVER or path in PATHS)


def locked(settings: Settings) -> tuple[str, ...]:
    """All keys that cannot be changed from afar, those that `remote.locked` names included."""
    named = settings.remote.locked
    return tuple(path for path in key_paths() if path in never_from_afar() or _is_named(path, named))


def unlocked(local: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """What of `over` counts with this local file: all but the locked keys, which the local file alone says.

    A document repeats them as they were when it was sent; the local file may have been changed since, by
    somebody who stood there. A change of trusted keys was signed, and counts. `local` may be faulty.
    """
    remote = local.get("remote")
    named = remote.get("locked") if isinstance(remote, Mapping) else None
    if not isinstance(named, list):
        named = list(LOCKED_BY_DEFAULT)
    fixed = {path for path in never_from_afar() if path != ROTATED}
    return without(over, lambda path: path in fixed or _is_named(path, named))


def overlaid(path: str, over: Mapping[str, Any]) -> bool:
    """Whether the value at this fault path is what `over` says, and not the local file."""
    value: Any = over
    for name in path.partition("[")[0].split("."):
        if not isinstance(value, Mapping):
            return value is not None
        if name not in value:
            return False
        value = value[name]
    return not isinstance(value, Mapping)


def depth_within(value: object, most: int) -> bool:
    """Whether no more than `most` objects and lists lie within each other; counted without recursion."""
    level: list[Any] = [value]
    for _ in range(most + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return True
        level = [below for item in level for below in (item.values() if isinstance(item, dict) else item)]
    return False


def refused_changes(present: Settings, wanted: Settings, *, may_rotate: bool) -> tuple[Fault, ...]:
    """Each locked key that `wanted` would change. Repeating a value is no change.

    `may_rotate`: a trusted key has signed it. Where the local file names the trusted keys in remote.locked,
    not even that changes them.
    """
    named = present.remote.locked
    return tuple(
        Fault(path, "cannot be changed from afar", _why(path, named))
        for path in locked(present)
        if value_of(wanted, path) != value_of(present, path)
        and not (path == ROTATED and may_rotate and not _is_named(path, named))
    )


def rotation_is_locked(settings: Settings) -> bool:
    """Whether the local file's list of trusted keys is the one that counts."""
    return _is_named(ROTATED, settings.remote.locked)


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


def _is_named(path: str, named: Sequence[object]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in named)


def without(doc: Mapping[str, Any], is_gone: Callable[[str], bool], prefix: str = "") -> dict[str, Any]:
    """`doc` without the keys that are gone; a group said to be empty keeps what is gone out of it."""
    left: dict[str, Any] = {}
    for key, value in doc.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            left[key] = without(value, is_gone, f"{path}.")
        elif not is_gone(path):
            left[key] = value
    return left


def _why(path: str, named: Sequence[object]) -> str:
    if _is_named(path, named):
        return "it is named in remote.locked of the local file"
    if path == ROTATED:
        return "a change of keys must be signed by a key of the present list"
    return "it is set in the local file alone"
