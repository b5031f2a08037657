"""Detects the arithmetic that this CPU computes fast."""

from __future__ import annotations

import platform
from pathlib import Path

_INT8_FLAGS = {"avx512_vnni", "avx_vnni", "asimddp"}
_CPUINFO = Path("/proc/cpuinfo")


def multiplies_int8(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether the CPU has instructions for int8 dot products: AVX-512 or AVX VNNI, or Arm's dot product.

    Without them int8 is emulated: slower than fp32, and activations stay in fp32.
    """
    flags = _flags(cpuinfo)
    if flags is None:
        return platform.system() == "Darwin" and platform.machine() == "arm64"
    return bool(flags & _INT8_FLAGS)


def multiplies_bf16_tiles(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether the CPU has AMX for bf16, which multiplies whole tiles of a matrix."""
    return "amx_bf16" in (_flags(cpuinfo) or set())


def choose_precision(wanted: str) -> str:
    """The precision that `auto` means on this CPU: bf16 with AMX, otherwise int8 if that is fast, or fp32.

    With AMX bf16 was measured to be the faster of the two from a hundred tokens a pass on, twice as fast at five
    hundred, and nearer to fp32 (docs/decisions/own-graph.md); one short text alone took a millisecond more.
    Without AMX, bf16 has at most half of int8's throughput in the same registers.
    """
    if wanted != "auto":
        return wanted
    if multiplies_bf16_tiles():
        return "bf16"
    return "int8" if multiplies_int8() else "fp32"


def _flags(cpuinfo: Path) -> set[str] | None:
    """The CPU's features, or None if the system has no such file."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return {word for line in lines if line.startswith(("flags", "Features")) for word in line.split()}
