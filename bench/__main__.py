"""Every measurement, in one run: `python -m bench [--short]`.

Prints one JSON object: what was measured, on what, and each bar with the value it allows. Most are ratios
against a floor measured in the same run, for machines are noisy; sync calls, memory and the edge's way are
absolutes, of the machine that is named. Exits 1 when a value exceeds its bar 1.5 times, a few of
them less: such a miss is no noise. With --short there are fewer rounds and rows: the names say what a whole
run has.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from typing import Any

from bench import capture, edge, imports, memory, store_syncs
from bench import delivery as drain
from bench import filter as filter_bench
from bench import store as store_bench
from bench.bar import Bar, judge


def bars(figures: dict[str, dict[str, Any]]) -> list[Bar]:
    """The promises among the figures."""
    store, outbox, delivery = figures["store"], figures["outbox"], figures["delivery"]
    return [
        *_filter_bars(figures["filter"]),
        Bar(
            "capture's p99 beside a busy filter / an idle one",
            figures["capture"]["busy_to_idle"],
            capture.BAR,
        ),
        # An absolute, on the machine that the report names: a PIR and a shutter know no ratio.
        Bar(
            "edge to the choice of the first frame, trapd's share at p99, ms",
            figures["edge"]["own_p99_ms"],
            edge.BAR_MS,
            reached=bool(figures["edge"]["undisturbed"]),  # else it is the machine's
        ),
        Bar("sync calls per burst of 3", store["syncs_per_burst"], 5),
        Bar("sync calls per settled burst (event and thumbnail)", store["syncs_per_settle"], 2),
        Bar("sync calls per outbox row", store["syncs_per_row"], 1),
        *memory.bars(figures["memory"]),
        Bar(
            "CPU time of the daemon's imports until it watches / of numpy and the runtime",
            figures["imports"]["watching_to_floor"],
            imports.BAR,
            tolerance=1.1,
        ),
        Bar(
            "the same with what comes after: MQTT, TLS, pictures",
            figures["imports"]["all_to_floor"],
            imports.ALL_STANDS,
            tolerance=1.1,
        ),
        Bar("put / append and fdatasync", outbox["put_to_append"], 2.0),
        Bar("put with many rows queued / with none", outbox["put_many_to_empty"], 1.1),
        Bar("next 20 of many rows / of 10,000", outbox["next_many_to_some"], 2.0),
        Bar("database / payload of its rows", outbox["size_to_payload"], 1.25),
        Bar("raw paho / Deliver, 500-byte rows per second", delivery["ratio_events"], drain.EVENTS_BAR),
        Bar("raw paho / Deliver, 20 kB files per second", delivery["ratio_files"], drain.FILES_BAR),
        Bar("memory of 100,000 events that wait offline, MB", delivery["memory_mb"], 2.0),
        Bar("memory of a million rows that wait offline, MB", delivery["memory_many_mb"], 2.0),
    ]


def _filter_bars(found: dict[str, Any]) -> list[Bar]:
    made = [
        Bar("small frame to decision / bare invoke", found["ratio"], filter_bench.BAR),
        Bar(
            "the same for a model of half a millisecond",
            found["quick_ratio"],
            filter_bench.QUICK_BAR,
            tolerance=1.1,  # it stands at the bar; others at work on the machine cost it a tenth
        ),
        Bar(
            "a burst's small frames to its verdict / as many bare invokes",
            found["verdict_ratio"],
            filter_bench.VERDICT_BAR,
            tolerance=1.02,  # it stands at the bar too
        ),
        Bar("a photograph of 12 MP while it is judged, MB", found["photograph_bytes"] / 1e6, 3.0),
        Bar("growth of the filter over many frames, MB", found["growth_bytes"] / 1e6, 2.0),
    ]
    if found["invoke_to_ssd"] is not None:
        made.append(Bar("default model's invoke / COCO SSD's", found["invoke_to_ssd"], filter_bench.SSD_BAR))
    return made


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--short", action="store_true", help="fewer rounds: for CI")
    short = parser.parse_args().short
    figures = {
        "filter": filter_bench.run(short),
        "capture": capture.run(short),
        "edge": edge.run(short),
        "store": store_syncs.run(short),
        "outbox": store_bench.run(short),
        "delivery": drain.run(short),
        "memory": memory.run(short),
        "imports": imports.run(short),
    }
    judged = bars(figures)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    report = {"machine": machine, "figures": figures, "bars": [asdict(bar) for bar in judged]}
    print(json.dumps(report, indent=1))
    return judge(judged)


if __name__ == "__main__":
    sys.exit(main())
