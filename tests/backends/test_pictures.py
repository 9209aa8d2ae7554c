"""Whatever the bytes are: a picture of the size asked for, or BadPicture; and never much memory."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.backends.pictures_made import jpeg_of, png_of, scene, with_orientation
from trapd.backends import pictures
from trapd.backends.pictures import decode_rgb, small_of
from trapd.errors import BadPicture

SIZE = (320, 320)
ROOT = Path(__file__).resolve().parents[2]


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("size", [(2560, 1440), (1280, 960), (641, 479), (320, 320), (100, 75)])
def test_a_photograph_is_stretched_to_the_size_asked_for(size: tuple[int, int]) -> None:
    image = scene(*size)
    found = decode_rgb(jpeg_of(image), SIZE)
    assert (found.shape, found.dtype) == ((320, 320, 3), np.uint8)
    # JPEG halves the resolution of colour, which shows in the smallest one.
    assert apart(found, np.asarray(image.resize(SIZE, Image.Resampling.BILINEAR))) < 6


def test_fine_stripes_become_grey_and_do_not_alias() -> None:
    stripes = np.zeros((1440, 2560, 3), np.uint8)
    stripes[:, ::2] = 255
    found = decode_rgb(jpeg_of(Image.fromarray(stripes)), SIZE)
    assert np.abs(found.astype(int) - 127).max() < 12


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_every_kind_of_jpeg_is_read(mode: str) -> None:
    image = scene()
    found = decode_rgb(jpeg_of(image.convert(mode)), SIZE)
    wanted = np.asarray(image.convert(mode).convert("RGB").resize(SIZE, Image.Resampling.BILINEAR))
    assert apart(found, wanted) < 4


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "I;16"])
def test_a_png_is_known_by_its_content(mode: str) -> None:
    image = scene().convert("L").convert(mode) if mode == "I;16" else scene().convert(mode)
    assert decode_rgb(png_of(image), SIZE).shape == (320, 320, 3)


@pytest.mark.parametrize(("orientation", "turned"), [(1, 0), (3, 180), (6, 270), (8, 90)])
def test_a_turned_photograph_stands_upright(orientation: int, turned: int) -> None:
    stored = scene(640, 480)
    upright = stored.rotate(turned, expand=True)
    data = with_orientation(stored, orientation)
    wanted = np.asarray(upright.resize(SIZE, Image.Resampling.BILINEAR))
    assert apart(decode_rgb(data, SIZE), wanted) < 3
    small, width, height = small_of(data, (320, 180))
    assert (width, height) == (640, 480)
    assert abs(small.height / small.width - upright.height / upright.width) < 0.01
    luma = np.frombuffer(small.data, np.uint8, small.width * small.height).reshape(small.height, small.width)
    shape = (small.width, small.height)
    assert apart(luma, np.asarray(upright.convert("L").resize(shape, Image.Resampling.BILINEAR))) < 3


def test_damaged_exif_does_not_spoil_a_photograph() -> None:
    data = with_orientation(scene(), 6)
    at = data.index(b"Exif\0\0") + 6
    assert decode_rgb(data[:at] + b"\xff" * 12 + data[at + 12 :], SIZE).shape == (320, 320, 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (b"GIF89a" + bytes(100), "neither a JPEG nor a PNG"),
        (b"\xff\xd8\xff", "header"),
        (jpeg_of(scene())[:400], "header|decoded"),
        (jpeg_of(scene())[:-2000], "decoded"),
        (png_of(scene())[:5000], "decoded"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(data: bytes, words: str) -> None:
    for attempt in (lambda: decode_rgb(data, SIZE), lambda: small_of(data, (640, 360))):
        with pytest.raises(BadPicture, match=words) as caught:
            attempt()
        assert "\n" not in str(caught.value)


def grown(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header claims another size."""
    at = next(place for place in range(len(data)) if data[place : place + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return data[: at + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 9 :]


def test_a_header_that_claims_too_much_is_refused_before_decoding() -> None:
    with pytest.raises(BadPicture, match="4294 megapixels"):
        decode_rgb(grown(jpeg_of(scene()), 65535, 65535), SIZE)
    with pytest.raises(BadPicture, match=r"several scans.*100 megapixels"):
        decode_rgb(grown(jpeg_of(scene(), progressive=True), 10000, 10000), SIZE)
    with pytest.raises(BadPicture, match="long and thin"):
        decode_rgb(grown(jpeg_of(scene()), 65000, 600), (320, 600))


def test_a_progressive_photograph_of_ordinary_size_is_read() -> None:
    image = scene()
    assert apart(decode_rgb(jpeg_of(image, progressive=True), SIZE), decode_rgb(jpeg_of(image), SIZE)) < 1


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = jpeg_of(scene(), progressive=True)
    at = data.rindex(b"\xff\xda")
    with pytest.raises(BadPicture, match="scans"):
        decode_rgb(data[:at] + data[at:-2] * (pictures.MOST_SCANS + 1) + b"\xff\xd9", SIZE)


@given(st.binary(max_size=400), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_any_bytes_give_a_picture_or_bad_picture(data: bytes, begin: bytes) -> None:
    try:
        assert decode_rgb(begin + data, SIZE).shape == (320, 320, 3)
    except BadPicture as error:
        assert str(error)


_SOUND = (jpeg_of(scene(160, 120)), jpeg_of(scene(160, 120), progressive=True), png_of(scene(160, 120)))


@given(st.sampled_from(_SOUND), st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=8))
def test_a_photograph_with_bytes_changed_gives_a_picture_or_bad_picture(
    sound: bytes, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(sound)
    for place, value in changes:
        data[place % len(data)] = value
    for attempt in (lambda: decode_rgb(bytes(data), SIZE), lambda: small_of(bytes(data), (64, 36))):
        try:
            attempt()
        except BadPicture as error:
            assert str(error)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1000, 333), (48, 480), (3000, 2), (7, 7)])
def test_a_small_frame_keeps_the_photographs_aspect(width: int, height: int) -> None:
    small, found_width, found_height = small_of(jpeg_of(scene(width, height)), (640, 360))
    assert (found_width, found_height) == (width, height)
    assert (small.width, small.stride, small.layout) == (640, 640, "i420")
    assert small.height % 2 == 0
    assert abs(small.height - 640 * height / width) <= 1 or small.height == 2
    assert len(small.data) == small.width * small.height * 3 // 2


@pytest.mark.parametrize("size", [(1, 5000), (4, 60000)])
def test_a_small_frame_of_something_long_and_thin_is_refused_and_not_made(size: tuple[int, int]) -> None:
    """Of 1 x 5000 pixels it would take gigabytes."""
    with pytest.raises(BadPicture, match="too long and thin"):
        small_of(jpeg_of(Image.new("RGB", size)), (640, 0))


def test_a_small_frame_of_a_grey_photograph_has_no_colour() -> None:
    small, _, _ = small_of(jpeg_of(scene().convert("L")), (640, 360))
    chroma = np.frombuffer(small.data, np.uint8)[small.width * small.height :]
    assert set(chroma.tolist()) == {128}


_MEASURE = """
import sys, resource
from pathlib import Path
from trapd.backends.pictures import decode_rgb, small_of
from tests.backends.pictures_made import jpeg_of, scene
warm = jpeg_of(scene(64, 48))
decode_rgb(warm, (320, 320)); small_of(warm, (640, 480))
data = Path(sys.argv[1]).read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode_rgb(data, (320, 320)) if sys.argv[2] == "rgb" else small_of(data, (640, 480))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "size", "most_bytes"),
    [
        ("rgb", (4000, 3000), 4_000_000),
        ("small", (4000, 3000), 7_000_000),
        ("rgb", (12000, 8400), 16_000_000),
    ],
)
def test_a_large_photograph_takes_little_memory(
    tmp_path: Path, kind: str, size: tuple[int, int], most_bytes: int
) -> None:
    path = tmp_path / "large.jpg"
    out = io.BytesIO()
    scene(1000, 750).resize(size, Image.Resampling.NEAREST).save(out, "JPEG", quality=60)
    path.write_bytes(out.getvalue())
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(path), kind],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert int(done.stdout) < most_bytes
