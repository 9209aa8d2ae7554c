"""What the unit knows of its own errors: figures for the heartbeat, an alert, and whether to keep more.

Heartbeat's thread looks; Screen's asks `keep_more`. All of it follows from the store and from what people
have said of the samples, so a restart changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from trapd.errors import StoreCorrupt, StoreError
from trapd.stages.alerts import Alerts
from trapd.store import Session

if TYPE_CHECKING:
    from trapd.interval import Share
    from trapd.sampling import Figures

log = logging.getLogger("trapd.missed")


class Missed:
    """`classes`: what is worth keeping. `auto_keep`: more is kept while the miss rate is rising."""

    def __init__(self, alerts: Alerts, *, classes: Collection[str], auto_keep: bool) -> None:
        self._alerts = alerts
        self._classes = frozenset(classes)
        self._auto_keep = auto_keep
        self._rising = False
        self._known: tuple[Mapping[str, str], Mapping[str, int], dict[str, int | float]] | None = None

    @property
    def keep_more(self) -> bool:
        """Whether the threshold is lowered now. From any thread."""
        return self._auto_keep and self._rising

    def read(self, session: Session) -> Mapping[str, int | float]:
        """The facts for `state`; none before anything was drawn, or where they cannot be read."""
        try:
            return {**self._figures(session), "auto_keep": int(self.keep_more)}
        except StoreCorrupt:
            raise
        except (StoreError, ValueError) as error:
            log.warning("the audit sample cannot be read: %s", error)
            return {}

    def _figures(self, session: Session) -> dict[str, int | float]:
        seed, totals = session.audits.known_seed(), session.audits.totals()
        if seed is None or not totals:
            return {}
        from trapd.sampling import Heap, figures, newest_filter, rising

        truths = session.audits.truths()
        known = self._known
        if known is None or known[0] is not truths or known[1] != totals:
            samples = session.audits.samples()
            self._tell(rising(samples, truths, self._classes))
            now = newest_filter(list(totals))
            mine = {name: total for name, total in totals.items() if Heap.parse(name).filter == now}
            found = figures(mine, samples, truths, classes=self._classes, seed=seed)
            self._known = known = (truths, totals, facts_of(found))
        return known[2]

    def _tell(self, is_rising: bool) -> None:
        self._rising = is_rising
        if not is_rising:
            self._alerts.clear("miss_rate")
            return
        now = "more is kept meanwhile" if self._auto_keep else "nothing is done about it"
        self._alerts.raise_(
            "miss_rate",
            f"the newest judged samples hold more missed bursts than those before; {now}",
            "look at them with trapd audit, clean the lens, lower filter.threshold or set filter.auto_keep",
        )


def facts_of(found: Figures) -> dict[str, int | float]:
    """Flat and numeric, for the heartbeat; a share that nothing is known of is left out."""
    facts: dict[str, int | float] = {
        "audit_waiting": found.waiting,
        "audit_judged": found.judged,
        "audit_lost": found.lost,
    }
    for name, share in (("miss_rate", found.miss_rate), ("false_keep", found.false_keep)):
        facts.update(_flat(name, share))
    return facts


def _flat(name: str, share: Share) -> dict[str, float]:
    if share.estimate is None:
        return {}
    values = {"": share.estimate, "_low": share.low, "_high": share.high}
    return {f"{name}{end}": round(value, 5) for end, value in values.items()}
