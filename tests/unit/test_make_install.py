"""`make install` where an environment cannot be made, was made half, was moved, or has lost its Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import REPOSITORY

pytestmark = pytest.mark.slow

PYTHON = Path(sys.executable).resolve()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the Makefile, and with nothing to download."""
    folder = tmp_path / "mit leer und ümlaut"
    folder.mkdir()
    shutil.copy(REPOSITORY / "Makefile", folder)
    (folder / "requirements.txt").touch()
    return folder


def make(folder: Path, python: Path = PYTHON) -> subprocess.CompletedProcess[str]:
    command = ["make", "install", f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def works(folder: Path) -> bool:
    command = [str(folder / ".venv" / "bin" / "python"), "-m", "pip", "--version"]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def test_without_the_venv_package_the_line_says_what_to_install(clone: Path) -> None:
    python = clone.parent / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$2" = venv ] || exec {PYTHON} "$@"\n{PYTHON} -m venv --without-pip "$3"; exit 1\n'
    )
    python.chmod(0o755)
    done = make(clone, python)
    assert done.returncode != 0
    assert "error: " in done.stderr
    assert "apt install python3-venv" in done.stderr
    assert not (clone / ".venv").exists()
    assert make(clone).returncode == 0
    assert works(clone)


def test_a_half_made_moved_or_broken_environment_is_made_again(clone: Path) -> None:
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", clone / ".venv"], check=True, timeout=60)
    assert make(clone).returncode == 0, "half made"
    assert works(clone)
    assert "venv" not in make(clone).stdout, "there is nothing to do"

    moved = clone.rename(clone.parent / "moved")
    assert make(moved).returncode == 0
    assert (moved / ".venv" / ".made").read_text().strip() == str(moved)

    for name in ("python", "python3"):
        (moved / ".venv" / "bin" / name).unlink()
        (moved / ".venv" / "bin" / name).symlink_to("/no/such/python")
    assert make(moved).returncode == 0
    assert works(moved)
    assert (moved / ".venv" / ".run").exists()
