"""The checks of a command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve_app.score.errors import ScoreError
from serve_app.score.job import Job, prepare


def test_the_cache_is_not_written_without_a_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    (tmp_path / "in.csv").write_text("text\ngood\n")
    with pytest.raises(ScoreError, match=r"^--write-cache needs REDIS_URL; set it, or leave out --write-cache$"):
        prepare(Job(str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), write_cache=True))


@pytest.mark.parametrize(
    ("places", "line"),
    [
        (("", "out.csv"), "INPUT is empty; name a file, a folder, a glob or a URL"),
        (("in.csv", ""), "OUTPUT is empty; name a file or a URL"),
        (("in.csv", "in.csv"), "OUTPUT is the INPUT; choose another output"),
        (("in.csv", "./in.csv"), "OUTPUT is the INPUT; choose another output"),
        (("in.csv", "link.csv"), "OUTPUT is the INPUT; choose another output"),
        (("link.csv", "in.csv"), "OUTPUT is the INPUT; choose another output"),
        (("s3://bucket/in.csv", "s3://bucket/in.csv"), "OUTPUT is the INPUT; choose another output"),
        (("in.csv", "nowhere.csv"), "nowhere.csv exists; remove it, or choose another output"),
        (("in.csv", "taken.csv"), "taken.csv.parts: it is no folder, and the parts need this name; move it away"),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused(
    places: tuple[str, str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("text\ngood\n")
    Path("link.csv").symlink_to("in.csv")
    Path("nowhere.csv").symlink_to("missing.csv")
    Path("taken.csv.parts").write_text("mine")
    with pytest.raises(ScoreError) as refused:
        prepare(Job(*places))
    assert str(refused.value) == line
    assert Path("nowhere.csv").is_symlink()


@pytest.mark.parametrize("data", ['{"review": "x"}\n', '{"t\\udce9": "x"}\n', ""])
def test_a_column_that_is_not_utf8_is_refused_in_one_line(data: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(data)
    with pytest.raises(ScoreError, match=r"^--column t\\xe9 is not UTF-8, which names of columns are$"):
        prepare(Job(str(tmp_path / "in.jsonl"), str(tmp_path / "out.csv"), os.fsdecode(b"t\xe9")))
