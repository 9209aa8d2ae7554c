"""Who may change this unit, and until when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.clock import FakeClock
from trapd.errors import BadDocument, Fault
from trapd.records import TsQuality
from trapd.wire import signing
from trapd.wire.authority import Authority, Period, Refused, period_of, refuse_expired

TOPIC = "trapd/v1/ridge-07/config/desired"
SEED, OTHER_SEED = bytes(range(32)), bytes(32)
DOCUMENT = {"v": 1, "version": 42, "txn": "a1", "doc": {}}
SIGNED = signing.sign(TOPIC, DOCUMENT, SEED)
KID = SIGNED["sig"]["kid"]
FORGED = signing.sign(TOPIC, DOCUMENT, OTHER_SEED)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


def keyring() -> signing.Keyring:
    from nacl.signing import SigningKey

    return signing.Keyring([signing.public_line(bytes(SigningKey(SEED).verify_key))])


def code(
    document: dict[str, Any], *, signed_only: bool = False, open_: bool = True, topic: str = TOPIC
) -> int:
    """0 where it may."""
    try:
        Authority(keyring(), signed_only=signed_only, open_=open_).check(topic, document)
    except Refused as error:
        assert error.faults == (Fault("", error.message, error.hint),)
        return error.code
    return 0


@pytest.mark.parametrize(
    ("signed_only", "open_", "unsigned"),
    [(False, True, 0), (True, True, 401), (False, False, 401), (True, False, 401)],
)
def test_unsigned_is_obeyed_over_an_open_link_where_no_signature_is_asked_for(
    signed_only: bool, open_: bool, unsigned: int
) -> None:
    """And what a trusted key has signed always, what another has never."""
    asked: dict[str, Any] = {"signed_only": signed_only, "open_": open_}
    assert code(DOCUMENT, **asked) == code({**DOCUMENT, "sig": None}, **asked) == unsigned
    assert code(SIGNED, **asked) == 0
    assert code(FORGED, **asked) == 401
    assert code({**SIGNED, "version": 43}, **asked) == 401
    assert code(SIGNED, topic="trapd/v1/ridge-08/config/desired", **asked) == 401
    assert code({**DOCUMENT, "sig": {"kid": KID, "b64": ""}}, **asked) == 401


def test_who_signed_it_is_told() -> None:
    authority = Authority(keyring(), signed_only=False, open_=True)
    assert authority.check(TOPIC, SIGNED) == KID
    assert authority.check(TOPIC, DOCUMENT) is None


def test_without_any_key_nothing_is_signed() -> None:
    with pytest.raises(Refused, match="not trusted"):
        Authority(signing.Keyring([]), signed_only=False, open_=True).check(TOPIC, SIGNED)


@given(values)
def test_any_signature_is_none_is_right_or_is_refused(sig: Any) -> None:
    assert code({**DOCUMENT, "sig": sig}, signed_only=True) == 401


def test_times_are_those_of_rfc_3339() -> None:
    found = period_of({"issued_at": "2026-11-22T05:13:22Z", "expires_at": "2026-11-22T07:13:22.120+02:00"})
    assert found == Period(1_795_324_402_000, 1_795_324_402_120)
    assert period_of({}) == period_of({"issued_at": None}) == Period()


@pytest.mark.parametrize(
    "text", ["", "now", "2026-11-22", "2026-11-22T05:13:22", "2026-13-22T05:13:22Z", "\ud800", "1" * 10_000,
             5, True, [], {}, 1.5, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
)  # fmt: skip
def test_what_is_no_time_is_refused(text: object) -> None:
    """Also at the ends of the calendar, where another zone lies beyond them."""
    with pytest.raises(BadDocument, match="issued_at is no time"):
        period_of({"issued_at": text})


@given(values, values)
def test_any_times_are_read_or_refused(issued: Any, expires: Any) -> None:
    try:
        found = period_of({"issued_at": issued, "expires_at": expires})
    except BadDocument:
        return
    assert found.issued_ms is None or found.expires_ms is None or found.issued_ms <= found.expires_ms


def test_an_end_before_the_beginning_is_refused() -> None:
    with pytest.raises(BadDocument, match="before"):
        period_of({"issued_at": "2026-11-22T05:13:22Z", "expires_at": "2026-11-22T05:13:21Z"})


@pytest.mark.parametrize(
    ("quality", "late_ms", "expired"),
    [
        (TsQuality.SYNCED, 0, False),
        (TsQuality.SYNCED, 1, True),
        (TsQuality.RTC, 1, True),
        (TsQuality.ESTIMATED, 1, True),
        (TsQuality.UNSET, 10**12, False),
    ],
)
def test_what_is_past_its_time_is_refused_where_the_time_is_known(
    quality: TsQuality, late_ms: int, expired: bool
) -> None:
    now = FakeClock(quality=quality).now()
    if expired:
        with pytest.raises(Refused, match="its time is over") as caught:
            refuse_expired(Period(None, now.wall_ms - late_ms), now)
        assert caught.value.code == 410
    else:
        refuse_expired(Period(None, now.wall_ms - late_ms), now)
    refuse_expired(Period(), now)
