"""What the cache asks of its second tier, which other replicas share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from serve_app.prediction import Prediction


class SharedCache(Protocol):
    """One model's answers outside the process. It may be slow, full, gone or wrong; none of that may fail a request."""

    def start(self) -> None:
        """Begin to find out whether the cache can be used. Never raises; needs a running loop."""
        ...

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Prediction]:
        """What is known of `keys`; an empty answer where the cache cannot be asked in time. Never raises."""
        ...

    def put_in_background(self, predictions: Mapping[bytes, Prediction]) -> None:
        """Write, off the road of the request. Never raises, and drops what cannot be written."""
        ...

    async def close(self) -> None:
        """Stop background work and connections."""
        ...


class NoSharedCache:
    """The shared cache of a service that runs without Redis."""

    def start(self) -> None:
        """Nothing is to be found out."""

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Prediction]:  # noqa: ARG002
        """Nothing is known."""
        return {}

    def put_in_background(self, predictions: Mapping[bytes, Prediction]) -> None:
        """Nothing is written."""

    async def close(self) -> None:
        """Nothing is open."""
