"""A filter of 2 s a frame, a trigger a second: Capture takes them all, and the backlog costs no memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.figures import PROVE, tell
from tests.system.daemon import ROOT, until
from tests.system.slow_filter import SlowUnit
from tests.system.test_thin_link import noise

pytestmark = pytest.mark.slow

FOR_S = 600.0 if PROVE else 40.0
BACKLOG = 1000
MOST_MB = 10.0


@pytest.mark.alone
def test_no_trigger_is_refused(tmp_path: Path, photographs: Path) -> None:
    began_s = time.monotonic()
    # Short bursts, so that even on a slow machine one is over before the next trigger.
    with (
        SlowUnit(tmp_path, photographs, every_s=1.0, frame_s=2.0, interval_s=0.1) as unit,
        unit.store.session() as session,
    ):
        until(lambda: time.monotonic() - began_s > FOR_S, "a while", FOR_S + 10)
        refused = {name: n for name, n in session.counters.all().items() if name.startswith("refused.")}
        totals = session.events.totals()
    tell(
        f"filter of 2 s a frame, a trigger a second, {FOR_S:.0f} s: {totals['bursts']} bursts,"
        f" {totals['captured']} of them not judged yet, {sum(refused.values())} triggers refused"
    )
    assert refused == {}
    assert totals["bursts"] >= FOR_S - 3
    assert totals["captured"] >= FOR_S / 2


def test_a_backlog_of_a_thousand_bursts_costs_no_memory(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(noise())
    with tempfile.TemporaryDirectory() as folder:
        child = [sys.executable, "-m", "tests.system.slow_filter", folder, str(tmp_path), str(BACKLOG)]
        done = subprocess.run(child, check=True, capture_output=True, text=True, cwd=ROOT)
    early_mb, late_mb = map(float, done.stdout.split())
    tell(f"backlog of {BACKLOG} bursts: {early_mb:.1f} MB with one, {late_mb:.1f} MB with all")
    assert late_mb - early_mb <= MOST_MB
