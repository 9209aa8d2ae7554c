"""The way to the operator: the password, and the broker as a visitor finds it."""

from __future__ import annotations

import os

from trapd import parts
from trapd.backends import uplink_reasons
from trapd.doctor.finding import Finding
from trapd.errors import CredentialUnavailable
from trapd.ports import Connected, LinkEvent, Lost
from trapd.settings import Settings, mqtt_password

_ANSWER_WITHIN_S = 20.0
_LATER = "the unit works without the broker and delivers later"
_WAITS = "until that is mended nothing is delivered: it waits on the card"


def credential(settings: Settings) -> Finding:
    if mqtt_password(settings, os.environ) is None:
        return Finding("credential", True, "no broker password is set", "fine where the broker asks for none")
    return Finding("credential", True, "the broker password can be read")


def broker(settings: Settings) -> Finding:
    """A real connection, under a name of its own: one under the unit's would throw out the daemon."""
    try:
        mqtt_password(settings, os.environ)
    except CredentialUnavailable:
        hint = "the finding above says what to do about it"
        return Finding("broker", True, "not asked, for lack of the password", hint, warning=True)
    link = parts.build_uplink(settings, visitor="doctor").connect(None)
    try:
        event = link.next(_ANSWER_WITHIN_S)
    finally:
        link.close()
    return of_answer(event, f"{settings.mqtt.host}:{settings.mqtt.port}")


def of_answer(event: LinkEvent | None, broker: str) -> Finding:
    """What the first event of a visit says of the unit; None: none came in time.

    A broker that is away, or busy, is no fault of the unit's.
    """
    if isinstance(event, Connected):
        return Finding("broker", True, f"{broker} takes the unit")
    if not isinstance(event, Lost) or event.unreachable:
        reason = event.reason if isinstance(event, Lost) else f"{broker} does not answer"
        return Finding("broker", True, reason, _LATER, warning=True)
    if event.code is None:
        return Finding("broker", False, event.reason, _WAITS)
    message, hint = uplink_reasons.words_of(event.code)
    if event.code == uplink_reasons.CLIENT_ID_REFUSED:
        return Finding("broker", True, message, f"{hint}; doctor's ends in -doctor", warning=True)
    if event.code in uplink_reasons.PASSING:
        return Finding("broker", True, message, _LATER, warning=True)
    return Finding("broker", False, message, hint or _WAITS)
