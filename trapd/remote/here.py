"""This unit as a proposal finds it: its local file as it is now, its hardware, its disk. Control's thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trapd.errors import ConfigurationError, Fault
from trapd.frozen import Frozen
from trapd.ports import Clock
from trapd.remote.ledger import Ledger, Overlay
from trapd.remote.proposal import Present
from trapd.settings import Settings, Source
from trapd.wire.authority import INVALID, Refused


class Surroundings(Frozen):
    """What a proposal is judged by. `cannot`: what this hardware cannot do; `used_bytes`: what is stored;
    `free_bytes`: what is free on its disk.
    """

    cannot: Callable[[Settings], tuple[Fault, ...]]
    used_bytes: Callable[[], int]
    free_bytes: Callable[[], int]


class ThisUnit:
    """`path`: the local file, which `source` reads."""

    def __init__(self, path: Path, source: Source, around: Surroundings, clock: Clock) -> None:
        self._path = path
        self._source = source
        self._around = around
        self._clock = clock

    def present(self, overlay: Overlay, ledger: Ledger, *, locked_too: bool = True) -> Present:
        """With `overlay` in force. Raises Refused where this unit could not be started again as it is now,
        SourceUnavailable.
        """
        return Present(
            settings=self._as_it_would_start(overlay),
            ledger=ledger,
            now=self._clock.now(),
            effective=lambda doc: self._source.load(self._path, doc, locked_too=locked_too).settings,
            cannot=self._around.cannot,
            used_bytes=self._around.used_bytes(),
            free_bytes=self._around.free_bytes(),
            own=self._own,
        )

    def _as_it_would_start(self, overlay: Overlay) -> Settings:
        for each in (overlay, Overlay()):
            try:
                return self._source.load(self._path, each.doc).settings
            except ConfigurationError:
                continue
        # A restart now might be the last one. What the file says is nobody's business but its owner's.
        message = "the local configuration file has been changed and cannot be used as it is now"
        raise Refused(INVALID, message, "trapd check, on the unit")

    def _own(self) -> Settings | None:
        """What the local file alone says."""
        try:
            return self._source.load(self._path).settings
        except ConfigurationError:  # an overlay makes it good
            return None
