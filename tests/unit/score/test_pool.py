"""The pool of workers, with a Ray whose calls end at once."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import NodeDiedError, ObjectLostError, ObjectStoreFullError, OutOfMemoryError, OwnerDiedError

from serve_app.identity import Identity
from serve_app.score import pool
from serve_app.score.computed import Computed
from serve_app.score.errors import ScoreError
from serve_app.score.pool import MAX_TRIES, Pool
from serve_app.settings import Settings

SCORES = Computed([(0.5, 0.5)], [False])


class Call:
    """The reference to a call: its value, or the error that ray.get raises."""

    def __init__(self, value: Any) -> None:
        self.value = value


class FakeRay:
    """Stands for the module, a class, an actor and its methods. Calls of `score` end so, and then with scores."""

    def __init__(self, *outcomes: Exception) -> None:
        self._outcomes = list(outcomes)
        self.load = self.score = self

    def options(self, **_: Any) -> FakeRay:
        return self

    def remote(self, *arguments: Any) -> Any:
        if len(arguments) == 1 and isinstance(arguments[0], list):
            return Call(self._outcomes.pop(0) if self._outcomes else SCORES)
        return self if arguments else Call("")

    def wait(self, calls: list[Call], **_: Any) -> tuple[list[Call], list[Call]]:
        return calls[:1], calls[1:]

    def get(self, call: Call) -> Any:
        if isinstance(call.value, Exception):
            raise call.value
        return call.value


def pool_of(monkeypatch: pytest.MonkeyPatch, *outcomes: Exception) -> Pool:
    monkeypatch.setattr(pool, "ray", FakeRay(*outcomes))
    made = Pool(Settings(), Identity("a/model", None, "ab", "fp32", ("NO", "YES"), 512, None), 1, 1)
    made.wait()
    made.submit(0, ["good"])
    return made


DEATHS = [
    OutOfMemoryError("the node was low on memory"),  # type: ignore[no-untyped-call]
    NodeDiedError("the node is gone"),  # type: ignore[no-untyped-call]
    ObjectLostError("ab", None, ""),
    OwnerDiedError("ab", None, ""),
]


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: type(death).__name__)
def test_a_worker_that_ray_or_its_node_ended_is_replaced(death: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool_of(monkeypatch, death, death).result(0) == SCORES
    with pytest.raises(ScoreError, match=f"{MAX_TRIES} workers died while scoring part 0, .*finished parts are kept"):
        pool_of(monkeypatch, *[death] * MAX_TRIES).result(0)


def test_another_error_of_ray_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "Ray has failed: ObjectStoreFullError; finished parts are kept; run the same command again to continue"
    with pytest.raises(ScoreError, match=f"^{line}$"):
        pool_of(monkeypatch, ObjectStoreFullError()).result(0)
