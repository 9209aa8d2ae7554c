"""Who may change this unit, and until when: signatures, plaintext, expiry. Pure; any thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from trapd.errors import BadDocument, Fault, TrapdError
from trapd.frozen import Frozen
from trapd.records import Moment, TsQuality
from trapd.wire.signing import SIGNATURE, BadSignature, Keyring

OK, ON_TRIAL, INVALID, UNAUTHORISED, FORBIDDEN, NOT_FOUND = 200, 202, 400, 401, 403, 404
CONFLICT, EXPIRED, TOO_LARGE, CANNOT, QUARANTINED = 409, 410, 413, 422, 423
ROLLED_BACK, NO_ROOM = 500, 507
"""What an answer's code says; the contract's section 3."""

_DAY_MS = 86_400_000
_MOST_FAULTS = 100


class Refused(TrapdError):
    """A document or a command that is not obeyed: the code, and every fault at once."""

    def __init__(self, code: int, message: str, hint: str = "", faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message, hint)
        self.code = code
        self.faults = faults or (Fault("", message, hint),)
        if len(faults) > _MOST_FAULTS:
            more = Fault("", f"and {len(faults) - _MOST_FAULTS} more faults", "put these right first")
            self.faults = (*faults[:_MOST_FAULTS], more)


class Period(Frozen):
    """From when and until when a document is meant; milliseconds of Unix time, None where it does not say."""

    issued_ms: int | None = None
    expires_ms: int | None = None


class Authority:
    """`signed_only`: every document must be signed. `open`: what is not signed comes over an encrypted link,
    or the local file allows plaintext. `retiring`: the line of a key that is trusted beside the keyring for
    now, or nothing.
    """

    def __init__(
        self,
        keyring: Keyring,
        *,
        signed_only: bool,
        open_: bool,
        retiring: Callable[[], str] = lambda: "",
    ) -> None:
        self._keyring = keyring
        self._signed_only = signed_only
        self._open = open_
        self._retiring = retiring

    @property
    def unsigned(self) -> bool:
        """Whether what nobody has signed is obeyed."""
        return self._open and not self._signed_only

    def check(self, topic: str, document: Mapping[str, Any]) -> str | None:
        """The `kid` of the key that signed it, None for one that need not be signed. Raises Refused.

        A signature that is wrong is refused also where none is asked for.
        """
        if document.get(SIGNATURE) is not None:
            try:
                return self._keyring.with_(self._retiring()).verify(topic, document)
            except BadSignature as error:
                raise Refused(UNAUTHORISED, error.message, error.hint) from None
        if self._signed_only:
            raise Refused(UNAUTHORISED, "this is not signed, and remote.require_signature is on", "sign it")
        if not self._open:
            raise Refused(
                UNAUTHORISED,
                "without TLS nothing is obeyed that is not signed",
                "sign it, or set remote.allow_plaintext in the local file",
            )
        return None


def period_of(document: Mapping[str, Any]) -> Period:
    """`issued_at` and `expires_at`. Raises BadDocument."""
    issued, expires = (_time_of(document, name) for name in ("issued_at", "expires_at"))
    if issued is not None and expires is not None and expires < issued:
        raise BadDocument("expires_at is before issued_at")
    return Period(issued, expires)


def refuse_expired(period: Period, now: Moment) -> None:
    """Raise Refused for what is past its time. While the clock is not set nobody can tell: it is taken."""
    if now.quality is TsQuality.UNSET or period.expires_ms is None:
        return
    if now.wall_ms > period.expires_ms:
        raise Refused(EXPIRED, "its time is over (expires_at)", "issue it again")


def refuse_early(period: Period, now: Moment) -> None:
    """Raise Refused for what is issued in days to come: a wrong clock, or kept for later by somebody. A clock
    that is not synchronised may be behind itself.
    """
    if now.quality is not TsQuality.SYNCED or period.issued_ms is None:
        return
    ahead_ms = period.issued_ms - now.wall_ms
    if ahead_ms > _DAY_MS:
        message = f"it was issued {ahead_ms // _DAY_MS} days ahead of the unit's clock (issued_at)"
        raise Refused(INVALID, message, "set the clock of who sends it")


def _time_of(document: Mapping[str, Any], name: str) -> int | None:
    text = document.get(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError(name)  # noqa: TRY301 - one sentence for all that is no such time
        return round(at.astimezone(UTC).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        raise BadDocument(f"{name} is no time such as 2026-11-22T05:13:22Z") from None
