"""`training/train`: photographs in, a model file out; and, asked for, how good the recipe is.

Some minutes on two free cores, and 2 GB of memory; fewer --views make it less of both.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training import card, leave_out, paired
from training.catalogue import EMPTY, LIST, Photograph, find, listed
from training.features import Examples, Material, Trunk, examples, kept, luma_and_chroma, whole
from training.naming import named
from training.views import SIZE, Pixels, plan

SEED = 0
VIEWS = 8000
_RANGES_ON = 80  # photographs that the quantiser measures ranges on
_SIDES = (320, 256)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 done, 1 the photographs or the outcome are of no use."""
    options = _options(arguments)
    wanted = listed(options.list)
    found = find(options.images, wanted)
    say(f"{len(found.photographs)} of the {len(wanted)} listed photographs are there")
    for name in found.changed:
        say(f"  {name} has other bytes than the listed one")
    photographs = found.photographs
    if not any(one.label == EMPTY for one in photographs) or all(one.label == EMPTY for one in photographs):
        say("Photographs with something and without are needed; name the folders that hold them: --images.")
        return 1
    pixels = [picture(one) for one in photographs]
    trapped = [each for each, one in zip(pixels, photographs, strict=True) if one.trap]
    with tempfile.TemporaryDirectory() as folder:
        trunk = Path(folder) / "trunk.tflite"
        export_trunk(trunk, trapped)
        material = Material(trunk, photographs, pixels, SEED)

        def make() -> Examples:
            return examples(material, plan(photographs, SEED), options.views, processes=options.processes)

        made = kept(options.keep, make) if options.keep else make()
        say(f"{len(made.something)} views were made and looked at")
        if options.judge:
            against = json.loads(options.against.read_text("utf-8")) if options.against else {}
            report = judge(material, made, options.reference, against)
            if options.report:
                options.report.write_text(json.dumps(report, indent=1), "utf-8")
    from training.fit import Recipe, fit  # torch: seconds, and only where the environment has it

    heads = fit(made, np.arange(len(made.something)), Recipe())
    for side in options.size or _SIDES[:1]:
        file = file_for(options.out, side)
        export_whole(file, heads, trapped, side)
        say(f"{file}: {file.stat().st_size} bytes, {check(file, photographs)}")
    return 0


def file_for(out: Path, side: int) -> Path:
    """The file for this size of input: `out`, with its 320 made the size."""
    return out if side == SIZE else out.with_name(out.name.replace(str(SIZE), str(side)))


def picture(one: Photograph) -> Pixels:
    """Its pixels, whole."""
    if one.path is None:
        raise ValueError(f"{one.file} was not found")
    return np.asarray(Image.open(one.path).convert("RGB"))


def _measured_on(pixels: Sequence[Pixels], side: int) -> list[Pixels]:
    draw = np.random.default_rng(SEED)
    some = draw.choice(len(pixels), min(_RANGES_ON, len(pixels)), replace=False)
    small = (Image.fromarray(pixels[n]).resize((side, side), Image.Resampling.BILINEAR) for n in some)
    return [luma_and_chroma(np.asarray(picture)) for picture in small]


def export_trunk(file: Path, pixels: Sequence[Pixels]) -> None:
    """The trunk alone in 8 bits, for its map."""
    from training.export import export
    from training.lite0 import Alone, pretrained

    export(Alone(pretrained()), file, _measured_on(pixels, SIZE))


def export_whole(file: Path, heads: Any, pixels: Sequence[Pixels], side: int) -> None:
    """Trunk and heads, and the card."""
    from training.export import export
    from training.head import Whole
    from training.lite0 import STRIDE, pretrained

    export(Whole(pretrained(), heads), file, _measured_on(pixels, side))
    card.append(file, side=side, photographs=len(pixels), grid=side // STRIDE)


def judge(
    material: Material, made: Examples, reference: Path | None, against: dict[str, Any]
) -> dict[str, Any]:
    """The recipe with each source left out, and the reference, on the same photographs.

    `against`: the report of an earlier recipe, for the difference in the same folds.
    """
    from training.fit import Recipe, fit, score

    photographs = material.photographs
    look = Trunk(material.trunk)
    maps = np.stack([look.look(whole(each)) for each in material.pixels])

    @cache
    def fit_without(left_out: leave_out.Group) -> Callable[[Sequence[int]], Any]:
        heads = fit(made, made.without(left_out), Recipe())
        return lambda numbers: score(heads, maps[list(numbers)])

    embeddings = [each.mean(0, dtype=np.float32).tobytes() for each in maps]
    folds = {
        name: leave_out.judge_left_out(photographs, groups, fit_without, embeddings)
        for name, groups in leave_out.folds(photographs).items()
    }
    compared = dict(folds)
    if reference is not None:
        compared[reference.stem] = leave_out.judge_with(reference, photographs)
    named_figures = {name: leave_out.figures(judged) for name, judged in compared.items()}
    say(leave_out.table(named_figures))
    scores = {name: paired.scores_of(judged) for name, judged in compared.items()}
    differences: dict[str, Any] = {}
    for name, judged in folds.items():
        others = {"the earlier recipe": against.get("scores", {}).get(name)}
        if reference is not None:
            others[reference.stem] = scores[reference.stem]
        differences[name] = {
            other: paired.differences(judged, theirs) for other, theirs in others.items() if theirs
        }
    for name, others_of in differences.items():
        for other, groups_of in others_of.items():
            for group, found in groups_of.items():
                if not found:
                    continue
                say(f"{name}, {group}, less {other}: {paired.words(found)}")
    naming = named(photographs, list(maps))
    for group, names in naming.items():
        for name, hits in names.items():
            low, high = hits["recall_ci"]
            say(f"{name}, {group}: named {hits['recall']:.2f} [{low:.2f}-{high:.2f}] of {hits['n']}")
    return {**named_figures, "naming": naming, "differences": differences, "scores": scores}


def check(file: Path, photographs: Sequence[Photograph]) -> str:
    """Whether trapd takes the file, and how it judges what it was made of."""
    judged = leave_out.judge_with(file, photographs)
    right = sum((each.score >= card.THRESHOLD) == (each.photograph.label != EMPTY) for each in judged)
    return f"taken by trapd, which judges {right} of its {len(judged)} photographs of camera traps rightly"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="training/train", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--size", type=int, nargs="+", choices=_SIDES, help="side of the input; 320")
    parser.add_argument(
        "--judge", action="store_true", help="measure the recipe, each source left out in turn"
    )
    parser.add_argument("--reference", type=Path, metavar="MODEL", help="judged beside it")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="an earlier --report: the difference from it",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="the figures, and each score, as JSON")
    parser.add_argument("--views", type=int, default=VIEWS, metavar="N", help=f"{VIEWS}; fewer for a try")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="leave there what the trunk made of the views, or take it"
    )
    parser.add_argument("--list", type=Path, default=LIST, metavar="CSV", help="of other photographs")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args(arguments)


def say(text: str) -> None:
    """To the person who waits."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
