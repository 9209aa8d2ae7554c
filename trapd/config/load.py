"""The configuration file: what it says, and every fault of it at once.

Called once at start-up, before any thread, and by `trapd check`. Reads one file and writes none.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from trapd.config.advice import warnings
from trapd.config.checking import check, counted
from trapd.config.document import read
from trapd.errors import ConfigurationError, Fault
from trapd.settings.overlay import merged, overlaid, unlocked
from trapd.settings.source import Loaded
from trapd.settings.text import shown
from trapd.settings.values import STORAGE_BY_DEFAULT, Settings, plain

MAX_BYTES = 256 * 1024


def load(path: Path, over: Mapping[str, object] | None = None, *, locked_too: bool = False) -> Loaded:
    """Read and check `path`. Relative paths in it start at its folder.

    `over`: what lies over it, from afar; of locked keys the file's own value counts. `locked_too`: every word
    of `over` counts, to see what it would change. Raises ConfigurationError with every fault, in the order of
    the file; none of them shows a value of the file in place of one of `over`.
    """
    document = read(_text(path))
    if document.data is None:
        raise _unusable(path, "the file is empty", "begin with config.example.yaml")
    if not isinstance(document.data, dict):
        message = f"the file must hold groups of keys, holds {shown(document.data)}"
        raise _unusable(path, message, "begin with unit: and mqtt:")
    data, places = document.data, document.places
    if over:
        said = over if locked_too else unlocked(data, over)
        data = merged(data, said)
        places = {at: place for at, place in places.items() if not overlaid(at, said)}
    settings, faults = check(data, path.absolute().parent, places, document.faults)
    if settings is None:
        raise ConfigurationError(f"{path} has {counted(faults)}", tuple(faults))
    return Loaded(settings, warnings(settings), fingerprint(settings), path)


def read_storage_path(path: Path) -> Path:
    """`storage.path` of a file that may be faulty otherwise, by a look that costs little.

    Raises ConfigurationError where the file cannot be read at all.
    """
    data = read(_text(path)).data
    storage = data.get("storage") if isinstance(data, dict) else None
    named = storage.get("path") if isinstance(storage, dict) else None
    if isinstance(named, str) and named and "\0" not in named:
        return path.absolute().parent / named
    return STORAGE_BY_DEFAULT


class Here:
    """`trapd.settings.Source` in this process: for the verbs and for tests."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was begun."""

    load = staticmethod(load)
    read_storage_path = staticmethod(read_storage_path)


def fingerprint(settings: Settings) -> str:
    """`sha256:<hex>` of the settings in effect: JSON, keys sorted, no spaces, whole numbers without a point.

    No secret goes in: the settings hold none, only the names of the files that do.
    """
    text = json.dumps(_whole(plain(settings)), sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _whole(value: object) -> object:
    if isinstance(value, dict):
        return {key: _whole(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            what = "a folder" if path.is_dir() else "no ordinary file"
            raise _unusable(path, f"{path} is {what}", "give the path of a YAML file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unusable(path, f"{path} does not exist", "check the path") from None
    except PermissionError:
        raise _unusable(path, f"{path} may not be read by this user", "check owner and mode") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _unusable(path, f"{path} cannot be read: {reason}", "") from None
    if len(content) > MAX_BYTES:
        raise _unusable(path, f"{path} is larger than 256 KiB", "a configuration has about a hundred lines")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unusable(path, f"the file is not UTF-8, first in line {line}", "save it as UTF-8") from None


def _unusable(path: Path, message: str, hint: str) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be used", (Fault("", message, hint),))
