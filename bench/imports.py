"""What importing the daemon costs in CPU time, against importing numpy and the TFLite runtime alone.

In turns, in one run, each in a process of its own. Each ratio is taken within one round, and the median
counts: on a busy machine the least of each may be of different moments. `python -m bench.imports`.

`watching`: what `trapd run` imports until it is up, takes bursts, and has loaded its model, as it does it;
`tests/system/test_imports.py` holds this list to the real daemon. `all`: with what comes right after, beside
it: the link's library with TLS, what decodes a replay camera's first photograph or makes a thumbnail, and
what reckons the miss rate. `child`: the process that reads the configuration, from its start to its answer,
beside the daemon's imports.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

BAR = 1.5
ALL_STANDS = 1.95
_FLOOR = "import numpy, ai_edge_litert.interpreter"
WATCHING = (
    "import trapd.cli, trapd.cli.daemon, trapd.settings.asked, trapd.host.memory, gc; gc.disable(); "
    "import trapd.app, trapd.host.logs, trapd.host.notify, trapd.remote.start; gc.freeze(); gc.enable(); "
    "import trapd.backends.camera_replay, trapd.backends.sensor_timer, trapd.backends.scene, "
    "trapd.backends.tflite.classifier, trapd.backends.tflite.layouts.trapd, ai_edge_litert.interpreter"
)
ALL = (
    f"{WATCHING}; from trapd.backends.paho_lean import lean; lean(); "
    "import trapd.backends.uplink_paho, trapd.interval; from PIL import JpegImagePlugin"
)
_EXAMPLE = Path(__file__).resolve().parent.parent / "config.example.yaml"


def run(short: bool) -> dict[str, float]:
    """Seconds of each, and the ratio to the floor of what counts.

    There are more rounds while a median is over its bar.
    """
    taken: dict[str, list[float]] = {_FLOOR: [], WATCHING: [], ALL: []}
    child: list[float] = []
    fewest, most = (5, 15) if short else (10, 20)
    for number in range(1, most + 1):
        for code, seconds in taken.items():
            seconds.append(_cpu_s(code))
        child.append(_child_s())
        watching, everything = (_ratio(taken[code], taken[_FLOOR]) for code in (WATCHING, ALL))
        if number >= fewest and watching <= BAR and everything <= ALL_STANDS:
            break
    floor_s, watching_s, all_s = (min(taken[code]) for code in (_FLOOR, WATCHING, ALL))
    return {
        "floor_s": round(floor_s, 3),
        "watching_s": round(watching_s, 3),
        "all_s": round(all_s, 3),
        "child_s": round(min(child), 3),
        "watching_to_floor": watching,
        "all_to_floor": everything,
    }


def _ratio(ours: list[float], floor: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(ours, floor, strict=True)), 2)


def _cpu_s(code: str) -> float:
    program = f"import time; began = time.process_time(); {code}; print(time.process_time() - began)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return float(done.stdout)


def _child_s() -> float:
    from trapd.settings.asked import AskedSource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with AskedSource() as source:
        source.load(_EXAMPLE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    print(json.dumps(run("--short" in sys.argv)))
