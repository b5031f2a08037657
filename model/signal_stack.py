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

    Compiling a graph, OpenVINO 2026.4 gives the calling thread another stack for signals, and frees it with the graph.
    Python handles signals there, so that the next one, such as Ctrl-C, would end the process by a segmentation fault.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).sigaltstack(ctypes.byref(_Stack(None, _SS_DISABLE, 0)), None)
