"""Sync calls of the store: per burst of three photographs, per settled burst, per plain outbox row.

Counted by strace in a child process, so that SQLite's own are seen too. What opening, closing and the first
burst of a day cost is measured apart and taken off. Run as `python -m bench.store_syncs [--short]`.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_CALLS = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"
_FRAMES = 3


def run(short: bool) -> dict[str, Any]:
    """Syncs for one of each, as a mean over many; whole numbers where nothing is amortised."""
    count = 30 if short else 300
    base = _syncs("open", count)
    bursts = _syncs("bursts", count)
    return {
        "count": count,
        "syncs_per_burst": (bursts - base) / count,
        "syncs_per_settle": (_syncs("settled", count) - bursts) / count,
        "syncs_per_row": (_syncs("rows", count) - base) / count,
        "syncs_per_acknowledged_20": (_syncs("acknowledged", count) - _syncs("rows", 20 * count)) / count,
    }


def _syncs(what: str, count: int) -> int:
    if shutil.which("strace") is None:
        raise RuntimeError("strace is needed to count sync calls: apt-get install strace")
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "table")
        child = [
            sys.executable,
            "-m",
            "bench.store_syncs",
            "--child",
            what,
            str(count),
            str(Path(folder, "store")),
        ]
        subprocess.run(
            ["strace", "-f", "-c", "-U", "calls,name", "-e", f"trace={_CALLS}", "-o", str(table), *child],
            check=True,
            cwd=Path(__file__).parents[1],
            timeout=600,
        )
        text = table.read_text("utf-8")
    return sum(int(calls) for calls in re.findall(r"^\s*(\d+) (?!total)\w+$", text, re.MULTILINE))


def _child(what: str, count: int, root: Path) -> None:
    from trapd.host.clock import SystemClock
    from trapd.records import Event, Frame, Kind, Trigger, Verdict
    from trapd.store import ExifContext, Session, Store

    clock = SystemClock()
    picture = _picture()
    context = ExifContext("bench-1", "replay", timezone="UTC")

    def capture(store: Store, session: Session) -> Event:
        moment = clock.now()
        trigger = Trigger("timer", "", moment.boot_ns)
        seq = store.next_seq()
        files = store.burst_files(seq, moment, context, trigger=trigger, config="")
        for _ in range(_FRAMES):
            files.add(Frame(picture, 640, 480, moment.boot_ns))
        return session.events.record(
            seq=seq, moment=moment, trigger=trigger, media=files.commit(), config="", env={}
        )

    def settle(store: Store, session: Session, event: Event) -> None:
        session.events.settle(
            event.id, Verdict("unknown", keep=True), thumb=store.write_thumb(event, 0, 24_576)
        )

    def put(session: Session) -> None:
        session.outbox.put(Kind.TRAIL, "trail", bytes(500), retain=False)

    store = Store.open(root, "bench-1", clock=clock, max_bytes=10**10, min_free_bytes=0)
    with store.session() as session:
        settle(store, session, capture(store, session))
        put(session)
        if what in ("bursts", "settled"):
            events = [capture(store, session) for _ in range(count)]
            if what == "settled":
                for event in events:
                    settle(store, session, event)
        if what == "rows":
            for _ in range(count):
                put(session)
        if what == "acknowledged":
            for _ in range(20 * count):
                put(session)
            for _ in range(count):
                session.outbox.acknowledge([m.row for m in session.outbox.next(20, max_bytes=10**9)])
    store.close(clean=True)


def _picture() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.effect_noise((640, 480), 60).convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        print(json.dumps(run("--short" in sys.argv[1:])))
