"""What must not put a unit out of its operator's reach: a forbidden response topic, a spent budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.daemon import until
from tests.system.site import WITHIN_S, Kit, Site, running

pytestmark = [pytest.mark.slow, pytest.mark.rig]

ROOMY = {"locked": [], "confirm_s": 60}


def test_a_forbidden_response_topic_holds_up_no_answer_and_no_trial(tmp_path: Path, kit: Kit) -> None:
    """The access rules of this broker know no `_reply`."""
    site = Site(tmp_path / "site", kit, remote=ROOMY)
    with running(site):
        for number in range(6):
            site.say("cmd/ping", {"txn": f"p{number}"}, response_topic="trapd/v1/_reply/desk")
        until(lambda: len(site.on("res/ping")) == 6, "every answer on the unit's own topic", WITHIN_S)
        until(lambda: bool(site.on("alert/refused")), "an alert", WITHIN_S)
        assert "answers to a response topic" in site.on("alert/refused")[-1].document["message"]
        site.desire(1, {"heartbeat_s": 2})
        site.told(1, 202)
        site.told(1, 200)
        site.reported("committed", 1)
        assert len(site.attempts()) >= 8
        assert not [found for found in site.take() if "/_reply/" in found.topic]


def test_a_spent_budget_can_be_raised_from_afar_after_a_new_link(tmp_path: Path, kit: Kit) -> None:
    publish = {"bytes_per_day": 120_000, "alert_reserve_bytes": 2000}
    site = Site(tmp_path / "site", kit, remote=ROOMY, publish=publish, sensor={"every_s": 0.5})
    with running(site):
        until(lambda: bool(site.on("alert/budget")), "a spent budget", WITHIN_S)
        site.close_ears()
        site.broker.stop()
        site.broker.start()
        site.listen()
        before = len(site.on("event"))
        site.desire(1, {"publish": {"bytes_per_day": 50_000_000}})
        site.reported("trial", 1)
        site.reported("committed", 1)
        until(lambda: len(site.on("event")) > before + 3, "events again", WITHIN_S)
        until(lambda: site.on("alert/budget")[-1].payload == b"", "the end of the alert", WITHIN_S)
