"""The limit of open files of this process and its children."""

from __future__ import annotations

import resource


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one, since the soft limit bounds HAProxy's connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
