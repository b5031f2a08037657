"""A circuit breaker that probes in the background, so that no request waits for a probe."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable


class Breaker:
    """Counts failures in a row, for each kind of use; past the limit it is open until a background `probe` succeeds.

    `probe` is awaited about every `probe_s` seconds while open, and must raise if the resource is still down.
    `changed` is called with the failure that opened it, and with None when it closes.
    """

    def __init__(
        self,
        max_failures: int,
        probe_s: float,
        probe: Callable[[], Awaitable[object]],
        changed: Callable[[Exception | None], None] = lambda _: None,
    ) -> None:
        self._max_failures = max_failures
        self._probe_s = probe_s
        self._probe = probe
        self._changed = changed
        self._failures: Counter[str] = Counter()
        self._probing: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether the resource must not be used now."""
        return self._probing is not None

    def check(self) -> None:
        """Probe now; the breaker is open until the probe has succeeded."""
        if self._probing is None:
            self._probing = asyncio.create_task(self._probe_until_back(None))

    def succeeded(self, kind: str) -> None:
        """Record that a use of this kind succeeded."""
        self._failures[kind] = 0

    def failed(self, kind: str, error: Exception) -> None:
        """Record that a use of this kind failed or was late."""
        self._failures[kind] += 1
        if self._failures[kind] >= self._max_failures and self._probing is None:
            self._changed(error)
            self._probing = asyncio.create_task(self._probe_until_back(error))

    async def close(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    async def _probe_until_back(self, known: Exception | None) -> None:
        """Probe until it succeeds; `known` is the failure that was reported already."""
        while True:
            if known is not None:
                # spread by a quarter, so that replicas do not all probe at once a Redis that just came back
                await asyncio.sleep(self._probe_s * random.uniform(0.75, 1.25))  # noqa: S311
            try:
                await self._probe()
            except Exception as error:  # noqa: BLE001  (after any error the resource is still down)
                if known is None:
                    self._changed(error)
                known = error
                continue
            self._failures.clear()
            self._probing = None
            self._changed(None)
            return
