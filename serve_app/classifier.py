"""The DistilBERT deployment: tokenize, queue, run in passes."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import ray
from ray import serve

from model.directory import open_directory
from model.engine import load_engine
from model.tokenizer import Encoding, TextTokenizer
from serve_app.core_dumps import forbid_core_dumps
from serve_app.identity import identify
from serve_app.metrics import Metrics
from serve_app.model_client import Classified, Load, Refused
from serve_app.passes import Passes, Request
from serve_app.scaling import WORK
from serve_app.settings import Settings
from serve_app.tickets import News, TicketRelay

NICENESS = 10
"""How much the engine's threads stand back behind everything else where SCHED_IDLE is forbidden."""

WARM_UP_TEXTS = [f"Warm-up sentence {number}, as long as most that will come." for number in range(64)]
"""Different ones, since the engine runs equal ones once."""

SLICE_CHARS = 16_384
"""Characters that are tokenized at once, or one longer text: a caller that goes leaves no more than that behind."""

_CHARS_PER_TOKEN = 4


class Classifier:
    """One model replica. Its engine has as many threads as the replica has CPUs."""

    def __init__(self, settings: Settings) -> None:
        forbid_core_dumps()
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # threads of its own would not be idle ones
        directory = open_directory(settings.model_dir)
        self._identity = identify(directory, settings)
        self._tokenizer = TextTokenizer(directory.path, self._identity.max_tokens)
        threads = _threads()
        self._threads = ThreadPoolExecutor(threads, "engine", initializer=_stand_back)
        self._tokenizing = ThreadPoolExecutor(1, "tokenizer", initializer=_stand_back)
        # loaded on one of these threads, since the runtime's own take their priority from it
        load = self._threads.submit(load_engine, directory, self._identity.precision, threads)
        self._metrics = Metrics()
        self._passes = Passes(load.result(), self._threads, settings.batch_tokens, settings.max_wait_s, self._count)
        self._passes.warm_up([line.ids for line in self._tokenizer.encode(WARM_UP_TEXTS)])
        self._relay = TicketRelay()
        self._refused_tokens = 0
        self._reported = time.monotonic(), 0.0
        self._max_wait_s = settings.max_wait_s
        self._replica = serve.get_replica_context().replica_id.unique_id

    async def classify(
        self, texts: Sequence[str], timeout_s: float, max_wait_s: float = math.inf, news: News | None = None
    ) -> Classified | Refused:
        """Scores of each text, in order; None for those whose turn has not come within `timeout_s`.

        Refused if a new text would wait longer than `max_wait_s` for its turn, and if no turn came in time. That is an
        answer and no error, since Serve logs errors and wraps them. Without end for `max_wait_s`, it goes before all.
        """
        if news is not None:
            self._relay.take(news, time.monotonic())
            self._refused_tokens += news.refused_tokens
        if self._passes.wait_s > max_wait_s:
            return Refused(self._load(news))
        slices = list(_slices(texts))
        guesses = [sum(self._guess(text) for text in part) for part in slices]
        request = Request(len(texts), sum(guesses), urgent=max_wait_s == math.inf)
        encodings: list[Encoding] = []
        tokenize_ms = 0.0
        with self._hold(request), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for part, guess in zip(slices, guesses, strict=True):
                    began = time.perf_counter()
                    lines = await self._tokenize(part)
                    tokenize_ms += (time.perf_counter() - began) * 1000
                    self._passes.add(request, len(encodings), [line.ids for line in lines], guess)
                    encodings += lines
                await request.ended.wait()
        if request.error is not None:
            raise request.error
        if request.missing == len(texts) > 0:
            return Refused(self._load(news), late=True)
        done = [line for line, scores in zip(encodings, request.scores, strict=False) if scores is not None]
        return Classified(
            self._identity,
            request.scores,
            [line.truncated for line in encodings] + [False] * (len(texts) - len(encodings)),
            tokenize_ms,
            max(0.0, request.queue_ms - tokenize_ms),
            request.model_ms,
            sum(len(line.ids) for line in done),
            self._load(news),
        )

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What Serve asks for now and then: the work since it last asked, as a share of what this replica can do."""
        (since, busy_s), now = self._reported, time.monotonic()
        self._reported = now, self._passes.busy_s
        done = self._passes.busy_s - busy_s + self._refused_tokens / self._passes.tokens_per_s
        self._refused_tokens = 0
        return {WORK: done / max(now - since, 1e-3) + self._passes.wait_s / self._max_wait_s}

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.0)
    async def _tokenize(self, slices: list[list[str]]) -> list[list[Encoding]]:
        """Tokenize together what arrives together; each caller then queues its own."""
        texts = [text for part in slices for text in part]
        run = asyncio.get_running_loop().run_in_executor
        lines = iter(await run(self._tokenizing, self._tokenizer.encode, texts))
        return [[next(lines) for _ in part] for part in slices]

    def _guess(self, text: str) -> int:
        return min(self._identity.max_tokens, 2 + len(text) // _CHARS_PER_TOKEN)

    def _load(self, news: News | None) -> Load:
        load = Load(self._replica, self._passes.wait_s, self._passes.tokens_per_s)
        if news is None:
            return load
        events, ingresses = self._relay.give(news.sender, time.monotonic())
        return replace(load, events=events, ingresses=ingresses)

    def _count(self, texts: int, tokens: int) -> None:
        self._metrics.batch_texts.observe(texts)
        self._metrics.batch_tokens.observe(tokens)

    @contextlib.contextmanager
    def _hold(self, request: Request) -> Iterator[None]:
        """Have the request in the queue while the block runs, and tell so, also when it was the last."""
        try:
            with self._passes.hold(request):
                self._metrics.waiting_tokens.set(self._passes.tokens)
                yield
        finally:
            self._metrics.waiting_tokens.set(self._passes.tokens)


def _slices(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, in parts of about SLICE_CHARS."""
    part: list[str] = []
    chars = 0
    for text in texts:
        if part and chars + len(text) > SLICE_CHARS:
            yield part
            part, chars = [], 0
        part.append(text)
        chars += len(text)
    if part:
        yield part


def _threads() -> int:
    resources: dict[str, float] = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1)))


def _stand_back() -> None:
    """Have this thread run only where nothing else of the service wants its CPU.

    What shares the CPU, as an ingress does, works for a moment at a time. SCHED_IDLE lets it begin that moment at once,
    where a low priority would first let this thread finish its slice.
    """
    if sys.platform == "linux":  # where each thread has a policy of its own
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
        with contextlib.suppress(PermissionError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
