"""Runs `python -m serve_app.score` as users type it, and finds its processes."""

from __future__ import annotations

import contextlib
import csv
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import psutil

from benchmarks.texts import WORDS
from serve_app.local.run_folder import PLACE, PREFIX
from tests.support.service import REPOSITORY
from tests.support.wait import until

PATTERNS = {"driver": "serve_app.score.child", "worker": "ray::Worker", "raylet": "/raylet/raylet"}
PATIENCE_S = 180.0
_FOLDER = re.compile(rf"{PLACE}/{PREFIX}\w+")


def write_reviews(file: Path, rows: int, seed: int = 1) -> Path:
    """Write a CSV of short reviews, some of them repeated."""
    rng = random.Random(seed)
    with file.open("w", newline="") as output:
        writer = csv.writer(output)
        writer.writerow(["id", "text"])
        for number in range(rows):
            words = rng.choices(WORDS, k=rng.choice((1, 2, 3, 4, 6)))
            writer.writerow([number, " ".join(words)])
    return file


class Command:
    """The command in a process of its own; `err` is its standard error, after `wait`."""

    def __init__(self, *arguments: str | Path, **environment: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serve_app.score", *map(str, arguments)],
            cwd=REPOSITORY,
            env={**inherited, "SENTIMENT_PRECISION": "fp32", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.err = ""
        self._seen: dict[psutil.Process, str] = {}

    def wait(self) -> int:
        """Wait for its exit status, and check that its processes and their folders are gone."""
        _, self.err = self.process.communicate(timeout=PATIENCE_S)
        assert not [line for each, line in self._seen.items() if each.is_running()]
        folders = {found[0] for line in self._seen.values() if (found := _FOLDER.search(line))}
        assert not [folder for folder in folders if Path(folder).exists()]
        return self.process.returncode

    def find(self, kind: str) -> list[psutil.Process]:
        """Its running processes of a kind in PATTERNS."""
        self._look()
        return [each for each, line in self._seen.items() if PATTERNS[kind] in line and each.is_running()]

    def _look(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    self._seen[each] = " ".join(each.cmdline())

    def wait_for(self, kind: str) -> None:
        """Wait until it has a process of this kind."""
        until(lambda: self.find(kind) or self.process.poll() is not None, f"there is a {kind}", PATIENCE_S)

    def wait_for_parts(self, output: Path, number: int) -> None:
        """Wait until this number of parts is finished, or it has ended."""
        parts = output.with_name(output.name + ".parts")

        def there() -> bool:
            self._look()
            return self.process.poll() is not None or len(list(parts.glob("*.part"))) >= number

        until(there, f"{number} parts are finished", PATIENCE_S)
