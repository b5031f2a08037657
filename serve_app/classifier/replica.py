"""The DistilBERT deployment: tokenize, queue, run in passes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import ray
from ray import serve

from model.directory import open_directory
from model.engine import load_engine
from model.tokenizer import Encoding, TextTokenizer
from serve_app.classifier.passes import Passes
from serve_app.classifier.queue import Request
from serve_app.core_dumps import forbid_core_dumps
from serve_app.identity import identify
from serve_app.idle_priority import run_at_idle_priority
from serve_app.messages import Answer, Event, guess_tokens
from serve_app.metrics import Metrics
from serve_app.overload.retry_reservations import ReservationRelay
from serve_app.scaling import LOAD, Meter
from serve_app.settings import Settings

WARM_UP_TEXTS = [f"Warm-up sentence {number}, as long as most that will come." for number in range(64)]
"""All different, since the engine runs equal texts only once."""
INLINE_BYTES = 2_000
"""Requests of up to so many bytes are tokenized without a thread, which would take longer to wake up. It takes half a
millisecond for prose, and 20 for words of one character a token."""
SLICE_TEXTS, SLICE_BYTES = 16, 6_000
"""Of larger requests at most so many texts and bytes are tokenized in one call, unless one text is longer. Other large
requests wait meanwhile, and it goes on if the client disconnects."""

logger = logging.getLogger("ray.serve")


class Classifier:
    """One model replica. Its engine has as many threads as the replica has CPUs."""

    def __init__(self, settings: Settings) -> None:
        forbid_core_dumps()
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its own threads would not have idle priority
        directory = open_directory(settings.model_dir)
        self._identity = identify(directory, settings.precision, settings.max_tokens)
        self._tokenizer = TextTokenizer(directory.path, self._identity.max_tokens)
        threads = max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        self._threads = ThreadPoolExecutor(threads, "engine", initializer=run_at_idle_priority)
        self._tokenizing = ThreadPoolExecutor(1, "tokenizer", initializer=run_at_idle_priority)
        # loaded on one of these threads, since the runtime's threads inherit its priority
        load = self._threads.submit(load_engine, directory, self._identity.precision, threads)
        self._metrics = Metrics()
        self._passes = Passes(load.result(), self._threads, settings, self._metrics)
        self._passes.warm_up([line.ids for line in self._tokenizer.encode(WARM_UP_TEXTS)])
        self._relay = ReservationRelay()
        self._refused_s = 0.0
        self._work = Meter(lambda: self._passes.ran_s + self._refused_s)
        self._settings = settings
        self._replica = serve.get_replica_context().replica_id.unique_id

    async def classify(self, texts: Sequence[str], timeout_s: float, max_wait_s: float = math.inf) -> Answer:
        """Scores of each text, in order; None for those that were not run within `timeout_s`.

        Refuses texts that would wait longer than `max_wait_s`, and ends a list that would not be done in time beside
        others. A refusal is an answer with `busy_s`, not an error, since Serve logs and wraps errors. An infinite
        `max_wait_s` makes the request urgent.
        """
        slices = slice_texts(texts)
        small = len(slices) == 1 and _size(texts) <= INLINE_BYTES
        guesses = [sum(guess_tokens(text, self._identity.max_tokens) for text in part) for part in slices]
        request = Request([None] * len(texts), sum(guesses), max_wait_s, timeout_s)
        truncated: list[bool] = []
        tokenize_ms = 0.0
        if self._passes.queue.admit(request) and texts:
            with self._passes.queue.track(request), contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    for part, guess in zip(slices, guesses, strict=True):
                        began = time.perf_counter()
                        lines = await (self._tokenize_small(part) if small else self._tokenize(part))
                        tokenize_ms += (time.perf_counter() - began) * 1000
                        self._passes.add(request, len(truncated), [line.ids for line in lines], guess)
                        truncated += [line.truncated for line in lines]
                        if request.ended.is_set():
                            break
                    await request.ended.wait()
        if request.error is not None:
            if not any(request.scores):
                raise request.error
            logger.error("The model failed for some texts of a request.", exc_info=request.error)
        return Answer(
            identity=self._identity,
            scores=request.scores,
            truncated=truncated + [False] * (len(texts) - len(truncated)),
            tokenize_ms=tokenize_ms,
            queue_ms=max(0.0, request.queue_ms - tokenize_ms),
            model_ms=request.model_ms,
            replica=self._replica,
            busy_s=request.busy_s,
            wait_s=self._passes.queue.wait_s,
            pass_s=self._settings.batch_tokens / self._passes.queue.tokens_per_s,
            tokens_per_s=self._passes.guessed_per_s,
            failed=request.error is not None,
        )

    async def classify_all(
        self, requests: Sequence[Sequence[str]], timeout_s: float, max_wait_s: float
    ) -> list[Answer | None]:
        """Like `classify` for several requests; None for one that failed, whose error is logged."""
        calls = (self.classify(texts, timeout_s, max_wait_s) for texts in requests)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for error in {answer for answer in answers if isinstance(answer, Exception)}:  # those of one pass share it
            logger.error("The model failed for some requests of a call.", exc_info=error)
        wait_s = self._passes.queue.wait_s  # now, since most of them were done earlier
        return [replace(answer, wait_s=wait_s) if isinstance(answer, Answer) else None for answer in answers]

    async def exchange(self, sender: str, events: Sequence[Event], refused_tokens: int) -> tuple[Sequence[Event], int]:
        """Relay reservation events between ingress replicas, which all call the same classifier replica."""
        self._refused_s += refused_tokens / self._passes.guessed_per_s
        return self._relay.exchange(sender, events, time.monotonic())

    def check_health(self) -> None:
        """Export the gauge; Serve calls this every two seconds."""
        self._metrics.waiting_tokens.set(self._passes.queue.tokens)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """The load that Serve polls: work since the last poll, and the queue, as a share of this replica's capacity."""
        queue, timeout_s = self._passes.queue, self._settings.model_timeout_s
        # lists hardly delay others, but must be done within the time-out; what is left then is for the next try in any
        # case, and more classifiers would not help it
        limit = timeout_s * queue.tokens_per_s
        lists = sum(min(request.work, limit) for request in queue) / limit
        return {LOAD: self._work.share() + queue.wait_s / self._settings.max_wait_s + lists}

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.0)
    async def _tokenize_small(self, requests: list[Sequence[str]]) -> list[list[Encoding]]:
        """Tokenize the texts of concurrent small requests together; each caller then queues its own."""
        encodings = []
        for part in slice_texts([text for texts in requests for text in texts], INLINE_BYTES):
            encodings += self._tokenizer.encode(part)
            await asyncio.sleep(0)  # the loop answers others meanwhile
        lines = iter(encodings)
        return [[next(lines) for _ in texts] for texts in requests]

    async def _tokenize(self, texts: Sequence[str]) -> list[Encoding]:
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, self._tokenizer.encode, texts)


def slice_texts(texts: Sequence[str], max_bytes: int = SLICE_BYTES) -> list[Sequence[str]]:
    """The texts in parts of at most SLICE_TEXTS texts and `max_bytes` bytes, or of one longer text."""
    slices: list[Sequence[str]] = []
    first = size = 0
    for index, text in enumerate(texts):
        more = _size([text])
        if index > first and (index - first == SLICE_TEXTS or size + more > max_bytes):
            slices.append(texts[first:index])
            first, size = index, 0
        size += more
    return [*slices, texts[first:]] if texts else slices


def _size(texts: Sequence[str]) -> int:
    """Bytes of UTF-8, which bound the time to tokenize better than characters."""
    return sum([len(text.encode()) for text in texts])
