"""One thing that is wrong, and which comes first where there are several."""

from __future__ import annotations

from dataclasses import dataclass, field

from kuberay.errors import ExitCode
from kuberay.redact import redact_text

TERMINAL = (ExitCode.VALIDATION_FAILED, ExitCode.INITIALIZING_TIMEOUT)
"""Nothing but a user's edit ends these, so waiting is pointless."""
THOUGH_READY = (ExitCode.VALIDATION_FAILED, ExitCode.AUTOSCALER)
"""The service answers, and yet is not in the form that was asked for, or cannot change any more."""
_CAUSES_FIRST = (
    *TERMINAL,
    ExitCode.IMAGE_PULL,
    ExitCode.CONTAINER_CONFIG,
    ExitCode.CRASH_LOOP,
    ExitCode.UNSCHEDULABLE,
    ExitCode.OPERATOR,
    ExitCode.AUTOSCALER,
    ExitCode.SERVE_APPLICATION,
    ExitCode.ROLLOUT,
    ExitCode.REDIS_WAIT,
    ExitCode.HEAD_WAIT,
)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    code: ExitCode
    subject: str
    """Kind/name."""
    message: str
    container: str = ""
    """Of a crash loop: whose log tells more."""
    lines: list[str] = field(default_factory=list)
    """The end of that log."""


def in_order(problems: list[Problem]) -> list[Problem]:
    """Causes before what follows from them."""
    return sorted(problems, key=lambda problem: _CAUSES_FIRST.index(problem.code))


def line(text: str) -> str:
    """A cluster's words as one line without credentials."""
    return redact_text(" ".join(text.split()))
