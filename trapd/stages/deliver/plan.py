"""What Deliver is told once, at start. Frozen; any thread."""

from __future__ import annotations

from trapd.frozen import Frozen
from trapd.wire.window import Limit


class DeliverPlan(Frozen):
    """What the configuration says of delivery.

    A publish that is unanswered for `dead_after_s` tells a dead link, long before TCP would. `receipts`: an
    event stays until its receiver has confirmed it; thumbnails and photographs go on the broker's word.
    `groups`: whose commands the unit hears. `limit_is_told`: a broker that takes no large packets says so.
    `keepalive_s`: how often an idle link is asked for a sign of life.
    `blame_within_s`: how soon after a small row was sent the link has to end for the row to be suspected.
    """

    limit: Limit
    dead_after_s: float
    receipts: bool = False
    chunk_bytes: int = 65_536
    bytes_per_day: int | None = None
    alert_reserve_bytes: int = 0
    groups: tuple[str, ...] = ()
    limit_is_told: bool = True
    blame_within_s: float = 5.0
    keepalive_s: float = 60.0
