"""The Redis tier: one model's predictions, under keys with the model's fingerprint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from model.labels import SINGLE_LABEL
from serve_app.cache.base import NoSharedCache, SharedCache
from serve_app.cache.redis_store import PREFIX, RedisStore
from serve_app.cache.seal import Seal
from serve_app.cache.tiers import OpenSharedCache
from serve_app.identity import Identity
from serve_app.metrics import Metrics
from serve_app.prediction import BadValue, Prediction, dump, load
from serve_app.settings import Settings


class RedisCache:
    """Predictions of one model in Redis, under `fastapi-cache-project::<fingerprint>:<hash of the text>`.

    The caches of several models share a `store`, which sends their concurrent reads as one MGET.
    """

    def __init__(
        self,
        settings: Settings,
        fingerprint: str,
        labels: tuple[str, ...],
        metrics: Metrics,
        *,
        sum_to_one: bool = True,
        store: RedisStore | None = None,
    ) -> None:
        self._store = store or RedisStore(settings, metrics)
        self._breaker = self._store.breaker
        self._prefix = f"{PREFIX}{fingerprint}:"
        value_key = settings.redis_value_key
        self._seal = Seal("" if value_key is None else value_key.get_secret_value())
        self._labels = labels
        self._sum_to_one = sum_to_one
        self._metrics = metrics

    def start(self) -> None:
        """Probe Redis in the background, so that the log reports a fault before a request needs Redis."""
        self._breaker.check()

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Prediction]:
        """The predictions that Redis has for `keys`; none if it fails, is late, or the breaker is open."""
        if not keys:
            return {}
        names = [self._name(key) for key in keys]
        values = await self._store.read(names)
        found: dict[bytes, Prediction] = {}
        for key, name in zip(keys, names, strict=True):
            if (value := values.get(name)) is not None:
                try:
                    found[key] = load(self._seal.check(name, value), self._labels, sum_to_one=self._sum_to_one)
                except BadValue:
                    self._metrics.bad_values.inc()
        return found

    def put_in_background(self, predictions: Mapping[bytes, Prediction]) -> None:
        """Write in the background; drop them while Redis cannot be used or too many writes wait."""
        named = {self._name(key): dump(prediction) for key, prediction in predictions.items()}
        self._store.write_in_background({name: self._seal.put(name, value) for name, value in named.items()})

    async def close(self) -> None:
        """Write what is queued, then close the store."""
        await self._store.close()

    def _name(self, key: bytes) -> str:
        return self._prefix + key.hex()


def open_redis(settings: Settings, metrics: Metrics) -> OpenSharedCache:
    """A function that opens a model's cache in the settings' Redis, over shared connections; no cache without Redis."""
    store = None if settings.redis_url is None else RedisStore(settings, metrics)

    def open_shared(model: Identity) -> SharedCache:
        if store is None:
            return NoSharedCache()
        sum_to_one = model.problem_type == SINGLE_LABEL
        return RedisCache(settings, model.fingerprint, model.labels, metrics, sum_to_one=sum_to_one, store=store)

    return open_shared
