import io
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from tests.store.common import CONFIG, CONTEXT, jpeg
from trapd.errors import BadPicture
from trapd.records import Frame, Moment, Trigger, TsQuality
from trapd.rules import round_location
from trapd.store.photographs import exif
from trapd.store.photographs.exif import ExifContext

MOMENT = Moment(1_795_324_402_120, 81_234_567_000_000, "8d8a7c0e-boot", TsQuality.RTC)
TRIGGER = Trigger("pir", "17", 81_234_560_000_000)
ORIGIN = (MOMENT, TRIGGER, CONFIG)
MEDIUM = "unit-1-3f9a-000123-0"


def stamp(context: ExifContext = CONTEXT, data: bytes | None = None, **metadata: Any) -> bytes:
    taken = Frame(data or jpeg(), 64, 48, MOMENT.boot_ns + 1_500_000_000, None, metadata)
    return exif.stamp(taken, MEDIUM, context, ORIGIN)


def tags(data: bytes) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        found = picture.getexif()
    return (
        {ExifTags.TAGS[tag]: value for tag, value in found.items()},
        {ExifTags.TAGS[tag]: value for tag, value in found.get_ifd(ExifTags.IFD.Exif).items()},
        {ExifTags.GPSTAGS[tag]: value for tag, value in found.get_ifd(ExifTags.IFD.GPSInfo).items()},
    )


def degrees(value: tuple[Any, Any, Any]) -> float:
    return float(value[0]) + float(value[1]) / 60 + float(value[2]) / 3600


def test_another_program_reads_what_the_contract_promises() -> None:
    first, camera, gps = tags(stamp(exposure_s=1 / 250, gain=2.0, focus_m=3.25))

    assert (first["Make"], first["Model"]) == ("trapd", "replay")
    assert (
        camera["DateTimeOriginal"] == "2026:11:22 13:13:23"
    )  # the frame's own time, 1.5 s after the burst's
    assert camera["SubsecTimeOriginal"] == "620"
    assert camera["OffsetTimeOriginal"] == "+08:00"
    assert camera["ImageUniqueID"] == MEDIUM
    assert camera["BodySerialNumber"] == "unit-1"
    assert float(camera["ExposureTime"]) == pytest.approx(1 / 250)
    assert camera["ISOSpeedRatings"] == 200
    assert float(camera["SubjectDistance"]) == pytest.approx(3.25)
    assert (gps["GPSLatitudeRef"], gps["GPSLongitudeRef"]) == ("N", "E")


def test_the_place_is_the_rounded_one() -> None:
    _, _, gps = tags(stamp())

    place = (degrees(gps["GPSLatitude"]), degrees(gps["GPSLongitude"]))
    assert place == pytest.approx(round_location(43.3123, 129.7712, 2.0), abs=1e-6)
    assert abs(place[0] - 43.3123) > 1e-4  # not the true one
    assert float(gps["GPSHPositioningError"]) == 2000


def test_south_and_west_have_their_letters() -> None:
    _, _, gps = tags(stamp(replace(CONTEXT, latitude=-33.9, longitude=-70.5)))

    assert (gps["GPSLatitudeRef"], gps["GPSLongitudeRef"]) == ("S", "W")


@pytest.mark.parametrize("missing", [{"latitude": None}, {"longitude": None}])
def test_without_coordinates_there_is_no_gps(missing: dict[str, Any]) -> None:
    first, _, gps = tags(stamp(replace(CONTEXT, **missing)))

    assert gps == {}
    assert "GPSInfo" not in first


def test_pixels_are_not_touched() -> None:
    data = jpeg()
    with Image.open(io.BytesIO(stamp(data=data))) as after, Image.open(io.BytesIO(data)) as before:
        assert after.tobytes() == before.tobytes()


def test_what_is_written_is_read_back() -> None:
    origin = exif.read(stamp())

    assert origin == exif.Origin(MEDIUM, "unit-1", MOMENT, TRIGGER, CONFIG, 64, 48)


def test_the_system_time_zone_serves_where_none_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    _, camera, _ = tags(stamp(replace(CONTEXT, timezone=None)))

    assert camera["OffsetTimeOriginal"][0] in "+-"


def test_zones_west_of_greenwich_have_a_negative_offset() -> None:
    _, camera, _ = tags(stamp(replace(CONTEXT, timezone="America/St_Johns")))

    assert camera["OffsetTimeOriginal"] == "-03:30"
    assert camera["DateTimeOriginal"] == "2026:11:22 01:43:23"


def test_orientation_of_a_replayed_photograph_is_carried_over() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    turned[0x010F] = "another camera"

    first, _, _ = tags(stamp(data=jpeg(exif=turned)))

    assert first["Orientation"] == 6
    assert first["Make"] == "trapd"


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e12, "x", None, True])
def test_a_camera_that_tells_nonsense_is_left_out(value: Any) -> None:
    _, camera, _ = tags(stamp(exposure_s=value, gain=value, focus_m=value))

    assert not {"ExposureTime", "ISOSpeedRatings", "SubjectDistance"} & camera.keys()


def test_a_photograph_of_another_camera_is_not_ours() -> None:
    with pytest.raises(BadPicture, match="no EXIF"):
        exif.read(jpeg())
    other = Image.Exif()
    other[0x010F] = "another camera"
    with pytest.raises(BadPicture, match="not what trapd writes"):
        exif.read(jpeg(exif=other))


@given(st.integers(0, 700), st.integers(0, 255))
def test_a_flipped_byte_reads_as_itself_or_not_at_all(at: int, value: int) -> None:
    data = bytearray(stamp())
    data[at] = value
    try:
        origin = exif.read(bytes(data))
        assert exif.orientation(bytes(data)) in range(1, 9)
    except BadPicture:
        return
    assert abs(origin.moment.wall_ms) < 2**62
