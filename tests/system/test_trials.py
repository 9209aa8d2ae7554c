"""Configurations that would cut the unit off: it comes back by itself, in time, and has lost nothing.

Several units are on trial at a time, each with a broker of its own; a trial is mostly waiting.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.figures import PROVE, tell
from tests.system.daemon import until
from tests.system.site import WITHIN_S, Kit, Site, running
from tests.system.trials import CASES, Case

pytestmark = [pytest.mark.slow, pytest.mark.rig]

DEADLINE_S = 10.0
BACK_WITHIN_S = DEADLINE_S + 60.0
AT_A_TIME = 5
ROUNDS = 5 if PROVE else 1


@dataclass(frozen=True, slots=True)
class Result:
    """How long it took from the answer 202 to the unit's birth and report under the old configuration."""

    back_s: float
    report: dict[str, Any]
    again: int
    unasked: list[dict[str, Any]]


def tried(site: Site, case: Case) -> Result:
    """One trial, from the document to the unit that is back."""
    case.before(site)
    config = site.born_with()
    site.desire(1, case.doc(site))
    began_s = site.told(1, 202).at_s
    case.during(site)
    until(lambda: 1 in site.ledger().quarantined, "rolled back on the disk", WITHIN_S)
    case.after(site)
    report = site.reported("rolled_back", 0, after_s=began_s)
    back = site.reborn(config, after_s=began_s)
    # The retained document has come again with the connection by now, or soon: that changes nothing.
    site.ask("ping", "after")
    unasked = [line for line in site.attempts(after_s=began_s) if line["txn"] not in ("v1", "after")]
    site.desire(1, {"heartbeat_s": 150}, txn="again")
    again = site.told(1, 423).document["code"]
    site.reported("rejected", 0, after_s=began_s)
    site.assert_nothing_lost()
    back_s = max(report.at_s, back.at_s) - began_s
    return Result(back_s, report.document, again, unasked)


def _one(folder: Path, kit: Kit, case: Case) -> Result:
    site = Site(folder, kit, door=case.door, **case.local)
    with running(site):
        return tried(site, case)


@pytest.fixture(scope="module")
def results(
    tmp_path_factory: pytest.TempPathFactory, kit: Kit, request: pytest.FixtureRequest
) -> Iterator[dict[str, list[Future[Result]]]]:
    """The trials of all that is asked for, under way."""
    wanted = {case.name for item in request.session.items for case in _cases_of(item)}
    folder = tmp_path_factory.mktemp("sites")
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {
            case.name: [pool.submit(_one, folder / f"{number}-{turn}", kit, case) for turn in range(ROUNDS)]
            for number, case in enumerate(CASES)
            if case.name in wanted
        }
        pool.shutdown(cancel_futures=True)


def _cases_of(item: pytest.Item) -> list[Case]:
    """The case that this test is for; none where it is not of this file."""
    found: Any = item
    ours = found.module.__name__ == __name__ and hasattr(found, "callspec")
    return [found.callspec.params["case"]] if ours else []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_last_good_configuration_returns(case: Case, results: dict[str, list[Future[Result]]]) -> None:
    for future in results[case.name]:
        found = future.result()
        tell(f"trial, {case.name}: back after {found.back_s:.1f} s of at most {BACK_WITHIN_S:.0f} s")
        attempt = found.report["last_attempt"]
        assert attempt["code"] == 500
        assert case.says in " ".join(error["message"] for error in attempt["errors"]), attempt
        assert found.again == 423
        assert found.unasked == []
        assert found.back_s <= BACK_WITHIN_S
