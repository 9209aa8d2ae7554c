"""Change, light, and what cannot be seen; on pictures made here."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trapd.backends.pictures import small_of
from trapd.backends.scene import Scene
from trapd.records import FrameScore, Look, Small

Pixels = npt.NDArray[np.uint8]
SCENE = Scene()


def forest(seed: int = 1, width: int = 640, height: int = 360) -> Pixels:
    """Coloured noise of several sizes: there is something everywhere."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(40, 200, (9, 16, 3), np.uint8)).resize((width, height))
    scene: Pixels = np.asarray(coarse) // 2 + draw.integers(0, 100, (height, width, 3), np.uint8)
    return scene


def jpeg(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=92)
    return out.getvalue()


def both(pixels: Pixels) -> tuple[bytes, Small]:
    data = jpeg(pixels)
    return data, small_of(data, (640, 360))[0]


def with_animal(pixels: Pixels) -> Pixels:
    found = pixels.copy()
    found[120:220, 200:320] = 20
    return found


@pytest.mark.parametrize("kind", [0, 1], ids=["photograph", "small"])
def test_what_moves_is_told_from_what_stands_still_and_from_another_exposure(kind: int) -> None:
    still = [both(forest())[kind], both((forest() * 0.8).astype(np.uint8))[kind], both(forest())[kind]]
    moved = [still[0], both(with_animal(forest()))[kind], still[2]]
    quiet, loud = (SCENE.look(pictures).change for pictures in (still, moved))
    assert quiet is not None
    assert loud is not None
    assert quiet < 0.12 < 0.5 < loud


@pytest.mark.parametrize("kind", [0, 1], ids=["photograph", "small"])
def test_infrared_and_darkness_are_night(kind: int) -> None:
    grey = np.repeat(forest()[:, :, :1], 3, axis=2)
    assert SCENE.look([both(grey)[kind]]).night is True
    assert SCENE.look([both(forest() // 8)[kind]]).night is True
    assert SCENE.look([both(forest())[kind]]).night is False


@pytest.mark.parametrize(
    ("veil", "share", "said"), [(190, 0.95, "fog"), (255, 0.97, "glare"), (5, 0.97, "covered")]
)
def test_a_veil_over_every_frame_hides_and_over_one_does_not(veil: int, share: float, said: str) -> None:
    veiled = both((forest() * (1 - share) + veil * share).astype(np.uint8))[1]
    assert said in SCENE.look([veiled] * 3).hidden
    assert SCENE.look([veiled, both(forest())[1]]).hidden == ""


def test_the_embedding_says_how_far_a_frame_is_from_the_others() -> None:
    def seen(*values: float) -> FrameScore:
        return FrameScore(0.1, embedding=np.array(values, np.float32).tobytes())

    assert SCENE.shift([seen(1, 0), seen(1, 0)]) == pytest.approx(0, abs=1e-6)
    assert SCENE.shift([seen(1, 0), seen(0, 1), seen(1, 0)]) == pytest.approx(1)
    for useless in (
        [seen(1, 0)],
        [seen(0, 0), seen(1, 0)],
        [seen(float("nan"), 1), seen(1, 0)],
        [FrameScore(0.1)],
    ):
        assert SCENE.shift(useless) is None


def test_one_frame_shows_no_change_and_none_shows_nothing() -> None:
    assert SCENE.look([both(forest())[1]]).change is None
    assert SCENE.look([b"no picture", Small(b"", 640, 360, 640)]) == Look()


def test_tiles_are_finer_parts_that_overlap() -> None:
    tiles = SCENE.tiles(jpeg(forest(width=2304, height=1296)))
    assert [(tile.width, tile.height) for tile in tiles] == [(640, 360)] * 4
    assert len({tile.data for tile in tiles}) == 4
    assert all(len(tile.data) == 640 * 360 * 3 // 2 for tile in tiles)
    assert SCENE.tiles(jpeg(forest())) == []
    assert SCENE.tiles(b"no picture") == []


@given(
    st.binary(max_size=200),
    st.integers(-2, 40).map(lambda n: 2 * n),
    st.integers(-2, 40).map(lambda n: 2 * n),
    st.sampled_from(["i420", "nv12", "other"]),
)
def test_no_frame_makes_it_raise(data: bytes, width: int, height: int, layout: str) -> None:
    SCENE.look([Small(data, width, height, width, layout), data])


@pytest.mark.parametrize("layout", ["i420", "nv12"])
def test_a_frame_of_odd_width_is_none(layout: str) -> None:
    """Its planes cannot be told apart; it shows nothing, and raises nothing."""
    odd = Small(bytes(700 * 24), 641, 16, 700, layout)
    assert Scene().look([odd, odd]) == Look()
