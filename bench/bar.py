"""What a measurement promises, and whether it is kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

_TOLERANCE = 1.5


@dataclass(frozen=True)
class Bar:
    """One promise: `value` should be at most `bar`."""

    name: str
    value: float
    bar: float
    reached: bool = True  # False: still worked towards; shown with the others, and ends nothing
    tolerance: float = _TOLERANCE

    @property
    def broken(self) -> bool:
        """Missed by more than noise explains."""
        return self.reached and self.value > self.bar * self.tolerance


def judge(bars: Sequence[Bar]) -> int:
    """Each bar on stderr; 1 where one is broken, else 0."""
    for bar in bars:
        word = "BROKEN" if bar.broken else "ok" if bar.value <= bar.bar else "over"
        print(f"{word:6} {bar.name}: {bar.value:.3g}, bar {bar.bar:g}", file=sys.stderr)
    return int(any(bar.broken for bar in bars))
