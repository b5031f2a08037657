"""Runs `serve_app.score` without Ray: the same reading, parts and writing, with a pool in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from serve_app.score import manifest
from serve_app.score.computed import Computed
from serve_app.score.driver import Progress, Run
from serve_app.score.job import Job, prepare
from serve_app.score.shared import NoAnswers, SharedAnswers


class LengthPool:
    """Replaces the workers: the longer a text, the more positive its scores."""

    @property
    def window(self) -> int:
        return 3

    def __init__(self) -> None:
        self.parts: dict[int, Sequence[str]] = {}
        self.submitted: list[str] = []

    def submit(self, number: int, texts: Sequence[str]) -> None:
        self.parts[number] = texts
        self.submitted += texts

    def result(self, number: int) -> Computed:
        texts = self.parts.pop(number)
        shares = [len(text) / (len(text) + 10) for text in texts]
        return Computed([(1 - share, share) for share in shares], [len(text) > 1000 for text in texts])


class Dies(LengthPool):
    """Ends the run at part `at`."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def result(self, number: int) -> Computed:
        if number == self._at:
            raise KeyboardInterrupt
        return super().result(number)


def score(
    source: Path | str,
    output: Path | str,
    column: str = "text",
    pool: LengthPool | None = None,
    shared: SharedAnswers | None = None,
) -> Progress:
    """Score as the command does."""
    prepared = prepare(Job(str(source), str(output), column))
    with contextlib.closing(prepared.store):
        manifest.begin(prepared.store, prepared.manifest, prepared.parts_place)
        run = Run(
            prepared.source,
            prepared.form,
            prepared.identity,
            prepared.store,
            pool or LengthPool(),
            shared or NoAnswers(),
        )
        run.assemble(run.score(lambda _: None))
    return run.progress
