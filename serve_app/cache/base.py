"""The interface of the cache's second tier, which all replicas share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from serve_app.prediction import Prediction


class SharedCache(Protocol):
    """One model's answers outside the process. It may be slow, full, gone or wrong; none of that may fail a request."""

    def start(self) -> None:
        """Begin to probe the cache. Never raises; needs a running loop."""
        ...

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Prediction]:
        """The cached predictions for `keys`; none if the cache does not answer in time. Never raises."""
        ...

    def put_in_background(self, predictions: Mapping[bytes, Prediction]) -> None:
        """Write without delaying the request. Never raises; drops what cannot be written."""
        ...

    async def close(self) -> None:
        """Stop background work and connections."""
        ...


class NoSharedCache:
    """The shared cache of a service that runs without Redis."""

    def start(self) -> None:
        """Do nothing: there is nothing to probe."""

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Prediction]:  # noqa: ARG002
        """Always empty."""
        return {}

    def put_in_background(self, predictions: Mapping[bytes, Prediction]) -> None:
        """Drop them."""

    async def close(self) -> None:
        """Do nothing: nothing is open."""
