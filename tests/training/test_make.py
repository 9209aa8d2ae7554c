"""The whole way from 20 made photographs to a model file."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.pictures import made
from training import card
from trapd.backends.tflite.classifier import TfliteClassifier

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_twenty_photographs_become_a_model_that_trapd_takes(tmp_path: Path) -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("training's environment is for Linux on x86-64")
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    listed = made(photographs, 20)
    out, report = tmp_path / "made_320.tflite", tmp_path / "report.json"
    done = subprocess.run(
        [
            *(ROOT / "training/train", "--images", photographs, "--list", listed, "--out", out),
            *("--views", "120", "--judge", "--report", report),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "20 of the 20 listed photographs" in done.stdout
    assert "auc" in json.loads(report.read_text())["each source left out"]["all"]
    classifier = TfliteClassifier(out, name="made", threads=1)
    info = classifier.open()
    assert (info.title, info.tells) == (card.NAME, frozenset())
    scores = {
        path.name: classifier.judge(path.read_bytes()).score for path in sorted(photographs.rglob("*.jpg"))
    }
    classifier.close()
    discs = [score for name, score in scores.items() if int(name.split("__")[1].split(".")[0]) % 2 == 0]
    empties = [score for name, score in scores.items() if int(name.split("__")[1].split(".")[0]) % 2]
    assert sum(discs) / len(discs) > sum(empties) / len(empties) + 0.2


def test_without_photographs_it_says_what_is_needed(tmp_path: Path) -> None:
    """Needs nothing of training's environment: that is asked for later."""
    done = subprocess.run(
        [sys.executable, "-m", "training.make", "--images", tmp_path, "--out", tmp_path / "x.tflite"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert "with something and without are needed" in done.stdout
