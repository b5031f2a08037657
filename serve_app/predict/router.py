"""Routes calls to the model replica with the shortest queue, or to one on this node if it is within a pass of that.

Serve's own router compares numbers of calls, but a call may be one word or a thousand texts. Here each answer reports
how long the next text would wait.

A call whose replica has fallen silent is moved to another one, once. A node that vanishes resets no connection, so
without this a call to its replica waits until the model's time-out. A replica that is merely slow passes the check.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from ray.exceptions import ActorUnavailableError, RayError
from ray.serve._private.common import RunningReplicaInfo
from ray.serve._private.request_router.common import PendingRequest
from ray.serve._private.request_router.replica_wrapper import RunningReplica
from ray.serve._private.request_router.request_router import LocalityMixin, RequestRouter

from serve_app.messages import Answer

CHECK_S = 0.25
"""A call that waits this long has its replica checked for liveness, and again after each further wait this long."""
SILENT_S = 1.0
"""A replica that does not answer a check within this time is silent."""
FIRST_PASS_S = 0.1
"""Assumed time of a pass before the first answer reports it; with 0, all first calls would go to one replica."""
AVOID_S = 5.0
"""How long other replicas are preferred to one that was silent."""


class Router(LocalityMixin, RequestRouter):
    """Chooses by the queue that each replica last reported."""

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The replica to send the call to, then all of them in case it has no room.

        Exchanges of reservations go to one replica, the same for all ingress replicas.
        """
        replicas = [each for each in candidate_replicas if isinstance(each, Replica)]
        awake = [each for each in replicas if not each.silent] or replicas
        if pending_request is not None:
            pending_request.routing_context.should_backoff = True  # if all are full
            if pending_request.metadata.call_method == "exchange":
                return [[min(awake, key=lambda each: each.replica_id.unique_id)]]
        waits = {each: self._wait_s(each) for each in awake}
        soonest = min(awake, key=waits.__getitem__)
        near = [each for each, wait_s in waits.items() if wait_s <= waits[soonest] + soonest.pass_s]
        chosen = min(near, key=lambda each: (each.node_id != self._self_node_id, self._calls(each), random.random()))  # noqa: S311
        chosen.expect_call()
        return [[chosen], candidate_replicas]

    def _calls(self, replica: Replica) -> int:
        return self.replica_queue_len_cache.get(replica.replica_id) or 0

    def _wait_s(self, replica: Replica) -> float:
        """The reported wait, but at least a pass for each pending call, which may be newer than the report."""
        return max(replica.wait_s, self._calls(replica) * replica.pass_s)

    def create_replica_wrapper(self, replica_info: RunningReplicaInfo) -> Replica:
        """The wrapper that the router sends calls through."""
        return Replica(replica_info)


class Replica(RunningReplica):
    """A replica that is checked for liveness while calls wait for it, by one check for all of them."""

    def __init__(self, replica_info: RunningReplicaInfo) -> None:
        super().__init__(replica_info)
        self._question: asyncio.Task[bool] | None = None
        self._lived_at = -CHECK_S
        self._ready_at = self._avoid_until = 0.0
        self.pass_s = FIRST_PASS_S

    @property
    def silent(self) -> bool:
        """Whether it was found silent within the last AVOID_S."""
        return time.monotonic() < self._avoid_until

    def avoid(self) -> None:
        """Prefer other replicas for AVOID_S."""
        self._avoid_until = time.monotonic() + AVOID_S

    @property
    def wait_s(self) -> float:
        """How long a new text would wait here."""
        return max(0.0, self._ready_at - time.monotonic())

    def expect_call(self) -> None:
        """Count a call that Serve has not sent yet; otherwise simultaneous calls would all go to one replica."""
        self._ready_at = max(self._ready_at, time.monotonic()) + self.pass_s

    def record(self, answer: Answer) -> None:
        """Record the reported queue; after a refusal it counts a pass more, so that another replica is next."""
        self._avoid_until = 0.0
        self.pass_s = answer.pass_s
        self._ready_at = time.monotonic() + answer.wait_s + (answer.pass_s if answer.busy_s else 0.0)

    def try_send_request(self, pr: Any, with_rejection: bool) -> Any:  # noqa: FBT001  (as Serve calls it)
        """Send the call. A call that was moved already is not moved again."""
        result = super().try_send_request(pr, with_rejection)
        if not with_rejection or getattr(pr, "moved", False):
            return result
        return WatchedResult(result, self, pr)

    def lives(self) -> asyncio.Task[bool]:
        """Whether it answers within SILENT_S, or has answered in the last CHECK_S; one check for all callers."""
        if self._question is None or (self._question.done() and time.monotonic() > self._lived_at + CHECK_S):
            self._question = asyncio.create_task(self._answers())
        return self._question

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(SILENT_S):
                await self.get_queue_len(deadline_s=SILENT_S)
        except (RayError, TimeoutError):
            return False
        self._lived_at = time.monotonic()
        return True


class WatchedResult:
    """Serve's result of a call, whose replica is checked while it is waited for."""

    def __init__(self, result: Any, replica: Replica, pr: Any) -> None:
        self._result = result
        self._replica = replica
        self._pr = pr

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)

    async def get_async(self) -> Any:
        """The call's result; the queue that it reports is recorded."""
        result = await self._result.get_async()
        last = result[-1] if isinstance(result, list) else result
        if isinstance(last, Answer):
            self._replica.record(last)
        return result

    async def get_rejection_response(self) -> Any:
        """Whether the replica accepts the call; over gRPC it says so together with the answer.

        Raises:
            ActorUnavailableError: the replica is silent; Serve sends the call to one that answers.
        """
        answer = asyncio.ensure_future(self._result.get_rejection_response())
        try:
            await asyncio.wait({answer}, timeout=CHECK_S)
            while not answer.done():
                lives = self._replica.lives()
                await asyncio.wait({answer, lives}, return_when=asyncio.FIRST_COMPLETED)
                if lives.done() and not lives.result() and not answer.done():
                    self._pr.moved = True
                    self._replica.avoid()
                    raise ActorUnavailableError("The replica is silent.", self._replica.actor_id.binary())
                await asyncio.wait({answer}, timeout=CHECK_S)
            return answer.result()
        finally:
            answer.cancel()
