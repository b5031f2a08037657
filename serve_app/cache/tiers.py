"""The cache as the predictor sees it: this process's memory, and behind it the tier that all replicas share."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

from serve_app.cache.base import SharedCache
from serve_app.identity import MAX_MODELS, Identity
from serve_app.prediction import Prediction

OpenSharedCache = Callable[[Identity], SharedCache]

RENEWED_PER_S = 100
"""Hits in memory that are written to the shared tier again: all if there are few, a random share if there are many.

Otherwise texts that memory answers would look unused there: they would expire, be evicted, or stay lost after FLUSHALL.
"""


class Tiers:
    """Predictions by model and text. Keys hold the model's fingerprint, so models never touch each other's answers."""

    def __init__(
        self,
        open_shared: OpenSharedCache,
        entries: int,
        expected: Identity,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_shared = open_shared
        self._entries = entries
        self._memory: OrderedDict[bytes, Prediction] = OrderedDict()  # least recently used first
        self._shared = {expected.fingerprint: open_shared(expected)}
        self._clock = clock
        self._counted_at = clock()
        self._may_renew = float(RENEWED_PER_S)

    def start(self) -> None:
        """Begin to probe the shared tier; needs a running loop."""
        for shared in self._shared.values():
            shared.start()

    def recall(self, model: Identity, keys: Iterable[bytes]) -> dict[bytes, Prediction]:
        """This model's predictions in memory for `keys`."""
        memory, prefix = self._memory, model.fingerprint.encode()
        found: dict[bytes, Prediction] = {}
        for key in keys:
            name = prefix + key
            if (prediction := memory.get(name)) is not None:
                memory.move_to_end(name)
                found[key] = prediction
        if found and (renewed := self._renewals(len(found))):
            self._of(model).put_in_background(dict(random.sample(list(found.items()), renewed)))
        return found

    async def look_up(self, asked: Sequence[tuple[Identity, Sequence[bytes]]]) -> list[dict[bytes, Prediction]]:
        """Each model's predictions in the shared tier, read together and copied to memory."""
        reads = [self._of(model).get_many(keys) for model, keys in asked]
        found = [await reads[0]] if len(reads) == 1 else await asyncio.gather(*reads)
        for (model, _), known in zip(asked, found, strict=True):
            self._remember(model, known)
        return found

    def keep(self, model: Identity, predictions: Mapping[bytes, Prediction]) -> None:
        """Put the model's computed predictions into both tiers."""
        self._remember(model, predictions)
        self._of(model).put_in_background(predictions)

    async def close(self) -> None:
        """Write what is queued for the shared tier, and close it."""
        for shared in self._shared.values():
            await shared.close()

    def _renewals(self, hits: int) -> int:
        """How many of so many hits to renew now: all while few were lately, then a share at random.

        If all were renewed until none may be, texts that are asked for in step with the clock might never be.
        """
        now = self._clock()
        self._may_renew = min(RENEWED_PER_S, self._may_renew + (now - self._counted_at) * RENEWED_PER_S)
        self._counted_at = now
        share = min(1.0, 2 * self._may_renew / RENEWED_PER_S)
        renewed = int(max(0.0, min(hits * share, self._may_renew)) + random.random())  # noqa: S311
        renewed = min(hits, renewed)  # the sum may be rounded up
        self._may_renew -= renewed
        return renewed

    def _remember(self, model: Identity, predictions: Mapping[bytes, Prediction]) -> None:
        prefix = model.fingerprint.encode()
        for key, prediction in predictions.items():
            self._memory[prefix + key] = prediction
            self._memory.move_to_end(prefix + key)
        while len(self._memory) > self._entries:
            self._memory.popitem(last=False)

    def _of(self, model: Identity) -> SharedCache:
        """The model's part of the shared tier."""
        shared = self._shared.get(model.fingerprint)
        if shared is None:
            shared = self._shared[model.fingerprint] = self._open_shared(model)
            if len(self._shared) > MAX_MODELS:
                del self._shared[next(iter(self._shared))]
        return shared
