"""The checks of a command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.score.errors import ScoreError
from serve_app.score.job import Job, prepare


def test_the_cache_is_not_written_without_a_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    (tmp_path / "in.csv").write_text("text\ngood\n")
    with pytest.raises(ScoreError, match=r"^--write-cache needs REDIS_URL; set it, or leave out --write-cache$"):
        prepare(Job(str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), write_cache=True))
