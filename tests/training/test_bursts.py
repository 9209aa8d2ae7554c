"""Simulated bursts: still where nothing happens, changed where a thing moves."""

from __future__ import annotations

import numpy as np

from tests.training.pictures import ground
from training.bursts import FRAMES, Weather, simulate


def test_a_burst_follows_from_its_seed_and_keeps_its_shape() -> None:
    for seed in range(5):
        one, same = (simulate(np.random.default_rng(seed), ground(1), ground(2)[:60, :80]) for _ in range(2))
        assert len(one) == FRAMES
        assert all(frame.shape == (480, 640, 3) and frame.dtype == np.uint8 for frame in one)
        assert all((a == b).all() for a, b in zip(one, same, strict=True))


def test_a_thing_changes_its_place_more_than_the_weather_changes_any() -> None:
    thing = np.zeros((60, 80, 3), np.uint8)
    changes = []
    for what in (None, thing):
        found = []
        for seed in range(6):
            frames = [
                each.astype(float).mean(2) for each in simulate(np.random.default_rng(seed), ground(1), what)
            ]
            away = np.abs(frames[0] - np.median(frames[1:], axis=0))
            found.append(np.sort(away.reshape(30, 16, 40, 16).mean((1, 3)).ravel())[-3:].mean())
        changes.append(float(np.mean(found)))
    assert changes[1] > 1.2 * changes[0]


def test_weather_is_calm_half_of_the_time() -> None:
    draw = np.random.default_rng(0)
    calm = sum(Weather.drawn(draw).wind_px == 0 for _ in range(400))
    assert 160 < calm < 240
