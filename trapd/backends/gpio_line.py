"""What the edges of one pin amount to: a pulse that counts, and how long the pin has been active. Pure.

Times are nanoseconds since boot, of the edges themselves: how late somebody heard of them changes nothing.
"""

from __future__ import annotations

from trapd.frozen import Slotted
from trapd.rules import NS_PER_S

QUIET_NS = 2 * NS_PER_S
"""A shorter pause does not end a time of activity: a loose contact flickers, and is stuck all the same."""

_ONE_PULSE_NS = NS_PER_S // 4
"""Edges to the level that the line has already, so soon after another, tell nothing new."""


class Line(Slotted):
    """One pin. `min_pulse_ns`: how long a pulse must last to count; 0: any pulse. `edges` counts changes."""

    pin: int
    min_pulse_ns: int
    active: bool = False
    edges: int = 0
    _rose_ns: int = 0
    _last_ns: int | None = None  # the last change that was heard or seen
    _counts: bool = False  # whether the present pulse does
    _ended_ns: int | None = None  # the last pulse that counted
    _since_ns: int = 0

    def edge(self, active: bool, at_ns: int) -> int | None:
        """An edge. The time of the pulse that now counts, which is that of its beginning; None: none does.

        The kernel looks at the level when it comes to it, not when the edge did: a pulse that was over by
        then is an edge to what the line was already. But so is each of its two edges, where they come
        singly, and an edge whose level was read before it was heard.
        """
        last_ns = self._last_ns
        if active == self.active and last_ns is not None and at_ns - last_ns < _ONE_PULSE_NS:
            return None
        began_ns = self._change(not active, at_ns) if active == self.active else None
        return self._change(active, at_ns) or began_ns

    def level(self, active: bool, at_ns: int) -> int | None:
        """As `edge`, for a level that somebody read."""
        return None if active == self.active else self._change(active, at_ns)

    def _change(self, active: bool, at_ns: int) -> int | None:
        self.active = active
        self.edges += 1
        self._last_ns = at_ns if self._last_ns is None else max(self._last_ns, at_ns)
        if active:
            self._rose_ns = at_ns
            self._counts = False
            return self._lasted(at_ns)
        began_ns = self._lasted(at_ns)
        if self._counts:
            self._ended_ns = at_ns
        self._counts = False
        return began_ns

    @property
    def due_ns(self) -> int | None:
        """When the present pulse will count; None where there is none, or it does already."""
        return self._rose_ns + self.min_pulse_ns if self.active and not self._counts else None

    def ripe(self, now_ns: int) -> int | None:
        """As `change`, for the passing of time alone."""
        return self._lasted(now_ns) if self.active else None

    def _lasted(self, now_ns: int) -> int | None:
        if self._counts or now_ns - self._rose_ns < self.min_pulse_ns:
            return None
        self._counts = True
        if self._ended_ns is None or self._rose_ns - self._ended_ns >= QUIET_NS:
            self._since_ns = self._rose_ns
        return self._rose_ns

    @property
    def since_ns(self) -> int | None:
        """Since when the pin has been active, short pauses included; None while it is not."""
        return self._since_ns if self.active and self._counts else None
