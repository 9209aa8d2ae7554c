"""Names of events, photographs and their files. Pure; any thread.

A name is never given twice: it carries epoch and seq, so a clock that jumps back cannot collide with it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from trapd.frozen import Frozen

MEDIA = "media"
THUMBS = "thumbs"
TEMP = "tmp"
ORPHANS = "orphans"

_FILE = (
    r"(?P<unit>[a-z0-9][a-z0-9_-]{2,31})__\d{4}-\d\d-\d\d__\d\d-\d\d-\d\d"
    r"__(?P<epoch>[0-9a-f]{4})-(?P<seq>\d{6,15})_(?P<frame>\d{1,4})\.jpg"
)


class PhotographName(Frozen):
    """What the name of a photograph's file says."""

    unit: str
    epoch: str
    seq: int
    frame: int

    @property
    def event_id(self) -> str:
        """The id of the burst it belongs to."""
        return event_id(self.unit, self.epoch, self.seq)

    @property
    def medium_id(self) -> str:
        """Its own id."""
        return medium_id(self.event_id, self.frame)


def event_id(unit: str, epoch: str, seq: int) -> str:
    """`wangqing-07-3f9a-000123`."""
    return f"{unit}-{epoch}-{seq:06d}"


def medium_id(event: str, frame: int) -> str:
    """`wangqing-07-3f9a-000123-0`."""
    return f"{event}-{frame}"


def local_time(wall_ms: int, timezone: str | None) -> datetime:
    """The wall-clock time in `timezone` (IANA name), or in the system's where that is None."""
    utc = datetime.fromtimestamp(wall_ms // 1000, UTC)
    if timezone is None:
        return utc.astimezone()
    from zoneinfo import ZoneInfo  # most units have the system's, and do without it

    return utc.astimezone(ZoneInfo(timezone))


def day_folder(local: datetime) -> str:
    """The folder of a burst that began at `local`, relative to storage.path."""
    return f"{MEDIA}/{local:%Y-%m-%d}"


def photograph_file(name: PhotographName, local: datetime) -> str:
    """The file's name within its day folder. `local`: when the burst began, the same for all its frames."""
    return f"{name.unit}__{local:%Y-%m-%d__%H-%M-%S}__{name.epoch}-{name.seq:06d}_{name.frame}.jpg"


def parse_photograph(file: str) -> PhotographName | None:
    """What a file's name (without folder) says; None if it is not a photograph of ours."""
    match = re.fullmatch(_FILE, file)
    if match is None:
        return None
    return PhotographName(match["unit"], match["epoch"], int(match["seq"]), int(match["frame"]))


def thumb_path(event: str) -> str:
    """Where an event's thumbnail lies, relative to storage.path."""
    return f"{THUMBS}/{event}.jpg"
