"""The machine and the versions that figures were measured with."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("ray", "openvino", "fastapi", "tokenizers", "redis", "transformers", "torch")
CPUINFO = Path("/proc/cpuinfo")


def machine() -> dict[str, Any]:
    """CPU, cores, commit and versions."""
    return {"cpu": cpu(), "cores": cores(), "commit": commit(), "python": platform.python_version()} | {
        package: version(package) for package in PACKAGES
    }


def where() -> str:
    """CPU, cores and commit in words, for the caption of a table."""
    return f"{cpu()}, {cores()} cores, commit {commit()}"


def cpu(cpuinfo: Path = CPUINFO) -> str:
    """Name, vendor, family and model, as far as the system knows them: clouds give different CPUs the same name."""
    first = _fields(cpuinfo)
    name = first.get("model name") or platform.processor() or platform.machine()
    vendor = first.get("vendor_id") or first.get("CPU implementer")
    family = first.get("cpu family") or first.get("CPU architecture")
    model = first.get("model") or first.get("CPU part")
    return f"{name} ({vendor}, family {family}, model {model})" if vendor and family and model else name


def cores(cpuinfo: Path = CPUINFO) -> int:
    """How many cores the system has."""
    return sum(line.startswith("processor") for line in _lines(cpuinfo))


def commit() -> str:
    """The checked-out commit, abbreviated."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
    return done.stdout.strip()


def _fields(cpuinfo: Path) -> dict[str, str]:
    """The fields of the first core."""
    fields: dict[str, str] = {}
    for line in _lines(cpuinfo):
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def _lines(cpuinfo: Path) -> list[str]:
    return cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
