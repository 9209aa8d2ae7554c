"""The way to the operator: the password, and the broker as a visitor finds it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from trapd import parts
from trapd.backends import uplink_reasons
from trapd.doctor.finding import Finding
from trapd.errors import CredentialUnavailable
from trapd.frozen import replace
from trapd.ports import Connected, LinkEvent, Lost
from trapd.settings import Settings, mqtt_password

CREDSTORES: Final = tuple(Path(f"{below}/credstore") for below in ("/etc", "/run", "/usr/lib"))
"""Where systemd looks for what the unit file names (systemd.exec(5), LoadCredential=)."""

_CREDENTIAL: Final = "trapd.mqtt-password"  # the name in systemd/trapd.service
_AS_ROOT = "systemd may have one for the unit: sudo trapd doctor asks the broker with it"
_NO_PASSWORD: Final = frozenset({0x86, 0x87})
_ANSWER_WITHIN_S = 20.0
_LATER = "the unit works without the broker and delivers later"
_WAITS = "until that is mended nothing is delivered: it waits on the card"


def credential(settings: Settings) -> Finding:
    if mqtt_password(_as_the_unit(settings), os.environ) is not None:
        return Finding("credential", True, "the broker password can be read")
    if _is_closed(settings):
        return Finding("credential", True, "no broker password is set that this user may read", _AS_ROOT)
    return Finding("credential", True, "no broker password is set", "fine where the broker asks for none")


def broker(settings: Settings) -> Finding:
    """A real connection, under a name of its own: one under the unit's would throw out the daemon."""
    settings = _as_the_unit(settings)
    try:
        password = mqtt_password(settings, os.environ)
    except CredentialUnavailable:
        hint = "the finding above says what to do about it"
        return Finding("broker", True, "not asked, for lack of the password", hint, warning=True)
    link = parts.build_uplink(settings, visitor="doctor").connect(None)
    try:
        event = link.next(_ANSWER_WITHIN_S)
    finally:
        link.close()
    if password is None and isinstance(event, Lost) and event.code in _NO_PASSWORD and _is_closed(settings):
        return Finding("broker", True, f"{event.reason}, asked without a password", _AS_ROOT, warning=True)
    return of_answer(event, f"{settings.mqtt.host}:{settings.mqtt.port}")


def _as_the_unit(settings: Settings) -> Settings:
    """With the password that systemd hands to the unit, where this user may read it."""
    if _is_given(settings):
        return settings
    for store in CREDSTORES:
        path = store / _CREDENTIAL
        if os.access(path, os.R_OK):
            return replace(settings, mqtt=replace(settings.mqtt, password_file=path))
    return settings


def _is_closed(settings: Settings) -> bool:
    """Whether systemd may have a password that this user may not look at."""
    if _is_given(settings):
        return False
    return any(store.is_dir() and not _may_look(store) for store in CREDSTORES)


def _is_given(settings: Settings) -> bool:
    return settings.mqtt.password_file is not None or bool(os.environ.get("CREDENTIALS_DIRECTORY"))


def _may_look(store: Path) -> bool:
    path = store / _CREDENTIAL
    return os.access(store, os.X_OK) and (os.access(path, os.R_OK) or not os.path.lexists(path))


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
