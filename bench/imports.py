"""What importing the daemon costs in CPU time, against importing numpy and the TFLite runtime alone.

In turns, in one run, each in a process of its own; the least of each counts. `python -m bench.imports`.
"""

from __future__ import annotations

import json
import subprocess
import sys

BAR = 1.5
_FLOOR = "import numpy, ai_edge_litert.interpreter"
_DAEMON = (
    "import trapd.cli.run, trapd.app, trapd.remote.start, trapd.backends.camera_replay, "
    "trapd.backends.sensor_timer, trapd.backends.classifier_tflite, trapd.backends.uplink_paho, "
    "ai_edge_litert.interpreter"
)


def run(short: bool) -> dict[str, float]:
    """`daemon_s`, `floor_s` and their ratio."""
    taken: dict[str, list[float]] = {_FLOOR: [], _DAEMON: []}
    for _ in range(3 if short else 10):
        for code, seconds in taken.items():
            seconds.append(_cpu_s(code))
    floor_s, daemon_s = min(taken[_FLOOR]), min(taken[_DAEMON])
    return {
        "floor_s": round(floor_s, 3),
        "daemon_s": round(daemon_s, 3),
        "daemon_to_floor": round(daemon_s / floor_s, 2),
    }


def _cpu_s(code: str) -> float:
    program = f"import time; began = time.process_time(); {code}; print(time.process_time() - began)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    print(json.dumps(run("--short" in sys.argv)))
