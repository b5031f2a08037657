"""No core dumps: the memory of these processes holds texts, keys and passwords."""

from __future__ import annotations

import resource


def forbid_core_dumps() -> None:
    """Have the system write no core of this process, nor of those that it starts, whatever they ask for."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
