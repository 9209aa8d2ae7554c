"""A classifier whose opinion a test sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trapd.errors import BadPicture, ModelUnavailable
from trapd.records import FrameScore, ModelInfo, Small

INFO = ModelInfo("fake", "f" * 64, 0.35, frozenset())


class FakeClassifier:
    """The Classifier port. Knobs: `score`, `by_class`, `info`, `fail_open`, `fail_judge`, `opening`,
    `judging` (called before each). `judged` lists where each frame came from, `opened` counts openings,
    `tries` attempts at one.
    """

    def __init__(self, score: float = 0.9) -> None:
        self.score = score
        self.by_class: dict[str, float] = {}
        self.info = INFO
        self.opened = 0
        self.tries = 0
        self.fail_open = False
        self.fail_judge = False
        self.opening: Callable[[], None] = lambda: None
        self.judging: Callable[[], None] = lambda: None
        self.judged: list[str] = []
        self.is_open = False

    def open(self) -> ModelInfo:
        self.tries += 1
        self.opening()
        if self.fail_open:
            raise ModelUnavailable("the model file is cut short", "install it again")
        self.opened += 1
        self.is_open = True
        return self.info

    def prepare(self, pictures: Sequence[Small]) -> None:
        """Nothing is gained by it here."""

    def judge(self, picture: Small | bytes) -> FrameScore:
        self.judging()
        if self.fail_judge or not self.is_open:
            raise ModelUnavailable("the model gave NaN", "")
        if isinstance(picture, bytes) and not picture.startswith(b"\xff\xd8"):
            raise BadPicture("not a JPEG")
        self.judged.append("small" if isinstance(picture, Small) else "disk")
        return FrameScore(self.score, dict(self.by_class))

    def close(self) -> None:
        self.is_open = False
