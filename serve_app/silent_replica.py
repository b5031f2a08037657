"""Routes calls to model replicas as Serve does, and moves a call whose replica has fallen silent to another one, once.

A node that vanishes resets no connection: without this a call to its replica waits until the model's time-out. A
replica that is slow still says how much it has to do.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ray.exceptions import ActorUnavailableError, RayError
from ray.serve._private.common import RunningReplicaInfo
from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter
from ray.serve._private.request_router.replica_wrapper import RunningReplica

LOOK_S = 0.25
"""Only for a call that waits longer is its replica asked for a sign of life, and as often again."""
SILENT_S = 1.0
"""A replica that does not answer for so long is silent."""


class Router(PowerOfTwoChoicesRequestRouter):
    """Serve's own way to choose a replica, among replicas that are watched."""

    def create_replica_wrapper(self, replica_info: RunningReplicaInfo) -> Replica:
        """What the router sends calls through."""
        return Replica(replica_info)


class Replica(RunningReplica):
    """A replica that is asked for a sign of life while calls wait for it, by one question for all of them."""

    def __init__(self, replica_info: RunningReplicaInfo) -> None:
        super().__init__(replica_info)
        self._question: asyncio.Task[bool] | None = None

    def try_send_request(self, pr: Any, with_rejection: bool) -> Any:  # noqa: FBT001  (as Serve calls it)
        """Send the call. One that was moved already is not moved again."""
        result = super().try_send_request(pr, with_rejection)
        if not with_rejection or getattr(pr, "moved", False):
            return result
        return WatchedResult(result, self, pr)

    def lives(self) -> asyncio.Task[bool]:
        """Whether it answers within SILENT_S, for any number of callers."""
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._answers())
        return self._question

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(SILENT_S):
                await self.get_queue_len(deadline_s=SILENT_S)
        except (RayError, TimeoutError):
            return False
        return True


class WatchedResult:
    """What a call comes to; everything but the wait for it is Serve's."""

    def __init__(self, result: Any, replica: Replica, pr: Any) -> None:
        self._result = result
        self._replica = replica
        self._pr = pr

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)

    async def get_rejection_response(self) -> Any:
        """What the replica says of the call; over gRPC it says so together with the answer.

        Raises:
            ActorUnavailableError: the replica is silent; Serve sends the call to one that answers.
        """
        answer = asyncio.ensure_future(self._result.get_rejection_response())
        try:
            await asyncio.wait({answer}, timeout=LOOK_S)
            while not answer.done():
                lives = self._replica.lives()
                await asyncio.wait({answer, lives}, return_when=asyncio.FIRST_COMPLETED)
                if lives.done() and not lives.result() and not answer.done():
                    self._pr.moved = True
                    raise ActorUnavailableError("The replica is silent.", self._replica.actor_id.binary())
                await asyncio.wait({answer}, timeout=LOOK_S)
            return answer.result()
        finally:
            answer.cancel()
