"""A finding of a preflight."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from kuberay.errors import ExitCode


class Level(IntEnum):
    """How certain it is that an apply cannot succeed."""

    FAULT = 0
    """Certain: `apply` refuses."""
    WARNING = 1
    """The service will not come up, or not work correctly, until a user acts."""
    UNKNOWN = 2
    """It could not be checked."""


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    level: Level
    code: ExitCode
    """The exit code of `apply` for a fault."""
    message: str
