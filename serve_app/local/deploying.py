"""Whether Serve has given up deploying the application, after which `serve run` would stay up without it."""

from __future__ import annotations

import re
from pathlib import Path

_GIVEN_UP = re.compile(
    r"""(?:Deploying\ app|Runtime\ env\ setup\ for\ app)\ '[^']*'\ failed
    |Unexpected\ error\ occurred\ while\ deploying\ application
    |Failed\ to\ update\ the\ deployments\ \[""",
    re.VERBOSE,
)
"""What Serve's controller logs as an application becomes DEPLOY_FAILED (ray/serve/_private/application_state.py)."""


def given_up(log: Path) -> bool:
    """Whether the log of `serve run` says that the application could not be deployed."""
    return _GIVEN_UP.search(log.read_text(encoding="utf-8", errors="replace")) is not None
