"""A problem, and the order of several."""

from __future__ import annotations

from dataclasses import dataclass, field

from kuberay.errors import ExitCode
from kuberay.redact import redact_text

TERMINAL = (ExitCode.VALIDATION_FAILED, ExitCode.INITIALIZING_TIMEOUT)
"""Only a user's edit ends these, so waiting is pointless."""
THOUGH_READY = (ExitCode.VALIDATION_FAILED, ExitCode.AUTOSCALER)
"""The service answers, but does not match the last apply, or can no longer change."""
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
    """One problem."""

    code: ExitCode
    subject: str
    """Kind/name."""
    message: str
    container: str = ""
    """Of a crash loop: the container whose log says more."""
    lines: list[str] = field(default_factory=list)
    """The end of that log."""


def in_order(problems: list[Problem]) -> list[Problem]:
    """The problems, causes before effects."""
    return sorted(problems, key=lambda problem: _CAUSES_FIRST.index(problem.code))


def line(text: str) -> str:
    """A message of the cluster as one line without credentials."""
    return redact_text(" ".join(text.split()))
