"""Remote control that goes well, end to end: TLS, client certificates, access rules; MQTT 5 and 3.1.1."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.daemon import BASE, until
from tests.system.site import WITHIN_S, Kit, Site, running

pytestmark = [pytest.mark.slow, pytest.mark.rig]

# A good one must not fail because the machine is busy.
ROOMY: dict[str, Any] = {"remote": {"locked": [], "confirm_s": 60}}

Make = Callable[..., Site]


@pytest.fixture
def make(tmp_path: Path, kit: Kit) -> Iterator[Make]:
    """Sites that run."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def made(**sections: Any) -> Site:
            return stack.enter_context(running(Site(tmp_path / "site", kit, **ROOMY | sections)))

        yield made


@pytest.mark.parametrize("protocol", [5, "3.1.1"])
def test_a_good_document_is_tried_kept_patched_and_taken_back(make: Make, protocol: int | str) -> None:
    site = make(mqtt={"protocol": protocol})
    site.desire(1, {"heartbeat_s": 2})
    site.told(1, 202)
    site.told(1, 200)
    kept = site.reported("committed", 1)
    assert kept.document["doc"] == {"heartbeat_s": 2}
    assert kept.document["last_attempt"] == {"version": 1, "txn": "v1", "code": 200, "errors": []}
    assert json.loads(site.on("state")[-1].payload)["config_version"] in (0, 1)

    stale = site.ask("config_patch", "p1", base=0, version=2, patch={"heartbeat_s": 5})
    assert (stale["code"], stale["status"]) == (409, "error")
    patched = site.ask("config_patch", "p2", base=1, version=2, patch={"mqtt": {"delivery": "receipt"}})
    assert patched["code"] == 202
    site.told(2, 200)
    # The retained document of version 1 comes again with the connection: it is old, and that is all.
    site.told(1, 409)
    assert site.ask("ping", "and then")["code"] == 200
    report = site.on("config/reported")[-1].document
    assert (report["phase"], report["version"], report["last_attempt"]["txn"]) == ("committed", 2, "p2")
    assert report["doc"] == {"heartbeat_s": 2, "mqtt": {"delivery": "receipt"}}
    # Somebody who publishes it now is told.
    site.desire(1, {"heartbeat_s": 2})
    report = site.reported("rejected", 2).document
    assert (report["last_attempt"]["version"], report["last_attempt"]["code"]) == (1, 409)

    before = len(site.on("config/reported"))
    assert site.ask("config_rollback", "r1")["code"] == 202
    until(lambda: phases_since(site, before)[-1:] == [("rolled_back", 1)], "the one before again", WITHIN_S)
    assert site.ask("ping", "still there")["code"] == 200
    site.assert_nothing_lost()


def phases_since(site: Site, count: int) -> list[tuple[str, int]]:
    return [
        (found.document["phase"], found.document["version"]) for found in site.on("config/reported")[count:]
    ]


def test_what_the_operator_has_to_confirm(make: Make) -> None:
    site = make()
    assert site.ask("config_confirm", "early")["code"] == 409
    site.desire(1, {"heartbeat_s": 2}, confirm="operator")
    began_s = site.told(1, 202).at_s
    site.reported("trial", 1, after_s=began_s)
    # One that comes meanwhile has to wait, and is considered when the trial has ended.
    site.desire(2, {"heartbeat_s": 3})
    site.told(2, 409)
    assert site.ask("config_confirm", "other", version=2)["code"] == 409
    assert site.reported("trial", 1).document["last_attempt"]["version"] == 1
    assert site.ask("config_confirm", "yes", version=1)["code"] == 200
    site.told(1, 200)
    site.told(2, 202)
    site.told(2, 200)
    assert site.reported("committed", 2).document["doc"] == {"heartbeat_s": 3}
    site.assert_nothing_lost()


def test_what_the_operator_does_not_confirm_is_taken_back_and_said_again_in_vain(make: Make) -> None:
    # All but the operator's word has to be there when the time is over, also on a busy machine.
    site = make(remote={"locked": [], "confirm_s": 30})
    site.desire(1, {"heartbeat_s": 2}, confirm="operator")
    began_s = site.told(1, 202).at_s
    report = site.reported("rolled_back", 0, after_s=began_s).document
    assert "did not confirm" in report["last_attempt"]["errors"][0]["message"]
    # The retained document comes again with every connection, and by itself as well.
    line = site.told(1, 500)
    for _ in range(3):
        site.desire(1, {"heartbeat_s": 2}, confirm="operator")
    assert site.ask("ping", "after")["code"] == 200
    assert [found["txn"] for found in site.attempts(after_s=line.at_s)] == ["after"]
    assert site.on("config/reported")[-1].document["last_attempt"] == report["last_attempt"]
    site.assert_nothing_lost()


def test_chunks_beyond_the_brokers_limit_do_not_part_it_from_the_unit(tmp_path: Path, kit: Kit) -> None:
    """Nothing has to be taken back: MQTT 5 says what the broker takes, and chunks are cut to fit."""
    site = Site(tmp_path / "site", kit, "max_packet_size 40000", **ROOMY)
    with running(site):
        site.desire(1, {"publish": {"chunk_bytes": 1_048_576, "media": "all"}})
        site.told(1, 200)
        site.reported("committed", 1)
        until(lambda: any(_is_chunk(found.topic) for found in site.take()), "photographs", WITHIN_S)
        largest = max(len(found.payload) for found in site.take() if _is_chunk(found.topic))
        assert 1024 < largest < 40_000
        assert site.ask("ping", "still there")["code"] == 200


def _is_chunk(topic: str) -> bool:
    return topic.startswith(f"{BASE}/media/") and "/c/" in topic


def test_a_unit_that_is_told_to_stop_while_it_restarts_stops(make: Make) -> None:
    """The signal must not be lost between two processes; the trial goes on with the next start."""
    site = make()
    site.desire(1, {"heartbeat_s": 2})
    site.told(1, 202)
    assert site.daemon.stop() == 0
    trial = site.trial()
    assert trial is not None
    site.daemon.start()
    site.told(1, 200)
    assert site.reported("committed", 1).document["doc"] == {"heartbeat_s": 2}
