"""The segments of a JPEG: its size, and its EXIF replaced without touching a pixel. Pure; any thread.

Reads the header only, up to the first scan. Source: ITU-T T.81 annex B; Exif 2.32 section 4.7.
"""

from __future__ import annotations

from collections.abc import Iterator

from trapd.errors import BadPicture
from trapd.frozen import Frozen

EXIF = b"Exif\x00\x00"
_SOI = b"\xff\xd8"
_EOI = 0xD9
_SOS = 0xDA
_APP0 = 0xE0
_APP1 = 0xE1
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
_SIZE = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_MOST_SEGMENT = 0xFFFF - 2


class Segment(Frozen):
    """One segment: `data[begin:end]` with its marker, `data[payload:end]` without."""

    marker: int
    begin: int
    payload: int
    end: int


def segments(data: bytes) -> Iterator[Segment]:
    """The segments before the first scan, and that scan's. Raises BadPicture for anything else."""
    if data[:2] != _SOI:
        raise BadPicture("not a JPEG: it does not begin with FF D8")
    at = 2
    while True:
        begin = at
        if data[at : at + 1] != b"\xff":
            raise BadPicture(f"damaged JPEG: no marker at byte {at}")
        while data[at : at + 1] == b"\xff":
            at += 1
        marker = data[at] if at < len(data) else _EOI
        at += 1
        if marker in _ALONE:
            continue
        if marker == _EOI:
            raise BadPicture("damaged JPEG: it ends before its picture begins")
        length = int.from_bytes(data[at : at + 2], "big")
        end = at + length
        if length < 2 or end > len(data):
            raise BadPicture(f"damaged JPEG: a segment at byte {begin} reaches beyond the end")
        yield Segment(marker, begin, at + 2, end)
        if marker == _SOS:
            return
        at = end


def size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels. Raises BadPicture."""
    for segment in segments(data):
        if segment.marker in _SIZE:
            if segment.end - segment.payload < 6:
                break
            height = int.from_bytes(data[segment.payload + 1 : segment.payload + 3], "big")
            width = int.from_bytes(data[segment.payload + 3 : segment.payload + 5], "big")
            if width and height:
                return width, height
    raise BadPicture("damaged JPEG: it does not say its size")


def scans(data: bytes) -> int:
    """Passes over the picture, about: more than one has to be held whole to be decoded. Raises BadPicture."""
    *_, first = segments(data)
    end = data.find(b"\xff\xd9", first.end)
    # In what a scan holds every FF is followed by 00 or a restart (T.81, B.1.1.5): this is no accident there.
    return data.count(b"\xff\xda", first.begin, end if end > 0 else len(data))


def exif(data: bytes) -> bytes | None:
    """The first EXIF block, beginning with `Exif`; None where there is none. Raises BadPicture."""
    for segment in segments(data):
        if _is_exif(data, segment):
            return data[segment.payload : segment.end]
    return None


def with_exif(data: bytes, block: bytes) -> bytes:
    """The same JPEG with `block` as its only EXIF; every other byte as it was. Raises BadPicture."""
    if not block.startswith(EXIF) or len(block) > _MOST_SEGMENT:
        raise ValueError(f"an EXIF block begins with {EXIF!r} and has at most {_MOST_SEGMENT} bytes")
    found = list(segments(data))
    # JFIF wants to stand first, Exif too: readers accept JFIF, then Exif, and so do cameras.
    insert = found[0].end if found[0].marker == _APP0 else 2
    parts = [data[:insert], b"\xff\xe1", (len(block) + 2).to_bytes(2, "big"), block]
    at = insert
    for segment in found:
        if _is_exif(data, segment):
            parts.append(data[at : segment.begin])
            at = segment.end
    parts.append(data[at:])
    return b"".join(parts)


def _is_exif(data: bytes, segment: Segment) -> bool:
    return segment.marker == _APP1 and data[segment.payload : segment.payload + len(EXIF)] == EXIF
