"""One thing that a preflight has to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from kuberay.errors import ExitCode


class Level(IntEnum):
    """How certain it is that an apply cannot succeed."""

    FAULT = 0
    """Certain: `apply` refuses."""
    WARNING = 1
    """The service will not come up, or not work as it should, until somebody does something."""
    UNKNOWN = 2
    """It could not be asked."""


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    level: Level
    code: ExitCode
    """What `apply` ends with for a fault."""
    message: str
