"""Which replica Serve's router, of our class, sends a call to."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve._private.common import DeploymentHandleSource, DeploymentID, ReplicaID, RequestMetadata
from ray.serve._private.request_router.common import PendingRequest
from ray.serve._private.request_router.replica_wrapper import RunningReplica

from serve_app.predict.router import Replica, Router
from tests.support.fakes import answer

DEPLOYMENT = DeploymentID(name="classifier", app_name="test")
PASS_S = 0.1


class Routing:
    """A router on node `here`, and replicas that are named by their node."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *nodes: str) -> None:
        async def queue_len(_: Any, *, deadline_s: float) -> int:  # noqa: ARG001
            return 0

        def init(replica: Any, info: Any) -> None:
            replica._replica_info = info

        monkeypatch.setattr(RunningReplica, "__init__", init)
        monkeypatch.setattr(RunningReplica, "get_queue_len", queue_len)
        self.router = Router(
            deployment_id=DEPLOYMENT,
            handle_source=DeploymentHandleSource.REPLICA,
            self_node_id="here",
            use_replica_queue_len_cache=True,
            prefer_local_node_routing=False,
        )
        self.replicas = {node: self._replica(node) for node in nodes}
        self._waits: dict[str, float] = {}
        self.router.update_replicas(list(self.replicas.values()))

    def _replica(self, node: str) -> Any:
        info: Any = SimpleNamespace(
            replica_id=ReplicaID(node, DEPLOYMENT), node_id=node, availability_zone=None, max_ongoing_requests=1000
        )
        return self.router.create_replica_wrapper(info)

    def hear(self, **waits: float) -> None:
        self._waits |= waits
        for node, wait_s in waits.items():
            self.replicas[node].record(answer(wait_s=wait_s, pass_s=PASS_S))

    async def chosen(
        self, method: str = "classify", calls: int = 40, *, end: bool = True, fail: bool = False
    ) -> Counter[str]:
        """How many calls go to which replica; each ends before the next is sent, answered or not, or none does."""
        nodes: Counter[str] = Counter()
        for number in range(calls):
            name = f"{method} {number}"
            metadata = RequestMetadata(request_id=name, internal_request_id=name, call_method=method)
            replica = await self.router._choose_replica_for_request(
                PendingRequest(args=[], kwargs={}, metadata=metadata)
            )
            self.router.on_send_request(replica.replica_id)
            if end:
                self.router.decrement_queue_len_cache(replica.replica_id)
                if method == "classify" and not fail:
                    node = replica.node_id
                    self.replicas[node].record(answer(wait_s=self._waits.get(node, 0.0), pass_s=PASS_S))
            nodes[replica.node_id] += 1
        return nodes


async def test_a_call_goes_to_the_own_node_while_its_wait_is_within_a_pass_of_the_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routing = Routing(monkeypatch, "there", "here", "elsewhere")
    assert await routing.chosen() == {"here": 40}
    routing.hear(here=1.08, there=1.0, elsewhere=3.0)
    assert await routing.chosen() == {"here": 40}
    routing.hear(here=1.3, there=1.0, elsewhere=3.0)
    assert await routing.chosen() == {"there": 40}


async def test_a_replica_whose_passes_are_long_gets_no_more_calls_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    routing = Routing(monkeypatch, "there", "here")
    routing.replicas["there"].record(answer(wait_s=0.0, pass_s=PASS_S))
    routing.replicas["here"].record(answer(wait_s=1.0, pass_s=1.0))
    assert await routing.chosen(calls=1) == {"there": 1}


async def test_calls_that_have_not_ended_count_for_a_pass_each(monkeypatch: pytest.MonkeyPatch) -> None:
    routing = Routing(monkeypatch, "there", "here")
    routing.hear(here=0.0, there=0.0)
    sent = await routing.chosen(end=False)
    assert abs(sent["here"] - sent["there"]) <= 2


async def test_calls_that_come_at_once_go_to_several_before_any_of_them_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routing = Routing(monkeypatch, "there", "here")
    chosen = [(await routing.router.choose_replicas(list(routing.replicas.values())))[0][0] for _ in range(40)]
    nodes = Counter(replica.node_id for replica in chosen)
    assert abs(nodes["here"] - nodes["there"]) <= 2, "before a replica was heard of, too"


async def test_of_other_nodes_the_one_with_fewer_calls_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    routing = Routing(monkeypatch, "a", "b", "c", "here")
    routing.hear(here=2.0, a=0.0, b=0.05, c=1.0)
    await asyncio.sleep(0)  # the router asks new replicas for their queues
    assert await routing.chosen(calls=16, end=False) == {"a": 8, "b": 8}


async def test_a_replica_that_refused_is_not_the_next_one_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    routing = Routing(monkeypatch, "here", "there")
    routing.hear(there=2.0)
    routing.replicas["here"].record(answer(None, wait_s=2.01, pass_s=PASS_S, busy_s=2.01))
    assert await routing.chosen(calls=1) == {"there": 1}


async def test_a_reported_wait_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    routing = Routing(monkeypatch, "here", "there")
    routing.hear(here=0.25, there=0.0)
    assert await routing.chosen(calls=1) == {"there": 1}
    await asyncio.sleep(0.2)
    assert await routing.chosen(calls=1) == {"here": 1}


async def test_a_silent_replica_is_avoided_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    routing = Routing(monkeypatch, "here", "there")
    routing.replicas["here"].avoid()
    assert await routing.chosen(fail=True) == {"there": 40}
    routing.replicas["there"].avoid()
    assert await routing.chosen(fail=True) == {"here": 40}, "where all are silent each is as good"
    routing.hear(there=0.0)
    assert await routing.chosen() == {"there": 40}


async def test_tickets_go_through_the_same_replica_from_wherever(monkeypatch: pytest.MonkeyPatch) -> None:
    routing = Routing(monkeypatch, "here", "a", "there")
    routing.hear(a=60.0)
    assert await routing.chosen("exchange") == {"a": 40}
    routing.replicas["a"].avoid()
    assert await routing.chosen("exchange") == {"here": 40}


async def test_calls_that_are_routed_at_once_each_get_the_replica_that_was_chosen_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routing = Routing(monkeypatch, "here", "a")
    exchanges, calls = await asyncio.gather(routing.chosen("exchange"), routing.chosen("classify"))
    assert exchanges == {"a": 40}
    assert calls == {"here": 40}


def test_the_replicas_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunningReplica, "__init__", lambda *_: None)
    unused: Any = None
    assert isinstance(Router.create_replica_wrapper(unused, unused), Replica)
