"""Give back the memory of files that are mapped but no longer read."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_MADV_DONTNEED = 4


def forget_pages(file: Path, maps: Path = Path("/proc/self/maps")) -> None:
    """Drop the pages of a file that this process has mapped for reading only; what is read again is loaded again.

    The runtime copies matrices from the file into the layout that the CPU wants, and keeps the file mapped. Does
    nothing where the system has no such list of mappings.
    """
    try:
        lines = maps.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    libc = ctypes.CDLL(None)
    for line in lines:
        addresses, access, _, _, _, *path = line.split(maxsplit=5)
        # what could have been written to would lose that
        if path == [os.fspath(file.resolve())] and "w" not in access:
            first, end = (int(address, 16) for address in addresses.split("-"))
            libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), _MADV_DONTNEED)
