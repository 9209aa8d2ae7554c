"""The Classifier port over a TFLite model: trapd's own, or any of a known layout.

Screen's thread owns it, or a worker of the offline verbs. A damaged model can end its process, and so can a
sound one with another runtime or on another processor. So the daemon loads what has been loaded in a child
process first (model_trials). An offline verb, which has no memory, does so with bytes that nobody vouches
for: a file given by path, or put into the models folder by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trapd.backends import model_files
from trapd.backends.model_trials import Trials
from trapd.backends.tflite.model import Model
from trapd.errors import ModelUnavailable
from trapd.records import FrameScore, ModelInfo, Small

_TRIAL_S: Final = 60.0
"""Half of Screen's patience: a model that hangs must not end the daemon, and its own load comes after."""


class TfliteClassifier:
    """One model, by its file. `labels`: for a model that carries none. `tried`: where trials are noted."""

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        threads: int,
        labels: Path | None = None,
        runtime: str | None = None,
        tried: Path | None = None,
    ) -> None:
        self._path = path
        self._name = name
        self._threads = threads
        self._labels = labels
        self._runtime = runtime
        self._trials = None if tried is None else Trials(tried, threads=threads, runtime=runtime)
        self._model: Model | None = None

    def open(self) -> ModelInfo:
        """Load the model and test it on itself. Raises ModelUnavailable."""
        self.close()
        sha256 = model_files.sha256_of(self._path)
        labels = self._labels or model_files.labels_of(self._path)
        self._require_trust(sha256, labels)
        model = Model(self._path, threads=self._threads, labels=labels, runtime=self._runtime)
        layout = model.layout
        if layout.labels is None:
            raise ModelUnavailable(
                f"the model {self._name} does not say what its classes are",
                "give filter.labels, a file with one label a line",
            )
        self._model = model
        return ModelInfo(
            name=self._name,
            sha256=sha256,
            threshold=model.threshold,
            tells=layout.tells,
            layout=layout.name,
            input=model.input,
            labels=layout.labels,
            title=model.title,
        )

    def prepare(self, pictures: Sequence[Small]) -> None:
        """Turn them into the model's input, as many as it holds beside its own. Raises nothing."""
        if self._model is not None:
            self._model.prepare(pictures)

    def judge(self, picture: Small | bytes) -> FrameScore:
        """Score one frame. Raises BadPicture, ModelUnavailable."""
        if self._model is None:
            raise ModelUnavailable(f"the model {self._name} is not open")
        return self._model.judge(picture)

    def close(self) -> None:
        """Free the model; may be called twice."""
        self._model = None

    def _require_trust(self, sha256: str, labels: Path | None) -> None:
        vouched = model_files.vouched_sha256(self._path)
        if vouched not in (None, sha256):
            raise ModelUnavailable(
                f"the model {self._name} is not the file that was installed",
                "it is damaged: install it again",
            )
        if self._trials is None:
            if vouched is None:
                self._try(labels)
        elif not self._trials.passed(sha256):
            self._try(labels)
            self._trials.note(sha256)

    def _try(self, labels: Path | None) -> None:
        from trapd.backends.model_probe import probe

        shown = probe(
            self._path,
            labels=labels,
            processes=1,
            timeout_s=_TRIAL_S,
            threads=self._threads,
            runtime=self._runtime,
        )
        if not shown.ok:
            raise ModelUnavailable(shown.reason, shown.hint)
