"""The demo's photographs: bursts made from real ones, or a folder of one's own. Read before the unit starts.

The photographs come in the wheel of scikit-image (the extra `trapd[demo]`) and are found there without
importing it. A burst is three frames of one photograph with small shifts and exposure changes, as a camera on
a tree gives them when something moves. Where each comes from stands in the file NOTICE.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from PIL import Image, ImageEnhance, JpegImagePlugin

from trapd.errors import Unavailable, UsageError
from trapd.frozen import Frozen

CREDIT = (
    "Photographs: a cat, an astronaut, a motorcycle, grass, gravel and brick from scikit-image "
    "(public domain, CC0 and the Middlebury Stereo Datasets 2014; see NOTICE)."
)
SIZE = (1440, 960)  # width, height of a frame
QUALITY = 88
# Of each frame of a burst: shift right and down as shares of the frame's width and height, and exposure.
MOVES = ((0.0, 0.0, 1.0), (0.012, -0.006, 0.94), (-0.010, 0.008, 1.06))
MARGIN = 1.03  # how much larger than the frame the photograph is made, so that every shift stays inside
NAMED_AS_JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


class Scene(Frozen):
    """One photograph of the script; `height_share` says where its middle lies, from the top, when cropped."""

    name: str
    file: str
    height_share: float = 0.5


# In this order, from the start again after the last: something, nothing, something, nothing.
SCRIPT = (
    Scene("cat", "chelsea.png"),
    Scene("grass", "grass.png"),
    Scene("astronaut", "astronaut.png", 0.3),
    Scene("gravel", "gravel.png"),
    Scene("motorcycle", "motorcycle_left.png"),
    Scene("brick", "brick.png"),
)


def make_bursts(folder: Path) -> None:
    """Write the script's bursts below `folder`, one sub-folder each, in order of name.

    Raises Unavailable without the extra.
    """
    source = packaged_photographs()
    for number, scene in enumerate(SCRIPT, 1):
        burst = folder / f"{number:02d}-{scene.name}"
        burst.mkdir(parents=True)
        for index, frame in enumerate(frames_of(source / scene.file, scene.height_share)):
            frame.save(burst / f"{index}.jpg", quality=QUALITY)


def packaged_photographs() -> Path:
    """The folder in scikit-image's wheel. Raises Unavailable where it, or a photograph, is missing."""
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise Unavailable(
            "the demo's photographs are not installed", 'run: pip install "trapd[demo]", or name --images DIR'
        )
    folder = Path(package.submodule_search_locations[0]) / "data"
    missing = [scene.file for scene in SCRIPT if not (folder / scene.file).is_file()]
    if missing:
        raise Unavailable(
            f"this scikit-image does not carry {', '.join(missing)}",
            'run: pip install "trapd[demo]" in a fresh environment, or name --images DIR',
        )
    return folder


def frames_of(photograph: Path, height_share: float) -> list[Image.Image]:
    """The frames of one burst, in colour, each of SIZE."""
    width, height = SIZE
    with Image.open(photograph) as opened:
        picture = opened.convert("RGB")
    scale = MARGIN * max(width / picture.width, height / picture.height)
    picture = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC
    )
    left, top = (picture.width - width) / 2, (picture.height - height) * height_share
    frames = []
    for right, down, exposure in MOVES:
        x = _between(left + right * width, picture.width - width)
        y = _between(top + down * height, picture.height - height)
        frames.append(ImageEnhance.Brightness(picture.crop((x, y, x + width, y + height))).enhance(exposure))
    return frames


def _between(value: float, highest: int) -> int:
    return min(max(round(value), 0), highest)


def look_through(folder: Path) -> list[str]:
    """What the replay camera will pass over in a folder of one's own: `file: fault` for each.

    Raises UsageError where the folder cannot be read or holds no photograph.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}", "name a folder of photographs") from error
    # As the replay camera has it: sub-folders count where one of them holds photographs.
    folders = [entry for entry in entries if entry.is_dir()]
    by_folder = any(map(_holds_photographs, folders))
    strays = [entry for entry in entries if by_folder and entry not in folders]
    faults = dict.fromkeys(strays, "it lies beside the folders of bursts, and in none")
    for each in folders if by_folder else [folder]:
        try:
            files = sorted(entry for entry in each.iterdir() if entry.is_file())
        except OSError as error:
            faults[each] = error.strerror or "cannot be read"
            continue
        faults |= {file: _fault(file) for file in files if not file.name.startswith(".")}
    if all(faults.values()):
        raise UsageError(
            f"no photograph (.jpg, .jpeg) that can be read in {folder}",
            "name a folder of photographs, or of one sub-folder per burst",
        )
    return [f"{name}: {fault}" for name, fault in faults.items() if fault]


def _fault(file: Path) -> str:
    """Why a file is no photograph; empty if it is one, going by its name and its header."""
    if file.suffix.lower() not in NAMED_AS_JPEG:
        return "not named as a JPEG"
    try:
        if file.stat().st_size == 0:
            return "empty file"
        with file.open("rb") as opened:
            JpegImagePlugin.JpegImageFile(opened)
    except OSError as error:
        return error.strerror or "not a JPEG"
    except Exception:  # a decoder fed hostile bytes raises almost anything
        return "not a JPEG"
    return ""


def _holds_photographs(folder: Path) -> bool:
    try:
        names = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError:
        return False
    return any(entry.suffix.lower() in NAMED_AS_JPEG for entry in names)
