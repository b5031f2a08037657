"""The workers of a run: parts go to workers with free slots, and those of a dead worker to another one."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from serve_app.identity import Identity
from serve_app.score.computed import Computed
from serve_app.score.errors import ScoreError
from serve_app.score.worker import Worker
from serve_app.settings import Settings

MAX_TRIES = 3
"""Worker deaths after which a part is given up."""
MAX_DEATHS = 20
_WAIT_S = 1.0
_DEATHS = (RayActorError, OutOfMemoryError, NodeDiedError, ObjectLostError)
"""Ray's errors for a worker or its node that died, or was killed for memory; OwnerDiedError is an ObjectLostError."""
_KEPT = "possibly for lack of memory; finished parts are kept"


@dataclass(eq=False)
class _Member:
    actor: Any
    loading: Any
    """Ray's reference to the call that loads the model; None once it is loaded."""
    running: dict[Any, int] = field(default_factory=dict)
    """Part numbers, by Ray's references to their results."""


class Pool:
    """`count` workers of `threads` CPUs each; Ray starts as many as have free CPUs, and the others later."""

    def __init__(self, settings: Settings, identity: Identity, threads: int, count: int) -> None:
        self._arguments = (settings, identity, threads)
        # one more than there are streams, so that the next part is tokenized in the meantime
        self._slots = threads + 1
        options = {"num_cpus": threads, "max_concurrency": self._slots, "max_restarts": 0, "max_task_retries": 0}
        self._class: Any = ray.remote(Worker).options(scheduling_strategy="SPREAD", **options)
        self._members: list[_Member] = []
        self._waiting: collections.deque[tuple[int, Sequence[str]]] = collections.deque()
        self._texts: dict[int, Sequence[str]] = {}
        self._results: dict[int, Computed] = {}
        self._tries: collections.Counter[int] = collections.Counter()
        self._deaths = 0
        for _ in range(count):
            self._start()

    @property
    def window(self) -> int:
        """How many parts keep the workers busy that have loaded their model."""
        return 2 + self._slots * max(1, sum(member.loading is None for member in self._members))

    def wait(self) -> None:
        """Wait until a worker has loaded its model.

        Raises:
            ScoreError: the model cannot be loaded.
        """
        while all(member.loading is not None for member in self._members):
            self._step()

    def submit(self, number: int, texts: Sequence[str]) -> None:
        """Queue the texts of a part for the next worker with a free slot."""
        self._texts[number] = texts
        self._waiting.append((number, texts))
        self._assign()

    def result(self, number: int) -> Computed:
        """Wait for the scores of a part.

        Raises:
            ScoreError: no worker can compute them.
        """
        while number not in self._results:
            self._step()
        del self._texts[number]
        return self._results.pop(number)

    def _start(self) -> None:
        actor: Any = self._class.remote(*self._arguments)
        self._members.append(_Member(actor, actor.load.remote()))

    def _step(self) -> None:
        """Wait at most `_WAIT_S` for a result, a loaded model or a worker's death, and handle it."""
        owners = {reference: member for member in self._members for reference in _references(member)}
        done, _ = ray.wait(list(owners), num_returns=1, timeout=_WAIT_S)
        for reference in done:
            member = owners[reference]
            if member not in self._members:  # an earlier reference has shown its death
                continue
            try:
                value = ray.get(reference)
            except RayTaskError as error:
                raise ScoreError(f"the model cannot score a part: {type(error.cause).__name__}") from None
            except _DEATHS:
                self._replace(member)
            except RayError as error:
                raise ScoreError(
                    f"Ray has failed: {type(error).__name__}; finished parts are kept; run the same command again to"
                    " continue"
                ) from None
            else:
                self._receive(member, reference, value)
        self._assign()

    def _receive(self, member: _Member, reference: Any, value: Any) -> None:
        if reference is member.loading:
            if value:
                raise ScoreError(value)
            member.loading = None
        else:
            self._results[member.running.pop(reference)] = value

    def _replace(self, member: _Member) -> None:
        self._members.remove(member)
        self._deaths += 1
        for number in sorted(member.running.values(), reverse=True):
            self._tries[number] += 1
            if self._tries[number] >= MAX_TRIES:
                raise ScoreError(f"{MAX_TRIES} workers died while scoring part {number}, {_KEPT}")
            self._waiting.appendleft((number, self._texts[number]))
        if self._deaths >= MAX_DEATHS:
            raise ScoreError(f"{MAX_DEATHS} workers died, {_KEPT}")
        self._start()

    def _assign(self) -> None:
        for member in sorted(self._members, key=lambda each: len(each.running)):
            while self._waiting and member.loading is None and len(member.running) < self._slots:
                number, texts = self._waiting.popleft()
                member.running[member.actor.score.remote(texts)] = number


def _references(member: _Member) -> list[Any]:
    return [member.loading] if member.loading is not None else list(member.running)
