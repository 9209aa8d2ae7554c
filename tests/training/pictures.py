"""Made photographs, and their list: dark discs on furry grounds."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from training.catalogue import LABELS

COLUMNS = ["file", "sha256", "label", "light", "kind", "set", "source", "commit", "path", "licence", "boxes"]
COLUMNS += ["found"]


def ground(seed: int, width: int = 320, height: int = 240) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(60, 200, (6, 8, 3), np.uint8)).resize((width, height))
    ground = np.asarray(coarse) // 2
    ground += draw.integers(0, 60, (height, width, 3), np.uint8)
    return ground


def photograph(seed: int, *, disc: bool) -> tuple[Image.Image, str]:
    """The picture, and its boxes as the list has them."""
    pixels = ground(seed)
    if not disc:
        return Image.fromarray(pixels), ""
    y, x = np.mgrid[0:240, 0:320]
    pixels[(x - 200) ** 2 + (y - 150) ** 2 < 30**2] = 10
    return Image.fromarray(pixels), "0.531:0.5:0.719:0.75"


def made(folder: Path, count: int) -> Path:
    """`count` photographs in two sets, every second one empty; returns their list."""
    rows = []
    for number in range(count):
        label = LABELS[3] if number % 2 else LABELS[number // 2 % 3]
        name = f"{label}/made__{number}.jpg"
        image, boxes = photograph(number, disc=number % 2 == 0)
        (folder / label).mkdir(parents=True, exist_ok=True)
        image.save(folder / name, quality=90)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        row = (
            name,
            digest,
            label,
            "day",
            "trap",
            "ab"[number // 2 % 2],
            "made",
            "",
            name,
            "none",
            boxes,
            boxes,
        )
        rows.append(dict(zip(COLUMNS, row, strict=True)))
    file = folder / "list.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return file
