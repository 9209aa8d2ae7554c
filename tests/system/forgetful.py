"""`trapd` with a bug put into it: the broker is told that a message is noted as soon as it has arrived."""

from __future__ import annotations

from typing import Any

from trapd import cli
from trapd.backends.uplink_paho import PahoLink
from trapd.ports import LinkEvent, Received


def acknowledge_what_has_only_arrived() -> None:
    """As paho does it by itself."""
    right = PahoLink.next

    def following(link: PahoLink, timeout_s: float) -> LinkEvent | None:
        event = right(link, timeout_s)
        if isinstance(event, Received):
            link.acknowledge(event)
            link.flush()
        return event

    methods: Any = PahoLink
    methods.next = following


if __name__ == "__main__":
    acknowledge_what_has_only_arrived()
    cli.main()
