"""Writes the photographs that the virtual camera shows, in turn: frames.py FOLDER. Needs Pillow.

Each is grey with three patches, red, green and blue from the left in the upper half, so that a test can tell
colours that were swapped and pictures upside down; the grey of the lower half differs from one to the next.
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = (1280, 720)
GREYS = (60, 100, 140, 180)
COLOURS = ((200, 30, 30), (30, 180, 30), (30, 30, 200))


def main(folder: Path) -> None:
    """Write one photograph for each grey."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, grey in enumerate(GREYS):
        picture = Image.new("RGB", SIZE, (grey, grey, grey))
        draw = ImageDraw.Draw(picture)
        third = SIZE[0] // len(COLOURS)
        for place, colour in enumerate(COLOURS):
            draw.rectangle((place * third, 0, (place + 1) * third, SIZE[1] // 2 - 1), fill=colour)
        picture.save(folder / f"{number}.jpg", quality=92)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
