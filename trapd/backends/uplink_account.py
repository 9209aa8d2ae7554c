"""Where to connect, and as whom. Made at start; read on each connection's own thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from trapd.backends.uplink_tls import Tls
from trapd.errors import LinkUnavailable, TrapdError
from trapd.frozen import Frozen


class Account(Frozen):
    """Where to connect, as whom, and how.

    `password` is called for each connection, so that a renewed one counts without a restart. Session expiry
    is MQTT 5's; 3.1.1 leaves it to the broker. `visitor`: only to look whether the broker takes us; it keeps
    no session.
    """

    host: str
    port: int
    client_id: str
    username: str | None
    password: Callable[[], str | None]
    tls: Tls | None
    protocol: Literal["5", "3.1.1"]
    keepalive_s: int
    session_expiry_s: int = 7 * 86400
    connect_timeout_s: float = 15.0
    visitor: bool = False

    @property
    def where(self) -> str:
        """The broker's address, for people."""
        return f"{self.host}:{self.port}"

    def read_password(self) -> str | None:
        """The password as it is now. Raises LinkUnavailable where it cannot be read."""
        try:
            return self.password()
        except TrapdError:
            raise
        except Exception as error:
            # Only the kind of error: its text may hold what was read.
            raise LinkUnavailable(
                f"the password cannot be read: {type(error).__name__}",
                "check mqtt.password_file and who may read it",
            ) from None
