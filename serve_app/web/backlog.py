"""Lets more connections wait for a busy ingress replica than uvicorn does by default, which is 2,048.

The kernel acknowledges nothing that comes over further ones, so HAProxy would take the replica for silent.
"""

from __future__ import annotations

from functools import partialmethod

import uvicorn

BACKLOG = 16384
"""As many as HAProxy has. The kernel's limit is `net.core.somaxconn`, which is 4,096 by default."""


def let_more_connections_wait() -> None:
    """Change the default for servers that this process starts later; Serve has no setting for its own."""
    longer = partialmethod(uvicorn.Config.__init__, backlog=BACKLOG)
    uvicorn.Config.__init__ = longer  # type: ignore[method-assign,assignment]
