"""The bytes of one file on a disk that keeps only what was synced: by sectors, with every version since.

Time is the number of the operation. A version is what a sector held after a write; a disk may have written
any of them, whenever it liked, before the power went.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

SECTOR_BYTES = 512
_PAGE_SECTORS = 8
_TORN = 0.15  # share of pages whose sectors are of several times


@dataclass(slots=True)
class Contents:
    """`now`: as the process sees it. `durable`: as it is after a power cut, if nothing else is."""

    now: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    _versions: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    _sizes: list[tuple[int, int]] = field(default_factory=list)
    _given_up: set[int] = field(default_factory=set)

    @property
    def unsynced(self) -> bool:
        """Whether a power cut could change anything."""
        return bool(self._versions or self._sizes)

    def write(self, time: int, offset: int, data: bytes) -> None:
        """Beyond the end, what lies between reads as zeros."""
        end = offset + len(data)
        if end > len(self.now):
            self.now.extend(bytes(end - len(self.now)))
            self._sizes.append((time, end))
        self.now[offset:end] = data
        self._note(time, offset, end)

    def resize(self, time: int, size: int) -> None:
        """Cut short, or lengthened with zeros."""
        before = len(self.now)
        if size == before:
            return
        if size < before:
            self.now[size:] = bytes(before - size)
            self._note(time, size, before)
            del self.now[size:]
        else:
            self.now.extend(bytes(size - before))
        self._sizes.append((time, size))

    def sync(self) -> None:
        """All of it is durable, but for what an earlier failed sync has given up."""
        lost = {sector: self._versions[sector] for sector in self._given_up}
        durable = bytearray(self.now)
        for sector in lost:
            begin, end = sector * SECTOR_BYTES, min((sector + 1) * SECTOR_BYTES, len(durable))
            durable[begin:end] = self.durable[begin:end].ljust(end - begin, b"\0")[: max(0, end - begin)]
        self.durable = bytes(durable)
        self._versions = lost
        self._sizes.clear()

    def fail_sync(self) -> None:
        """The kernel tells an error once and takes the pages for written: no later sync tries them again."""
        self._given_up.update(self._versions)

    def sized_only(self) -> bytes:
        """Its size is known to the disk, of its unsynced bytes none: zeros where nothing was before."""
        return bytes(self.durable[: len(self.now)]).ljust(len(self.now), b"\0")

    def mixed(self, drawn: random.Random, *, garbage: bool) -> bytes:
        """Any size it has had, any page at any of its times, some pages torn.

        `garbage`: what was never written holds what another file left there, not zeros.
        """
        size = drawn.choice([len(self.durable), *(size for _, size in self._sizes), len(self.now)])
        out = bytearray(self.durable[:size].ljust(size, b"\0"))
        for page in sorted({sector // _PAGE_SECTORS for sector in self._versions}):
            first = page * _PAGE_SECTORS
            sectors = [s for s in range(first, first + _PAGE_SECTORS) if s in self._versions]
            times = sorted({time for sector in sectors for time, _ in self._versions[sector]})
            chosen = drawn.choice([-1, times[-1], drawn.choice(times)])
            torn = drawn.random() < _TORN
            for sector in sectors:
                at = drawn.choice([-1, *times]) if torn else chosen
                self._lay(out, sector, at, drawn if garbage else None)
        return bytes(out)

    def _lay(self, out: bytearray, sector: int, time: int, garbage: random.Random | None) -> None:
        begin = sector * SECTOR_BYTES
        room = min(SECTOR_BYTES, len(out) - begin)
        if room <= 0:
            return
        held = [data for at, data in self._versions[sector] if at <= time]
        if held:
            out[begin : begin + room] = held[-1][:room]
        elif garbage is not None and begin >= len(self.durable):
            out[begin : begin + room] = garbage.randbytes(room)

    def _note(self, time: int, begin: int, end: int) -> None:
        for sector in range(begin // SECTOR_BYTES, -(-end // SECTOR_BYTES)):
            data = bytes(self.now[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES])
            self._versions.setdefault(sector, []).append((time, data.ljust(SECTOR_BYTES, b"\0")))
            self._given_up.discard(sector)
