import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.store.common import jpeg as make
from trapd.errors import BadPicture
from trapd.store.photographs import jpeg

NEW = Image.Exif()
NEW[0x010F] = "trapd"
BLOCK = NEW.tobytes()


def scan(data: bytes) -> bytes:
    last = list(jpeg.segments(data))[-1]
    return data[last.begin :]


def with_old_exif() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "another camera"
    return make(exif=exif)


@pytest.mark.parametrize("data", [make(), with_old_exif(), make(progressive=True), make(comment=b"hello")])
def test_new_exif_replaces_the_old_and_leaves_every_other_byte(data: bytes) -> None:
    stamped = jpeg.with_exif(data, BLOCK)

    assert jpeg.exif(stamped) == BLOCK
    assert scan(stamped) == scan(data)
    assert b"another camera" not in stamped
    others = [
        data[s.begin : s.end] for s in jpeg.segments(data) if data[s.payload : s.payload + 6] != jpeg.EXIF
    ]
    assert [
        stamped[s.begin : s.end]
        for s in jpeg.segments(stamped)
        if stamped[s.payload : s.payload + 6] != jpeg.EXIF
    ] == others
    with Image.open(io.BytesIO(stamped)) as after, Image.open(io.BytesIO(data)) as before:
        assert after.tobytes() == before.tobytes()


def test_every_older_exif_goes_not_only_the_first() -> None:
    twice = with_old_exif()
    first = next(s for s in jpeg.segments(twice) if twice[s.payload : s.payload + 4] == b"Exif")
    twice = twice[: first.end] + twice[first.begin : first.end] + twice[first.end :]

    stamped = jpeg.with_exif(twice, BLOCK)

    assert b"another camera" not in stamped
    assert jpeg.exif(stamped) == BLOCK


def test_a_jpeg_that_begins_without_jfif_takes_exif_first() -> None:
    data = make()
    jfif = next(jpeg.segments(data))
    bare = data[:2] + data[jfif.end :]

    assert jpeg.with_exif(bare, BLOCK)[2:4] == b"\xff\xe1"


def test_size_is_read_from_the_header() -> None:
    assert jpeg.size(make(123, 77)) == (123, 77)
    assert jpeg.size(make(123, 77, progressive=True)) == (123, 77)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        b"GIF89a" + bytes(100),
        make()[:30],
        make()[:20] + b"\x00" + make()[21:],
        b"\xff\xd8" + b"\xff" * 1000,
        b"\xff\xd8\xff\xe1\x00\x01",
        b"\xff\xd8\xff\xc0\x00\x04\x08\x00\xff\xda\x00\x02",
        bytes(1000),
    ],
)
def test_garbage_is_a_bad_picture(data: bytes) -> None:
    with pytest.raises(BadPicture):
        jpeg.size(data)


@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_input_raises_anything_else(noise: bytes, at: int) -> None:
    data = make()
    for hostile in (noise, b"\xff\xd8" + noise, data[:at] + noise + data[at:], data[:at]):
        try:
            jpeg.size(hostile)
            jpeg.with_exif(hostile, BLOCK)
        except BadPicture:
            continue


def test_a_block_that_is_no_exif_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="EXIF block"):
        jpeg.with_exif(make(), b"JFIF")
