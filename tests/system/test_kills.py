"""kill -9 of the whole daemon, again and again, before a real Mosquitto: nothing lost, nothing left over."""

from __future__ import annotations

import io
import os
import random
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from tests.figures import PROVE, tell
from tests.system.kills import WINDOW, Campaign

pytestmark = [pytest.mark.slow, pytest.mark.rig]

CAMPAIGNS, KILLS = (100, 100) if PROVE else (2, 50)
AT_ONCE = 2
# The full count takes hours: `TRAPD_PROVE_SEEDS=20-39` runs these campaigns of it, on one of several nights.
SEEDS = os.environ.get("TRAPD_PROVE_SEEDS", f"0-{CAMPAIGNS - 1}").split("-")


@pytest.fixture(scope="session")
def small_photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bursts that cost little: noise of three sizes, so that no two frames are alike."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    folder = tmp_path_factory.mktemp("small")
    draw = random.Random(5)
    for burst in range(4):
        (folder / str(burst)).mkdir()
        for frame in range(3):
            picture = Image.effect_noise((160, 90), draw.uniform(20, 90)).convert("RGB")
            out = io.BytesIO()
            picture.save(out, "JPEG", quality=80)
            (folder / str(burst) / f"{frame}.jpg").write_bytes(out.getvalue())
    return folder


def test_whenever_it_is_killed_nothing_is_lost_and_nothing_left_over(
    tmp_path: Path, small_photographs: Path
) -> None:
    """At any moment, and right after each kind of write; with what was on its way to the broker."""
    began_s = time.monotonic()

    def campaign(seed: int) -> Campaign:
        done = Campaign(tmp_path / str(seed), small_photographs, seed)
        done.run(KILLS)
        shutil.rmtree(done.folder, ignore_errors=True)  # a hundred of them would fill a small disk
        return done

    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(campaign, range(int(SEEDS[0]), int(SEEDS[-1]) + 1)))
    after = sum((each.after for each in done), Counter[str]())
    tell(
        f"kill -9 of the daemon: {sum(each.kills for each in done)} kills,"
        f" {sum(len(each.heard.payloads) for each in done)} events, 0 lost, 0 left over,"
        f" at most {max(each.most_repeats for each in done)} repeats after one kill (window {WINDOW})"
        f" ({time.monotonic() - began_s:.0f} s)"
    )
    tell("  " + ", ".join(f"{name} {count}" for name, count in after.most_common()))


def test_a_row_deleted_before_its_puback_is_found(tmp_path: Path, small_photographs: Path) -> None:
    """A daemon with this bug does not survive its kills; on a busy machine few lives get to sending."""
    with pytest.raises(AssertionError, match="lost: "):
        for seed in range(1, 5):
            Campaign(tmp_path / f"hasty-{seed}", small_photographs, seed, module="tests.system.hasty").run(12)
