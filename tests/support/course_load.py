"""The course's load with some new texts: every answer is checked, every failure counted by its kind."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from benchmarks.texts import COURSE_FIXED, COURSE_POOL
from tests.support.golden import Golden

USERS = 10
PAUSE_S = 0.03
TIMEOUT_S = 30.0
SHARE_POOL = 0.05
SHARE_NEW = 0.1


@dataclass
class Report:
    """The results of one load's requests; times in seconds."""

    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    slowest_s: float = 0.0
    by_model: Counter[str] = field(default_factory=Counter)
    last_failure: float = 0.0
    """`time.monotonic()` when the last failed request ended; 0 if none failed."""
    first_success_after: float = 0.0

    @property
    def failed(self) -> int:
        """Requests without a 200."""
        return self.failures.total()

    def succeeded(self, model: str, seconds: float) -> None:
        """Count a right answer."""
        self._count(seconds)
        self.by_model[model] += 1
        if self.last_failure > self.first_success_after:
            self.first_success_after = time.monotonic()

    def went_wrong(self, seconds: float) -> None:
        """Count a 200 whose content is not the model's answer."""
        self._count(seconds)
        self.wrong += 1

    def failed_by(self, kind: str, seconds: float) -> None:
        """Count a request without a 200, by its kind of failure."""
        self._count(seconds)
        self.failures[kind] += 1
        self.last_failure = time.monotonic()

    def recovery_s(self, since: float) -> float:
        """Seconds from `since` until the last failure."""
        return max(0.0, max(self.last_failure, self.first_success_after) - since) if self.failures else 0.0

    def _count(self, seconds: float) -> None:
        self.requests += 1
        self.slowest_s = max(self.slowest_s, seconds)


class CourseLoad:
    """Closed loop of ten users: most requests have one of three texts, some a pool of ten shuffled, some new texts.

    `models` are the golden answers by fingerprint; an answer must be that of the model it names, all of it.
    """

    def __init__(self, url: str, models: Iterable[Golden], new: Iterable[str], users: int = USERS) -> None:
        self._url = f"{url}/project/predict"
        self._models: Mapping[str, Golden] = {model.fingerprint: model for model in models}
        self._new: Iterator[str] = iter(new)
        self._users = users
        self._stop = asyncio.Event()
        self.report = Report()

    async def __aenter__(self) -> CourseLoad:
        limits = httpx.Limits(max_connections=self._users, max_keepalive_connections=self._users)
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits)
        self._tasks = [asyncio.create_task(self._user(random.Random(number))) for number in range(self._users)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await self._client.aclose()

    async def _user(self, chance: random.Random) -> None:
        while not self._stop.is_set():
            await ask(self._client, self._url, self._choose(chance), self._models, self.report)
            await asyncio.sleep(PAUSE_S)

    def _choose(self, chance: random.Random) -> list[str]:
        share = chance.random()
        if share < SHARE_NEW and (text := next(self._new, None)) is not None:
            return [text, chance.choice(COURSE_FIXED)]
        if share < SHARE_NEW + SHARE_POOL:
            return chance.sample(COURSE_POOL, len(COURSE_POOL))
        return [chance.choice(COURSE_FIXED)]


async def ask(
    client: httpx.AsyncClient, url: str, texts: Sequence[str], models: Mapping[str, Golden], report: Report
) -> None:
    """Send one predict request, and count its result."""
    began = time.monotonic()
    try:
        answer = await client.post(url, json={"text": texts})
    except httpx.HTTPError as error:
        report.failed_by(type(error).__name__, time.monotonic() - began)
        return
    seconds = time.monotonic() - began
    if answer.status_code != httpx.codes.OK:
        report.failed_by(f"status {answer.status_code}", seconds)
        return
    fingerprint = answer.headers.get("x-model", "").rpartition("@")[2]
    model = models.get(fingerprint)
    if model is not None and model.agrees(texts, answer.json()):
        report.succeeded(fingerprint, seconds)
    else:
        report.went_wrong(seconds)
