"""Where settings come from: the file, and who reads it. Pure but for a look at which file is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from trapd.errors import ConfigurationError, Fault
from trapd.frozen import Frozen
from trapd.settings.values import Settings

PLACES = (Path("/etc/trapd/config.yaml"), Path("config.yaml"))


class Loaded(Frozen):
    """A sound configuration. `hash`: `sha256:<hex>` of the settings in effect; `warnings`: worth a word."""

    settings: Settings
    warnings: tuple[Fault, ...]
    hash: str
    path: Path


class Source(Protocol):
    """Reads and checks the local file. What is asked within one `with` costs one start of it at most.

    `trapd.config.Here` is one, in this process; `trapd.settings.asked` asks a child. One thread at a time.
    """

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def load(
        self, path: Path, over: Mapping[str, object] | None = None, *, locked_too: bool = False
    ) -> Loaded:
        """As `trapd.config.load`. Raises ConfigurationError, SourceUnavailable."""

    def read_storage_path(self, path: Path) -> Path:
        """As `trapd.config.read_storage_path`. Raises ConfigurationError, SourceUnavailable."""


def find(path: str | None, places: Sequence[Path] = PLACES) -> Path:
    """The file to read: `path` if given, else the first of `places` that is there.

    Raises ConfigurationError where there is none.
    """
    if path is not None:
        return Path(path)
    for place in places:
        try:
            place.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return place  # it is there and cannot be read: `load` says why, rather than taking another
        return place
    looked = " nor ".join(str(place) for place in places)
    hint = "give --config FILE, or begin with config.example.yaml"
    raise ConfigurationError("there is no configuration", (Fault("", f"there is neither {looked}", hint),))
