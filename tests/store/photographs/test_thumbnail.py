import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from tests.store.common import jpeg
from trapd.errors import BadPicture
from trapd.store.photographs import thumbnail


def noise(width: int, height: int) -> bytes:
    """The worst case for a byte limit: nothing in it compresses."""
    out = io.BytesIO()
    Image.effect_noise((width, height), 120).convert("RGB").save(out, "JPEG", quality=90)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


NOISE = noise(1600, 900)


@pytest.mark.parametrize("limit", [1500, 4000, 10_000, 24_576, 60_000, 500_000])
def test_it_fits_and_can_be_decoded(limit: int) -> None:
    small = thumbnail.make(NOISE, limit)

    assert small is not None
    assert len(small) <= limit
    picture = opened(small)
    assert picture.format == "JPEG"
    assert max(picture.size) <= 640
    assert picture.width / picture.height == pytest.approx(16 / 9, abs=0.03)


def test_more_bytes_give_a_better_picture() -> None:
    sizes = [len(thumbnail.make(NOISE, limit) or b"") for limit in (3000, 10_000, 30_000, 100_000)]

    assert sizes == sorted(sizes)
    assert opened(thumbnail.make(jpeg(1600, 900), 24_576) or b"").size == (640, 360)


def test_a_small_photograph_is_not_enlarged() -> None:
    assert opened(thumbnail.make(jpeg(100, 80), 24_576) or b"").size == (100, 80)


def test_it_carries_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a secret camera"

    small = thumbnail.make(jpeg(exif=exif), 24_576)

    assert small is not None
    assert b"secret" not in small
    assert not opened(small).getexif()


def test_a_comment_in_the_photograph_stays_there() -> None:
    out = io.BytesIO()
    Image.new("RGB", (1600, 900)).save(out, "JPEG", comment=b"a secret place")

    small = thumbnail.make(out.getvalue(), 24_576)

    assert small is not None
    assert b"secret" not in small


@pytest.mark.parametrize("size", [(1440, 960), (2304, 1296), (700, 500), (500, 700), (4000, 60)])
def test_it_shows_what_the_photograph_shows(size: tuple[int, int]) -> None:
    """It is decoded at a fraction of the photograph's size, and looks as if all of it had been."""
    picture = Image.effect_noise((size[0] // 20, size[1] // 20), 120).resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    picture.convert("RGB").save(out, "JPEG", quality=95)

    small = opened(thumbnail.make(out.getvalue(), 500_000) or b"").convert("L")

    whole = picture.resize(small.size, Image.Resampling.BICUBIC)
    assert ImageStat.Stat(ImageChops.difference(small, whole)).mean[0] < 4


def test_it_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6

    assert opened(thumbnail.make(jpeg(200, 100, exif=exif), 24_576) or b"").size == (100, 200)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_every_kind_of_jpeg_is_taken(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (300, 200)).save(out, "JPEG")

    assert thumbnail.make(out.getvalue(), 24_576) is not None


def test_there_is_none_where_none_is_wanted_or_none_fits() -> None:
    assert thumbnail.make(NOISE, 0) is None
    assert thumbnail.make(NOISE, 100) is None


@pytest.mark.parametrize("data", [b"", b"not a jpeg", jpeg()[:200], jpeg(640, 480)[:-3000], bytes(5000)])
def test_what_cannot_be_decoded_is_a_bad_picture(data: bytes) -> None:
    with pytest.raises(BadPicture):
        thumbnail.make(data, 24_576)


def test_a_large_picture_in_several_scans_is_refused_before_it_is_decoded() -> None:
    """Its decoder would hold all of it: a gigabyte on a unit of half one. In one scan it costs little."""
    picture = Image.new("L", (6000, 5000), 90)
    for progressive in (False, True):
        out = io.BytesIO()
        picture.save(out, "JPEG", progressive=progressive)
        if progressive:
            with pytest.raises(BadPicture, match="progressive"):
                thumbnail.make(out.getvalue(), 24_576)
        else:
            assert thumbnail.make(out.getvalue(), 24_576) is not None


def test_a_picture_too_large_to_decode_is_refused_by_its_header() -> None:
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"

    with pytest.raises(BadPicture, match="65535 x 65535"):
        thumbnail.make(bytes(data), 24_576)


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_flipped_byte_gives_a_picture_or_a_bad_picture(at: int, value: int) -> None:
    data = bytearray(jpeg(128, 96))
    data[at % len(data)] = value
    try:
        thumbnail.make(bytes(data), 24_576)
    except BadPicture:
        return
