"""`trapd` with a bug put into it: what was handed to the socket counts as taken by the broker."""

from __future__ import annotations

from typing import Any

from trapd import cli
from trapd.backends.uplink_paho import PahoLink
from trapd.ports import Acknowledged


def believe_what_was_only_sent() -> None:
    """Each publish is answered at once; what the broker says of it later is not listened to."""
    right = PahoLink.publish

    def publish(
        link: PahoLink, topic: str, payload: bytes, *, retain: bool, correlation: bytes | None = None
    ) -> int:
        token = right(link, topic, payload, retain=retain, correlation=correlation)
        link._unanswered -= 1
        link._events.append(Acknowledged(token, 0))
        return token

    def on_publish(link: PahoLink, *_: Any) -> None:
        """Not listened to."""

    methods: Any = PahoLink
    methods.publish, methods._on_publish = publish, on_publish


if __name__ == "__main__":
    believe_what_was_only_sent()
    cli.main()
