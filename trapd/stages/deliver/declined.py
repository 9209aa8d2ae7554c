"""What the broker will not have: alerts that stand until it takes a row of the same leaf. Deliver's thread.

An alert names every kind of row at once: two kinds refused in turn must not raise it anew each time.
"""

from __future__ import annotations

from collections.abc import Sequence

from trapd.stages.alerts import Alerts
from trapd.wire import topics

_NAMED = 3
_ELSEWHERE = "answers to a response topic"


class Declined:
    """Leaves that the broker has refused, or that are larger than it takes."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._refused: dict[str, int] = {}
        self._too_large: dict[str, int] = {}

    def refused(self, leaf: str, reason: int) -> None:
        """The broker answered a row of `leaf` with this reason code."""
        self._refused[leaf] = reason
        self._tell_refused()

    def too_large(self, leaf: str, size_bytes: int, largest_bytes: int) -> None:
        """A row of `leaf` has `size_bytes`; the broker takes `largest_bytes` at most."""
        self._too_large[leaf] = size_bytes
        self._alerts.raise_(
            "too_large",
            f"the broker takes packets of {largest_bytes} bytes at most; {_kinds(self._too_large)} has up to"
            f" {max(self._too_large.values())}",
            "raise the broker's limit, or lower publish.thumbnail_bytes; what it does not take is kept",
        )

    def ends_link(self, names: Sequence[str]) -> None:
        """The broker ends the link over these rows, and they are held."""
        if not names:
            self._alerts.clear("ends_link")
            return
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        self._alerts.raise_(
            "ends_link",
            f"the broker ends the link over {', '.join(names[:_NAMED])}{more}: kept, and the others go on",
            "the broker's log says why; once that is put right, `rebirth` tries it again at once",
        )

    def taken(self, leaf: str) -> None:
        """The broker has a row of `leaf`."""
        if not self._refused and not self._too_large:
            return
        if self._refused.pop(leaf, None) is not None:
            self._tell_refused()
        if self._too_large.pop(leaf, None) is not None and not self._too_large:
            self._alerts.clear("too_large")

    def _tell_refused(self) -> None:
        if not self._refused:
            self._alerts.clear("refused")
            return
        reasons = ", ".join(f"0x{reason:02x}" for reason in sorted(set(self._refused.values())))
        self._alerts.raise_(
            "refused",
            f"the broker refuses {_kinds(self._refused)} with reason {reasons}",
            "look at the broker's access rules for this unit (what it writes, and _reply where answers go);"
            " what it refused is kept and tried again",
        )


def _kinds(leaves: dict[str, int]) -> str:
    kinds = {_ELSEWHERE if topics.is_elsewhere(leaf) else leaf.partition("/")[0] for leaf in leaves}
    return ", ".join(sorted(kinds))
