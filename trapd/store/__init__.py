"""What survives a power cut: events, the outbox, photographs, counts, and the room they may take."""

from trapd.store.burst import BurstFiles
from trapd.store.counters import Counters
from trapd.store.events import Events
from trapd.store.eviction import LOSSES, Tombstones
from trapd.store.exif import ExifContext
from trapd.store.lock import in_use
from trapd.store.outbox import Outbox
from trapd.store.rebuild import Rebuilt
from trapd.store.recovery import Recovery
from trapd.store.session import Session
from trapd.store.space import Disk, Evicted, Space
from trapd.store.store import Store
from trapd.store.timeline import RANK, TOLERANCE_MS, Correction, EncodeClock, offset

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
