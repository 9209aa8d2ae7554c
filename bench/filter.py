"""What trapd's filter costs beside the bare interpreter, and whether its memory stays.

`python -m bench.filter [--short]` prints one JSON object. CPU time, one thread, both in one process, in turn.
Each ratio is taken within one round, so that a machine that is busy for a while does not shift it; and over
several pairs of interpreters, for where one lies in memory alone makes one percent.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.filter_floor import Floor
from trapd.backends.classifier_tflite import TfliteClassifier
from trapd.backends.model_files import find
from trapd.backends.scene import Scene
from trapd.backends.tflite_input import PictureInput
from trapd.records import Small

BAR = 1.05
"""CPU of a small frame to its decision, over the bare invoke."""

GROWTH_BAR_BYTES = 4_000_000
"""Of resident memory, over the second half of all frames."""

_FRAME = (640, 360)
_SIZE = (320, 320)


def run(short: bool) -> dict[str, Any]:
    """Both figures, with what they were taken from."""
    pairs, rounds = (3, 40) if short else (9, 100)
    small = _small_frame()
    floor_ms: list[float] = []
    ours_ms: list[float] = []
    for _ in range(pairs):
        bare, whole = _one_pair(small, rounds)
        floor_ms += bare
        ours_ms += whole
    ratio = statistics.median(ours / bare for ours, bare in zip(ours_ms, floor_ms, strict=True))
    growth = _growth_bytes(small, 5 * rounds)
    evidence = _evidence_share(small, rounds)
    return {
        "name": "filter",
        "frame": list(_FRAME),
        "rounds": pairs * rounds,
        "invoke_ms": round(statistics.median(floor_ms), 3),
        "decision_ms": round(statistics.median(ours_ms), 3),
        "ratio": round(ratio, 4),
        "bar": BAR,
        "evidence_share": round(evidence, 4),  # of judging three frames; has no bar of its own yet
        "growth_bytes": growth,
        "growth_bar_bytes": GROWTH_BAR_BYTES,
        "ok": ratio <= BAR and growth <= GROWTH_BAR_BYTES,
    }


def _one_pair(small: Small, rounds: int) -> tuple[list[float], list[float]]:
    model = find("default", None)
    tensor = np.zeros((1, *_SIZE, 3), np.int8)
    PictureInput(_SIZE, "int8").read(small)(tensor)
    floor = Floor(model)
    classifier = TfliteClassifier(model, name="default", threads=1)
    classifier.open()
    try:
        return _in_turn(lambda: floor.run(tensor), lambda: classifier.judge(small), rounds)
    finally:
        classifier.close()


def _evidence_share(small: Small, rounds: int) -> float:
    """What looking at a burst of three costs, beside judging its frames."""
    classifier, scene = TfliteClassifier(find("default", None), name="default", threads=1), Scene()
    classifier.open()
    try:
        scores = [classifier.judge(small)] * 3
        judging, looking = _in_turn(
            lambda: [classifier.judge(small) for _ in range(3)],
            lambda: scene.look([small] * 3, scores),
            rounds // 2,
        )
    finally:
        classifier.close()
    return statistics.median(look / judge for look, judge in zip(looking, judging, strict=True))


def _in_turn(
    floor: Callable[[], object], ours: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """CPU milliseconds of each, round by round, the first place changing sides."""
    for _ in range(10):
        floor()
        ours()
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            begin_s = time.process_time()
            (floor, ours)[which]()
            taken[which].append((time.process_time() - begin_s) * 1000)
    return taken


def _growth_bytes(small: Small, rounds: int) -> int:
    classifier = TfliteClassifier(find("default", None), name="default", threads=1)
    classifier.open()
    try:
        for _ in range(rounds):
            classifier.judge(small)
        before = _resident_bytes()
        for _ in range(rounds):
            classifier.judge(small)
        return _resident_bytes() - before
    finally:
        classifier.close()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _small_frame() -> Small:
    """A frame with something in it: a bright, furry disc before a dark slope. No photograph is needed."""
    width, height = _FRAME
    noise = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width]
    luma = 60 + 40 * y / height + noise.normal(0, 6, (height, width))
    disc = (x - 360) ** 2 + (1.6 * (y - 200)) ** 2 < 110**2
    luma = np.where(disc, 170 + noise.normal(0, 25, (height, width)), luma)
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    planes = (np.clip(luma, 0, 255).astype(np.uint8), chroma - 6, chroma + 10)
    return Small(b"".join(plane.tobytes() for plane in planes), width, height, width, "i420")


def main() -> int:
    """Print the figures; 0 whatever they are: who runs this compares them with the bars."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer rounds")
    print(json.dumps(run(parser.parse_args().short)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
