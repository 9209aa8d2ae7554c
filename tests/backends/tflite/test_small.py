"""A camera's small frame becomes the same pixels as its photograph, whatever its size and layout."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.backends.pictures_made import jpeg_of, scene
from trapd.backends.pictures import decode_rgb, small_of
from trapd.backends.tflite.input import PictureInput
from trapd.backends.tflite.interpreter import Tensor
from trapd.backends.tflite.pixels import normalisation
from trapd.backends.tflite.sampling import SamplingPlan
from trapd.backends.tflite.small import HalvingPlan, ResamplingPlan, geometry, plan_for
from trapd.errors import BadPicture
from trapd.records import Small

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "images"


def pixels_of(small: Small, size: tuple[int, int]) -> np.ndarray:
    out = np.zeros((size[1], size[0], 3), np.uint8)
    plan_for(geometry(small), size, signed=False).write(small.data, out)
    return out


def fed(size: tuple[int, int], dtype: str, pixels: str = "0..1", fit: str = "stretch") -> PictureInput:
    tensor = Tensor(0, "", (1, size[1], size[0], 3), dtype, 0.0, 0)
    norm = normalisation(tensor, pixels=pixels, mean=(), std=(), usual="0..1")
    pictures = PictureInput(size, tensor, norm)
    pictures.use(norm, fit)
    return pictures


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def padded(small: Small, stride: int) -> Small:
    """The same frame with rows of `stride` bytes, the rest of each filled with rubbish."""
    data, at = b"", 0
    for rows, width, length in (
        (small.height, small.width, stride),
        (small.height, small.width // 2, stride // 2),
    ):
        for _ in range(rows):
            data += small.data[at : at + width] + b"\xaa" * (length - width)
            at += width
    return replace(small, data=data, stride=stride)


def as_nv12(small: Small) -> Small:
    luma, half = small.width * small.height, small.width * small.height // 4
    planes = np.frombuffer(small.data, np.uint8)
    both = np.stack([planes[luma : luma + half], planes[luma + half :]], axis=1)
    return replace(small, data=small.data[:luma] + both.tobytes(), layout="nv12")


def made(width: int, height: int, seed: int = 1) -> Small:
    small, _, _ = small_of(jpeg_of(scene(width, height, seed)), (width, height))
    assert (small.width, small.height) == (width, height)
    return small


@pytest.mark.parametrize(
    ("frame", "size", "plan"),
    [
        ((640, 360), (320, 320), HalvingPlan),
        ((640, 480), (320, 320), HalvingPlan),
        ((640, 640), (320, 320), HalvingPlan),
        ((640, 120), (320, 320), HalvingPlan),
        ((512, 288), (256, 256), HalvingPlan),
        ((640, 360), (256, 256), SamplingPlan),
        ((640, 360), (300, 300), SamplingPlan),
        ((640, 360), (96, 96), SamplingPlan),
        ((640, 360), (416, 234), SamplingPlan),
        ((640, 360), (640, 360), SamplingPlan),
        ((640, 480), (500, 480), SamplingPlan),
        ((320, 240), (320, 320), SamplingPlan),
        ((1920, 1080), (320, 320), SamplingPlan),
        ((64, 36), (320, 320), SamplingPlan),
        ((640, 480), (48, 48), ResamplingPlan),
    ],
)
def test_the_frame_looks_like_its_photograph(
    frame: tuple[int, int], size: tuple[int, int], plan: type
) -> None:
    image = scene(*frame)
    small = made(*frame)
    assert type(plan_for(geometry(small), size, signed=False)) is plan
    wanted = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    # Colour has half the resolution, which shows where the frame itself has little.
    assert apart(pixels_of(small, size), wanted) < (3 if frame[1] >= 240 else 7)


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        ((640, 360), (320, 320)),
        ((640, 480), (320, 320)),
        ((512, 288), (256, 256)),
        ((640, 360), (256, 256)),
        ((640, 360), (416, 234)),
        ((1920, 1080), (320, 320)),
        ((640, 480), (48, 48)),
    ],
)
def test_luma_and_chroma_are_the_same_picture(frame: tuple[int, int], size: tuple[int, int]) -> None:
    small = made(*frame)
    for other in (small, padded(small, frame[0] + 64), as_nv12(small)):
        plain, signed = (np.zeros((size[1], size[0], 3), dtype) for dtype in (np.uint8, np.int8))
        for out in (plain, signed):
            plan = plan_for(geometry(other), size, signed=out.dtype == np.int8, ycc=True)
            for _ in range(2):
                plan.write(other.data, out)
        assert np.array_equal(signed.astype(int), plain.astype(int) - 128)
        coloured = np.asarray(Image.fromarray(plain, "YCbCr").convert("RGB"))
        assert apart(coloured, pixels_of(small, size)) < 1


def test_a_photograph_and_its_frame_are_fed_as_the_same_luma_and_chroma() -> None:
    jpeg = jpeg_of(scene(640, 360))
    small, _, _ = small_of(jpeg, (640, 360))
    tensor = Tensor(0, "", (1, 320, 320, 3), "int8", 0.0, 0)
    norm = normalisation(tensor, pixels=None, mean=(), std=(), usual="0..1")
    pictures = PictureInput((320, 320), tensor, norm, "YCbCr")
    fed_as = []
    for picture in (jpeg, small):
        out = np.zeros(tensor.shape, np.int8)
        pictures.read(picture).write(out)
        fed_as.append(out)
    assert apart(*fed_as) < 2
    grey = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L").resize((320, 320))).astype(int) - 128
    assert apart(fed_as[0][0, ..., 0], grey) < 2


@pytest.mark.parametrize("shade", [0, 1, 127, 128, 254, 255])
def test_grey_stays_grey(shade: int) -> None:
    small = Small(bytes([shade]) * (640 * 360) + b"\x80" * (320 * 360), 640, 360, 640)
    found = pixels_of(small, (320, 320)).astype(int)
    assert np.abs(found - shade).max() <= 1
    assert np.ptp(found, axis=2).max() == 0


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (200, 30, 120)])
@pytest.mark.parametrize("size", [(320, 320), (300, 300)])
def test_colours_come_back(colour: tuple[int, int, int], size: tuple[int, int]) -> None:
    small, _, _ = small_of(jpeg_of(Image.new("RGB", (640, 360), colour), quality=100), (640, 360))
    assert np.abs(pixels_of(small, size).astype(int) - colour).max() <= 5


@pytest.mark.parametrize("size", [(320, 320), (300, 300), (640, 360), (640, 400), (96, 96)])
@pytest.mark.parametrize("signed", [False, True])
def test_extreme_values_are_clipped_and_do_not_wrap_round(size: tuple[int, int], signed: bool) -> None:
    for luma, blue, red in ((255, 255, 255), (0, 0, 0), (255, 0, 255), (0, 255, 0)):
        quarter = 320 * 180
        data = bytes([luma]) * (640 * 360) + bytes([blue]) * quarter + bytes([red]) * quarter
        frame = ("i420", 640, 360, 640)
        fast, exact = (np.zeros((size[1], size[0], 3), np.int8 if signed else np.uint8) for _ in range(2))
        plan_for(frame, size, signed=signed).write(data, fast)
        ResamplingPlan(frame, size, signed=signed).write(data, exact)
        assert np.abs(fast.astype(int) - exact).max() <= 3


@pytest.mark.parametrize("size", [(320, 320), (300, 300)])
def test_stride_and_layout_change_nothing(size: tuple[int, int]) -> None:
    small = made(640, 360)
    wanted = pixels_of(small, size)
    for other in (padded(small, 704), as_nv12(small)):
        assert np.array_equal(pixels_of(other, size), wanted)


@pytest.mark.parametrize("size", [(320, 320), (300, 300)])
def test_int8_is_the_byte_less_128_and_floats_are_its_share(size: tuple[int, int]) -> None:
    small = made(640, 360)
    plain = pixels_of(small, size).astype(int)
    for dtype, range_, wanted in (
        ("uint8", "0..1", plain),
        ("int8", "0..1", plain - 128),
        ("float32", "0..1", plain / 255),
        ("float32", "-1..1", plain / 127.5 - 1),
        ("float32", "0..255", plain),
    ):
        pictures = fed(size, dtype, range_)
        out = np.zeros((1, size[1], size[0], 3), dtype)
        pictures.read(small).write(out)
        assert np.allclose(out[0], wanted, atol=1e-6)
        jpeg = jpeg_of(scene())
        pictures.read(jpeg).write(out)
        photograph = decode_rgb(jpeg, size).astype(int)
        expected = {
            "uint8": photograph,
            "int8": photograph - 128,
            "float32": {"0..1": photograph / 255, "-1..1": photograph / 127.5 - 1, "0..255": photograph}[
                range_
            ],
        }[dtype]
        assert np.allclose(out[0], expected, atol=1e-6)


def test_a_frame_after_another_owes_it_nothing() -> None:
    one, other = made(640, 360, 1), made(640, 360, 2)
    plan = plan_for(geometry(one), (320, 320), signed=True)
    first, again = (np.zeros((320, 320, 3), np.int8) for _ in range(2))
    plan.write(one.data, first)
    plan.write(other.data, again)
    plan.write(one.data, again)
    assert np.array_equal(first, again)


@pytest.mark.parametrize(
    "fault",
    [
        {"width": 639},
        {"height": 361},
        {"width": 0},
        {"height": -2},
        {"stride": 600},
        {"layout": "rgb"},
        {"data": b""},
        {"data": bytes(640 * 360 * 3 // 2 - 1)},
        {"stride": 704},
    ],
)
def test_a_frame_that_contradicts_itself_is_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(BadPicture):
        fed((320, 320), "int8").read(replace(made(640, 360), **fault))


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 9),
    st.sampled_from(["i420", "nv12"]),
    st.integers(16, 70),
    st.integers(16, 70),
    st.booleans(),
)
def test_any_even_frame_fills_any_input(
    half_width: int, half_height: int, more: int, layout: str, columns: int, rows: int, signed: bool
) -> None:
    width, height = 2 * half_width, 2 * half_height
    stride = width + more
    data = np.random.default_rng(more).integers(0, 256, stride * height * 3 // 2, np.uint8).tobytes()
    small = Small(data, width, height, stride, layout)
    columns = half_width if half_width >= 16 and more % 2 else columns
    out = np.full((rows, columns, 3), 99, np.int8 if signed else np.uint8)
    plan = plan_for(geometry(small), (columns, rows), signed=signed)
    plan.write(data, out)
    exact = np.zeros_like(out)
    ResamplingPlan(geometry(small), (columns, rows), signed=signed).write(data, exact)
    # Noise is the worst case for two filters to agree on: only their means must.
    assert abs(float(out.astype(int).mean()) - float(exact.astype(int).mean())) < 8


@pytest.mark.skipif(not SHARED.is_dir(), reason="the labelled photographs are not beside the checkout")
def test_real_photographs_differ_by_about_two_grey_levels() -> None:
    found = []
    for path in sorted(SHARED.glob("*/*.jpg"))[::10]:
        data = path.read_bytes()
        small, _, _ = small_of(data, (640, 360))
        found.append(apart(pixels_of(small, (320, 320)), decode_rgb(data, (320, 320))))
    assert np.mean(found) < 2.5
    assert np.max(found) < 7
