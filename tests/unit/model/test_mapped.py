"""Pages of a mapped file are given back, and what is read again is what it was."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import pytest

from model.mapped import forget_pages


def resident_kb(file: Path) -> int:
    lines = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    start = next(index for index, line in enumerate(lines) if line.endswith(str(file)))
    return next(int(line.split()[1]) for line in lines[start:] if line.startswith("Rss:"))


@pytest.mark.skipif(sys.platform != "linux", reason="mappings are listed on Linux")
@pytest.mark.parametrize("name", ["a file.bin", os.fsdecode(b"\xff.bin")])
def test_pages_are_given_back_and_come_again_when_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    content = bytes(range(256)) * 4096
    file.write_bytes(content)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        assert bytes(mapping) == content
        assert resident_kb(file) == 1024
        forget_pages(file)
        assert resident_kb(file) == 0
        assert bytes(mapping) == content


def test_a_system_without_a_list_of_mappings_is_left_alone(tmp_path: Path) -> None:
    forget_pages(tmp_path / "file", tmp_path / "maps")
