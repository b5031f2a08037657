"""The models that are in use, as their answers show."""

from __future__ import annotations

import math
import time

from serve_app.identity import MAX_MODELS, Identity

SLACK_S = 0.5
"""A model that has not answered again still counts for this much longer than the health probe's period."""


class LiveModels:
    """The models that answered within the health probe's period plus SLACK_S, at most MAX_MODELS.

    The one that answered last always counts; the model of the settings counts until one has answered. Two replicas
    whose models differ may both be listed for as long as they run. A model that was dropped is listed again once it
    answers a call that began after that: a replica that ends may answer a long call when its model has been replaced.
    """

    def __init__(self, expected: Identity, probe_s: float) -> None:
        self._live_s = probe_s + SLACK_S
        self._seen: dict[str, tuple[Identity, float]] = {}  # by fingerprint, in order of appearance
        self._newest_first = [expected]
        self._dropped_at = -math.inf

    @property
    def newest(self) -> Identity:
        """The model that appeared last."""
        return self.newest_first()[0]

    def newest_first(self) -> list[Identity]:
        """The models by appearance, the last first; at least one."""
        if len(self._newest_first) > 1:
            self._drop(time.monotonic())
        return self._newest_first

    def saw(self, model: Identity, began: float) -> None:
        """Record that this model has answered a call that began then, in seconds of `time.monotonic`."""
        now = time.monotonic()
        if self._newest_first == [model]:
            self._seen[model.fingerprint] = model, now
            return
        self._drop(now)
        if model.fingerprint not in self._seen and began < self._dropped_at:
            return
        self._seen[model.fingerprint] = model, now
        if len(self._seen) > MAX_MODELS:
            del self._seen[min(self._seen, key=lambda fingerprint: self._seen[fingerprint][1])]
        self._newest_first = [model for model, _ in reversed(self._seen.values())]

    def _drop(self, now: float) -> None:
        """Forget models that have not answered for too long, except the one that answered last."""
        oldest = min(now - self._live_s, max((seen for _, seen in self._seen.values()), default=now))
        live = {key: entry for key, entry in self._seen.items() if entry[1] >= oldest}
        if len(live) < len(self._seen):
            self._seen, self._dropped_at = live, now
        self._newest_first = [model for model, _ in reversed(self._seen.values())]
