"""What has to hold while a step runs, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Bar(Enum):
    """What has to hold while a step runs."""

    NOTHING_FAILS = "0 failed requests, 0 s without an endpoint"
    NO_HIT_FAILS = "0 failed requests on cached texts"
    NONE = "its own"


@dataclass
class Outcome:
    """What a step found by itself."""

    ready_s: float | None = None
    """Seconds until the service was ready again, in the step's own sense."""
    notes: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
