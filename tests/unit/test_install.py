"""A model's files come to their place all together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import ModelError
from model.install import install, staging
from tests.support.service import REPOSITORY


def test_what_is_installed_replaces_the_model_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "model"
    place.mkdir()
    for name in ("config.json", "vocab.txt", "model-00001-of-00002.safetensors", "README.md", "evaluation.json"):
        (place / name).write_text("old")
    with staging(place, ".new-") as staged:
        for name in ("config.json", "model.safetensors", "manifest.json"):
            (staged / name).write_text("new")
        (staged / ".cache").mkdir()
        install(staged, place)
    assert {file.name: file.read_text() for file in place.iterdir()} == {
        "config.json": "new",
        "model.safetensors": "new",
        "manifest.json": "new",
        "README.md": "old",
        "evaluation.json": "old",
    }


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(place: Path) -> None:
        with staging(place, ".new-") as staged:
            (staged / "config.json").write_text("half of it")
            raise OSError(28, "No space left on device")

    for place in (tmp_path / "new", tmp_path):
        with pytest.raises(ModelError, match=f"{place} cannot be written to"):
            fail(place)
    assert list(tmp_path.iterdir()) == []


def test_signals_wait_until_all_is_in_place() -> None:
    code = (
        "import os, signal\n"
        "from model.install import signals_wait\n"
        "try:\n"
        "    with signals_wait():\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        print('went on')\n"
        "    print('too far')\n"
        "except KeyboardInterrupt:\n"
        "    print('ended')\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n") == ["went on", "ended", ""]
