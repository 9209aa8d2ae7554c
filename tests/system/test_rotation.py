"""Keys change on a unit that obeys only what is signed; what a start has taken back is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from tests.system.daemon import BASE, until
from tests.system.site import WITHIN_S, Kit, Site, running
from trapd.wire import signing

pytestmark = [pytest.mark.slow, pytest.mark.rig]

A, B = bytes([1]) * 32, bytes([2]) * 32
PERIOD = {"issued_at": "2023-11-01T00:00:00Z", "expires_at": "2126-11-25T00:00:00Z"}


def line(seed: bytes) -> str:
    return signing.public_line(bytes(SigningKey(seed).verify_key))


@pytest.fixture
def site(tmp_path: Path, kit: Kit) -> Iterator[Site]:
    remote = {"locked": [], "confirm_s": 60, "require_signature": True, "trusted_keys": [line(A)]}
    with running(Site(tmp_path / "site", kit, remote=remote)) as made:
        yield made


def say(site: Site, leaf: str, document: dict[str, Any], seed: bytes, *, retain: bool = False) -> None:
    site.say(leaf, signing.sign(f"{BASE}/{leaf}", document | PERIOD, seed), retain=retain)


def desire(site: Site, version: int, doc: dict[str, Any], seed: bytes) -> None:
    say(
        site,
        "config/desired",
        {"v": 1, "version": version, "txn": f"v{version}", "doc": doc},
        seed,
        retain=True,
    )


def ping(site: Site, txn: str, seed: bytes) -> int:
    """The code of the answer."""
    say(site, "cmd/ping", {"txn": txn}, seed)

    def codes() -> list[int]:
        return [found.document["code"] for found in site.on("res/ping") if found.document["txn"] == txn]

    until(lambda: bool(codes()), f"the answer to {txn}", WITHIN_S)
    return codes()[0]


def test_the_old_key_is_out_with_the_first_word_that_the_new_one_signs(site: Site) -> None:
    desire(site, 1, {"remote": {"trusted_keys": [line(B)]}}, A)
    site.told(1, 200)
    assert ping(site, "old, still", A) == 200
    assert ping(site, "new", B) == 200
    assert ping(site, "old, no more", A) == 401
    site.daemon.kill()
    site.daemon.start()
    assert ping(site, "old, after a start", A) == 401
    desire(site, 2, {"heartbeat_s": 3}, B)
    site.told(2, 403)  # it would bring the old key back
    desire(site, 3, {"heartbeat_s": 3, "remote": {"trusted_keys": [line(B)]}}, B)
    site.told(3, 200)
    site.assert_nothing_lost()


def test_a_trial_that_its_starts_have_ended_is_recorded_once_and_a_broken_document_is_reported(
    tmp_path: Path, kit: Kit
) -> None:
    with running(Site(tmp_path / "site", kit, remote={"locked": [], "confirm_s": 300})) as site:
        site.desire(1, {"mqtt": {"port": 1}})
        for starts in (1, 2):
            until(partial(_has_started, site, starts), f"start {starts} on trial", WITHIN_S)
            site.daemon.kill()
            site.daemon.start()
        site.told(1, 500)
        site.say(
            "config/desired", b'{"v":1,"version":2,"txn":"broken","doc":{"burst":{"frames":1}}', retain=True
        )
        site.told(2, 400)
        report = site.reported("rejected", 0).document
        assert (report["last_attempt"]["version"], report["last_attempt"]["txn"]) == (2, "broken")
        assert site.ask("ping", "still there")["code"] == 200
        attempts = [(found["version"], found["code"]) for found in site.attempts()]
        assert attempts == [(1, 202), (1, 500), (2, 400), (None, 200)]
        site.assert_nothing_lost()


def _has_started(site: Site, times: int) -> bool:
    return _starts(site) == times


def _starts(site: Site) -> int:
    trial = site.trial()
    return 0 if trial is None else trial.starts
