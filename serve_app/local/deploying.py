"""Detects that Serve has given up deploying the application: `serve run` then stays up without it."""

from __future__ import annotations

import re
from pathlib import Path

_GIVEN_UP = re.compile(
    rb"""(?:Deploying\ app|Runtime\ env\ setup\ for\ app)\ '[^']*'\ failed
    |Unexpected\ error\ occurred\ while\ deploying\ application
    |Failed\ to\ update\ the\ deployments\ \[""",
    re.VERBOSE,
)
"""What Serve's controller logs if an application is DEPLOY_FAILED (ray/serve/_private/application_state.py)."""


class Deploying:
    """Reads the log of `serve run` as it grows."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0
        self._line = b""

    def given_up(self) -> bool:
        """Whether a line logged since the last call reports that Serve has given up deploying the application."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            new = self._line + log.read()
            self._read = log.tell()
        # an incomplete line is read again with its rest
        self._line = new[new.rfind(b"\n") + 1 :]
        return _GIVEN_UP.search(new) is not None
