"""No core dumps: the memory of these processes holds texts, keys and passwords."""

from __future__ import annotations

import resource


def forbid_core_dumps() -> None:
    """Forbid core dumps of this process and of those that it starts, by the hard limit."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
