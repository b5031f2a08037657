"""URLs: their credentials are shown to nobody, and retries have a limit."""

from __future__ import annotations

from pathlib import Path

import pyarrow.fs
import pytest

from serve_app.score import urls
from serve_app.score.__main__ import _summary
from serve_app.score.errors import ScoreError, masked
from serve_app.score.job import Job, prepare
from serve_app.score.remote_store import RemoteStore
from serve_app.score.store import other_output


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://KEY:SECRET@bucket/a@b.csv", "s3://***@bucket/a@b.csv"),
        ("s3://KEY:SEC/RET@bucket/a.csv", "s3://***@bucket/a.csv"),
        (
            "s3://KEY:SECRET@bucket/a.csv?region=a and s3://KEY:SECRET@b",
            "s3://***@bucket/a.csv?region=a and s3://***@b",
        ),
        ("s3://bucket/a@b.csv", "s3://bucket/a@b.csv"),
        ("a@b.csv", "a@b.csv"),
        (
            "abfs://a@b/c.csv?client_id=1&client_secret=SECRET&x=2",
            "abfs://***@b/c.csv?client_id=1&client_secret=***&x=2",
        ),
    ],
)
def test_credentials_are_masked(url: str, shown: str) -> None:
    assert masked(url) == shown
    assert str(ScoreError(url)) == shown


def test_no_line_of_the_command_has_credentials() -> None:
    url = "s3://KEY:SECRET@bucket/a.csv?foo=1"
    with pytest.raises(ScoreError) as refused:
        RemoteStore(url)
    done = {"rows": 1, "kept_rows": 0, "errors": 0, "truncated": 0}
    lines = [str(refused.value), str(other_output(url)), *(_summary(Job("", url), each, 1) for each in ({}, done))]
    assert all(line.startswith("s3://***@bucket/a.csv?foo=1: ") for line in lines)


@pytest.mark.parametrize(
    ("url", "opened"),
    [
        ("gs://bucket/a.csv", "gs://bucket/a.csv?retry_limit_seconds=30"),
        ("gcs://bucket/a.csv?scheme=http", "gcs://bucket/a.csv?scheme=http&retry_limit_seconds=30"),
        ("gs://bucket/a.csv?retry_limit_seconds=5", "gs://bucket/a.csv?retry_limit_seconds=5"),
        ("s3://bucket/a.csv", "s3://bucket/a.csv"),
    ],
)
def test_retries_have_a_limit(url: str, opened: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class FileSystem:
        @staticmethod
        def from_uri(uri: str) -> tuple[None, str]:
            asked.append(uri)
            return None, ""

    monkeypatch.setattr(pyarrow.fs, "FileSystem", FileSystem)
    urls.file_system(url)
    assert asked == [opened]


def test_pyarrow_knows_the_limit() -> None:
    system, path = urls.file_system("gs://anonymous@bucket/a.csv")
    assert (system.type_name, Path(path).name) == ("gcs", "a.csv")


@pytest.mark.parametrize(
    ("source", "output"), [("file:///tmp/x%00.csv", "out.csv"), ("in.csv", "file:///tmp/x%00.csv")]
)
def test_a_path_with_nul_is_refused_in_one_line(source: str, output: str) -> None:
    with pytest.raises(ScoreError, match=r"^file:///tmp/x%00\.csv: a path cannot contain NUL$"):
        prepare(Job(source, output))
