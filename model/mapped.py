"""Frees the memory of files that are mapped but no longer read."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_MADV_DONTNEED = 4


def forget_pages(file: Path, maps: Path = Path("/proc/self/maps")) -> None:
    """Drop the pages of a file that this process has mapped read-only; a later read loads them again.

    The runtime copies matrices from the file into the CPU's layout, and keeps the file mapped. Does nothing if the
    system has no such list of mappings.
    """
    try:
        lines = maps.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    libc = ctypes.CDLL(None)
    for line in lines:
        addresses, access, _, _, _, *path = line.split(maxsplit=5)
        # dropping writable pages would lose writes
        if path == [os.fspath(file.resolve())] and "w" not in access:
            first, end = (int(address, 16) for address in addresses.split("-"))
            libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), _MADV_DONTNEED)
