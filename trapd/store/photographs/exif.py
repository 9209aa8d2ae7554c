"""EXIF of a photograph: written once, at capture, and read back when the database has to be rebuilt.

Written without re-encoding: the camera's pixels stay as they are. Beside what other programs understand,
UserComment carries as JSON what a rebuilt event needs: both clocks, the trigger, the configuration's hash.
Pure but for Pillow's import at first use; any thread. Source: Exif 2.32 (CIPA DC-008), tag numbers below.
"""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

from trapd.errors import BadPicture
from trapd.frozen import Frozen
from trapd.records import Frame, Moment, Trigger, TsQuality
from trapd.rules import round_location
from trapd.store.files import names
from trapd.store.photographs import jpeg

MAKE = "trapd"

_MAKE = 0x010F
_MODEL = 0x0110
_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_GPS_IFD = 0x8825
_EXPOSURE_TIME = 0x829A
_ISO = 0x8827
_EXIF_VERSION = 0x9000
_DATE_TIME = 0x9003
_OFFSET_TIME = 0x9011
_SUBJECT_DISTANCE = 0x9206
_USER_COMMENT = 0x9286
_SUB_SEC = 0x9291
_UNIQUE_ID = 0xA420
_BODY_SERIAL = 0xA431
_GPS_VERSION, _GPS_LAT_REF, _GPS_LAT, _GPS_LON_REF, _GPS_LON, _GPS_ERROR = 0, 1, 2, 3, 4, 0x1F
_ASCII = "ASCII\x00\x00\x00"  # the character code that UserComment begins with


class ExifContext(Frozen):
    """What is the same for every photograph of this process. `timezone` None: the system's.

    Coordinates are the true ones: what is written is the centre of a fixed grid cell `precision_km` wide
    (rules.round_location), with that width as GPSHPositioningError. Without both coordinates there is no GPS.
    """

    unit: str
    model: str
    latitude: float | None = None
    longitude: float | None = None
    precision_km: float = 2.0
    timezone: str | None = None


class Origin(Frozen):
    """Where a photograph comes from. `moment` is the burst's; the frame's own time is DateTimeOriginal."""

    medium_id: str
    unit: str
    moment: Moment
    trigger: Trigger
    config: str
    width: int
    height: int


def stamp(frame: Frame, medium_id: str, context: ExifContext, origin: tuple[Moment, Trigger, str]) -> bytes:
    """The frame's JPEG with our EXIF in place of any other; Orientation is carried over.

    `origin`: the burst's moment, trigger and configuration hash. Raises BadPicture if it is no JPEG.
    """
    from PIL import Image

    moment, trigger, config = origin
    exif = Image.Exif()
    exif[_MAKE] = MAKE
    exif[_MODEL] = _printable(str(frame.metadata.get("model") or context.model))
    if (turned := orientation(frame.jpeg)) != 1:
        exif[_ORIENTATION] = turned
    taken_ms = moment.wall_ms + (frame.boot_ns - moment.boot_ns) // 1_000_000
    local = names.local_time(taken_ms, context.timezone)
    tags: dict[int, Any] = {
        _EXIF_VERSION: b"0232",
        _DATE_TIME: f"{local:%Y:%m:%d %H:%M:%S}",
        _OFFSET_TIME: _offset(local.utcoffset() or timedelta()),
        _SUB_SEC: f"{taken_ms % 1000:03d}",
        _UNIQUE_ID: medium_id,
        _BODY_SERIAL: context.unit,
        _USER_COMMENT: _ASCII + _comment(moment, trigger, config),
    }
    exif[_EXIF_IFD] = tags | _exposure(frame.metadata)
    if context.latitude is not None and context.longitude is not None:
        exif[_GPS_IFD] = _gps(context.latitude, context.longitude, context.precision_km)
    return jpeg.with_exif(frame.jpeg, exif.tobytes())


def read(data: bytes) -> Origin:
    """What one of our photographs says of itself. Raises BadPicture where it is damaged or not ours."""
    width, height = jpeg.size(data)
    block = jpeg.exif(data)
    if block is None:
        raise BadPicture("the photograph carries no EXIF")
    try:
        tags = _load(block).get_ifd(_EXIF_IFD)
        said = json.loads(str(tags[_USER_COMMENT]).removeprefix(_ASCII))
        source, sensor, trigger_ns = said["trigger"]
        return Origin(
            medium_id=str(tags[_UNIQUE_ID]),
            unit=str(tags[_BODY_SERIAL]),
            moment=Moment(
                _whole(said["wall_ms"]),
                _whole(said["boot_ns"]),
                str(said["boot_id"]),
                TsQuality(said["ts_quality"]),
            ),
            trigger=Trigger(str(source), str(sensor), _whole(trigger_ns)),
            config=str(said["config"]),
            width=width,
            height=height,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadPicture(f"the photograph's EXIF is not what trapd writes: {error}") from error


def orientation(data: bytes) -> int:
    """How the picture is to be turned, 1 to 8; 1 where it does not say. Raises BadPicture for no JPEG."""
    block = jpeg.exif(data)
    if block is None:
        return 1
    try:
        said = _load(block).get(_ORIENTATION)
    except BadPicture:
        return 1  # the pixels are sound; a broken block is replaced by ours
    return said if isinstance(said, int) and 1 <= said <= 8 else 1


def _load(block: bytes) -> Any:
    from PIL import Image

    exif = Image.Exif()
    try:
        exif.load(block)
        exif.get_ifd(_EXIF_IFD)
    except Exception as error:
        # Pillow lets nearly every exception through on a hostile block: struct.error, SyntaxError, Warning...
        raise BadPicture(f"the photograph's EXIF cannot be read: {error}") from error
    return exif


def _comment(moment: Moment, trigger: Trigger, config: str) -> str:
    said = {
        "v": 1,
        "wall_ms": moment.wall_ms,
        "ts_quality": moment.quality,
        "boot_id": moment.boot_id,
        "boot_ns": moment.boot_ns,
        "trigger": [trigger.source, trigger.sensor, trigger.boot_ns],
        "config": config,
    }
    return json.dumps(said, separators=(",", ":"))


def _exposure(metadata: dict[str, Any]) -> dict[int, Any]:
    from PIL.TiffImagePlugin import IFDRational

    tags: dict[int, Any] = {}
    if exposure_s := _positive(metadata.get("exposure_s")):
        tags[_EXPOSURE_TIME] = IFDRational(round(exposure_s * 1_000_000), 1_000_000)
    if gain := _positive(metadata.get("gain")):
        tags[_ISO] = min(65535, max(1, round(gain * 100)))
    if focus_m := _positive(metadata.get("focus_m")):
        tags[_SUBJECT_DISTANCE] = IFDRational(round(focus_m * 1000), 1000)
    return tags


def _gps(latitude: float, longitude: float, precision_km: float) -> dict[int, Any]:
    from PIL.TiffImagePlugin import IFDRational

    rounded_lat, rounded_lon = round_location(latitude, longitude, precision_km)
    return {
        _GPS_VERSION: b"\x02\x03\x00\x00",
        _GPS_LAT_REF: "S" if rounded_lat < 0 else "N",
        _GPS_LAT: _degrees(rounded_lat),
        _GPS_LON_REF: "W" if rounded_lon < 0 else "E",
        _GPS_LON: _degrees(rounded_lon),
        _GPS_ERROR: IFDRational(round(precision_km * 1000), 1),
    }


def _degrees(value: float) -> tuple[Any, Any, Any]:
    """Degrees, minutes and ten-thousandths of a second, as three rationals."""
    from PIL.TiffImagePlugin import IFDRational

    total = round(abs(value) * 3600 * 10_000)
    minutes, seconds = divmod(total, 60 * 10_000)
    whole, minutes = divmod(minutes, 60)
    return IFDRational(whole, 1), IFDRational(minutes, 1), IFDRational(seconds, 10_000)


def _offset(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _positive(value: object) -> float | None:
    """The number if it can stand in a rational: finite, above zero, below what 32 bits hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 1e-6 <= value <= 4000 else None


def _whole(value: object) -> int:
    if not isinstance(value, int) or abs(value) >= 2**62:
        raise ValueError(f"not a time: {value!r}")
    return value


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text) or "unknown"
