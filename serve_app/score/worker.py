"""A Ray actor with one engine of the service."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from model.directory import open_directory
from model.engine import Stream, load_engine
from model.errors import ModelError
from model.tokenizer import TextTokenizer
from serve_app.core_dumps import forbid_core_dumps
from serve_app.identity import Identity, identify
from serve_app.idle_priority import run_at_idle_priority
from serve_app.score.computed import Computed
from serve_app.settings import Settings

CALL_TOKENS = 8192
"""Tokens that are packed at once. More would hardly pack better, and would take disproportionately long."""


class Worker:
    """Scores one part on each of the engine's streams, and tokenizes the next part in the meantime."""

    def __init__(self, settings: Settings, identity: Identity, threads: int) -> None:
        self._settings = settings.model_copy(update={"precision": identity.precision})
        self._identity = identity
        self._threads = threads
        self._streams: queue.SimpleQueue[Stream] = queue.SimpleQueue()
        self._tokenizer: TextTokenizer | None = None
        # idle priority on threads of its own, since a thread's children inherit it, the engine's threads too
        self._idle = ThreadPoolExecutor(threads + 1, "score", initializer=run_at_idle_priority)

    def load(self) -> str:
        """Load the model. Returns an empty string, or one line that describes the fault."""
        forbid_core_dumps()
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        try:
            directory = open_directory(self._settings.model_dir)
            if (
                identify(directory, self._settings.precision, self._settings.max_tokens).fingerprint
                != self._identity.fingerprint
            ):
                return f"{directory.path} on {os.uname().nodename} is another model than on the machine of the command"
            self._tokenizer = TextTokenizer(directory.path, self._identity.max_tokens)
            engine = self._idle.submit(load_engine, directory, self._identity.precision, self._threads).result()
        except ModelError as error:
            return str(error)
        for stream in engine.streams:
            self._streams.put(stream)
        return ""

    def score(self, texts: Sequence[str]) -> Computed:
        """The scores of each text, in order. The same list of texts has the same scores in every worker and call."""
        if self._tokenizer is None:
            raise RuntimeError("the model is not loaded")
        return self._idle.submit(self._score, self._tokenizer, texts).result()

    def _score(self, tokenizer: TextTokenizer, texts: Sequence[str]) -> Computed:
        encodings = tokenizer.encode(texts)
        stream = self._streams.get()
        try:
            scores = [each for ids in calls([line.ids for line in encodings]) for each in stream.score(ids)]
        finally:
            self._streams.put(stream)
        return Computed(scores, [line.truncated for line in encodings])


def calls(sequences: Sequence[Sequence[int]], tokens: int = CALL_TOKENS) -> Iterator[Sequence[Sequence[int]]]:
    """Group the sequences into calls of at most `tokens` tokens; a longer sequence is a call of its own."""
    start = size = 0
    for at, ids in enumerate(sequences):
        if size + len(ids) > tokens and at > start:
            yield sequences[start:at]
            start, size = at, 0
        size += len(ids)
    if start < len(sequences):
        yield sequences[start:]
