"""Keep signals working after the runtime has compiled a graph."""

from __future__ import annotations

import ctypes
import sys

_SS_DISABLE = 2


class _Stack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (("base", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def use_ordinary_stack() -> None:
    """Have this thread's signals handled on its ordinary stack.

    OpenVINO 2026.4 gives a thread that compiles a graph another signal stack, and frees it with the graph. Python
    would handle the next signal, such as Ctrl-C, on that stack, and the process would end in a segmentation fault.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).sigaltstack(ctypes.byref(_Stack(None, _SS_DISABLE, 0)), None)
