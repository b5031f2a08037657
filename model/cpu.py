"""What this CPU can do fast."""

from __future__ import annotations

import platform
from pathlib import Path

_INT8_FLAGS = {"avx512_vnni", "avx_vnni", "asimddp"}


def multiplies_int8(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU has instructions for int8 dot products: AVX-512 or AVX VNNI, or Arm's dot product.

    Without them int8 is emulated: slower than fp32, and not everywhere with the same sums.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.system() == "Darwin" and platform.machine() == "arm64"
    words = {word for line in lines if line.startswith(("flags", "Features")) for word in line.split()}
    return bool(words & _INT8_FLAGS)


def choose_precision(wanted: str) -> str:
    """What `auto` means on this CPU: int8 where it multiplies int8 fast, fp32 elsewhere."""
    if wanted != "auto":
        return wanted
    return "int8" if multiplies_int8() else "fp32"
