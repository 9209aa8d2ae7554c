"""Two curves of an evaluation as PNG: recall over false keeps, and both over the threshold. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from trapd.errors import UsageError

Point = tuple[float, float]

_SIDE = 640
_MARGIN = 60
_INK, _FAINT = (30, 30, 30), (220, 220, 220)
_GREEN, _RED = (0, 110, 60), (190, 60, 30)
NAMES = ("recall-over-false-keeps.png", "over-threshold.png")


def write_curves(folder: Path, report: dict[str, Any]) -> list[Path]:
    """Draw what `report` (of trapd evaluate) lists into `folder`. Raises UsageError where that cannot be."""
    rows = [
        row for row in report["thresholds"] if row["recall"] is not None and row["false_keep"] is not None
    ]
    paths = [folder / name for name in NAMES]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _receiver(rows, report).save(paths[0], "PNG")
        _over_threshold(rows).save(paths[1], "PNG")
    except OSError as error:
        raise UsageError(f"cannot draw into {folder}: {error.strerror}", "name another folder") from error
    return paths


def _receiver(rows: Sequence[dict[str, Any]], report: dict[str, Any]) -> Image.Image:
    area = report["auc"]
    title = "" if area is None else f"AUC {area:.3f} [{report['auc_ci'][0]:.3f}-{report['auc_ci'][1]:.3f}]"
    image, draw = _axes(title, "false keeps", "recall")
    points = sorted((row["false_keep"], row["recall"]) for row in rows)
    _line(draw, [(0.0, 0.0), *points, (1.0, 1.0)], _GREEN)
    for row in rows:
        x, y = row["false_keep"], row["recall"]
        _line(draw, [(x, row["recall_ci"][0]), (x, row["recall_ci"][1])], _FAINT)
        _line(draw, [(row["false_keep_ci"][0], y), (row["false_keep_ci"][1], y)], _FAINT)
        _dot(draw, (x, y), _GREEN)
    return image


def _over_threshold(rows: Sequence[dict[str, Any]]) -> Image.Image:
    image, draw = _axes("green: recall, red: false keeps", "threshold", "share")
    for name, colour in (("recall", _GREEN), ("false_keep", _RED)):
        for row in rows:
            low, high = row[f"{name}_ci"]
            _line(draw, [(row["threshold"], low), (row["threshold"], high)], _FAINT)
        _line(draw, [(row["threshold"], row[name]) for row in rows], colour)
        for row in rows:
            _dot(draw, (row["threshold"], row[name]), colour)
    return image


def _axes(title: str, across: str, up: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (_SIDE, _SIDE), "white")
    draw = ImageDraw.Draw(image)
    for step in range(11):
        share = step / 10
        _line(draw, [(share, 0.0), (share, 1.0)], _FAINT)
        _line(draw, [(0.0, share), (1.0, share)], _FAINT)
        x, y = _place((share, 0.0))
        draw.text((x - 8, y + 6), f"{share:.1f}", fill=_INK)
        x, y = _place((0.0, share))
        draw.text((x - 28, y - 6), f"{share:.1f}", fill=_INK)
    draw.text((_SIDE // 2 - 30, _SIDE - 26), across, fill=_INK)
    draw.text((12, 16), up, fill=_INK)
    draw.text((_SIDE // 2 - 80, 16), title, fill=_INK)
    return image, draw


def _place(point: Point) -> Point:
    span = _SIDE - 2 * _MARGIN
    return _MARGIN + point[0] * span, _SIDE - _MARGIN - point[1] * span


def _line(draw: ImageDraw.ImageDraw, points: Sequence[Point], colour: tuple[int, int, int]) -> None:
    draw.line([_place(point) for point in points], fill=colour, width=2)


def _dot(draw: ImageDraw.ImageDraw, point: Point, colour: tuple[int, int, int]) -> None:
    x, y = _place(point)
    draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
