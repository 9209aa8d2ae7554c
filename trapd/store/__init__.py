"""What survives a power cut: events, the outbox, photographs, counts, and the room they may take."""

from trapd.store.bursts.events import Events
from trapd.store.bursts.timeline import RANK, TOLERANCE_MS, Correction, EncodeClock, offset
from trapd.store.files.lock import in_use
from trapd.store.photographs.burst import BurstFiles
from trapd.store.photographs.exif import ExifContext
from trapd.store.queue.outbox import Outbox
from trapd.store.repair.rebuild import Rebuilt
from trapd.store.repair.recovery import Recovery
from trapd.store.room.eviction import LOSSES, Tombstones
from trapd.store.room.space import Disk, Evicted, Space
from trapd.store.session import Session
from trapd.store.sqlite.counters import Counters
from trapd.store.store import Store

__all__ = [
    "LOSSES",
    "RANK",
    "TOLERANCE_MS",
    "BurstFiles",
    "Correction",
    "Counters",
    "Disk",
    "EncodeClock",
    "Events",
    "Evicted",
    "ExifContext",
    "Outbox",
    "Rebuilt",
    "Recovery",
    "Session",
    "Space",
    "Store",
    "Tombstones",
    "in_use",
    "offset",
]
