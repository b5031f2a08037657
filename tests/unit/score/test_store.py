"""Stores of parts and outputs: this machine's file system, and those of pyarrow."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from serve_app.score import manifest, places
from serve_app.score.computed import Computed
from serve_app.score.errors import ScoreError
from serve_app.score.job import Job, prepare
from serve_app.score.remote_store import RemoteStore
from serve_app.score.store import LocalStore, Store
from tests.support.score_runs import Dies, LengthPool, score


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    # pyarrow's local file system stands for an object store: pyarrow makes the same calls
    output = tmp_path / "out.csv"
    return LocalStore(output) if request.param == "local" else RemoteStore(f"file://{output}")


def test_a_file_is_read_back_and_an_unfinished_one_is_not_listed(store: Store, tmp_path: Path) -> None:
    store.open()
    store.put("a", b"one")
    store.put("a", b"two")
    assert (store.read("a"), store.names()) == (b"two", ["a"])
    (tmp_path / "out.csv.parts" / "b.half").write_bytes(b"half")
    assert store.names() == ["a"]
    store.finish()
    store.close()
    assert store.names() == []


def test_an_output_that_fails_half_way_does_not_exist(store: Store, tmp_path: Path) -> None:
    def fail() -> None:
        with store.assemble() as output:
            output.write(b"half")
            raise KeyboardInterrupt

    store.open()
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not store.exists()
    with store.assemble() as output:
        output.write(b"whole")
    assert (tmp_path / "out.csv").read_bytes() == b"whole"
    assert store.exists()
    store.close()


def score_and_leave_parts(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a run that is stopped when its output is complete."""
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "finish", lambda _: None)
        score(job.input, job.output)


def is_finished(job: Job) -> bool:
    prepared = prepare(job)
    return manifest.is_finished(prepared.store, prepared.manifest)


@pytest.mark.parametrize("removed", range(6))
def test_an_output_whose_parts_were_being_removed_is_finished(
    removed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.csv").write_text("text,id\ngood,1\n")
    job = Job(str(tmp_path / "in.csv"), str(tmp_path / "out.csv"))
    score_and_leave_parts(job, monkeypatch)
    names = LocalStore(tmp_path / "out.csv").names()
    assert (len(names), names[-1]) == (5, manifest.WRITTEN)
    for name in names[:removed]:
        (tmp_path / "out.csv.parts" / name).unlink()
    if removed < len(names):
        assert is_finished(job)
        with pytest.raises(ScoreError, match=r"out\.csv exists|another value of: the column"):
            prepare(replace(job, column="id"))
    else:
        with pytest.raises(ScoreError, match=r"out\.csv exists; remove it, or choose another output"):
            prepare(job)


def test_parts_that_a_finished_run_left_do_not_count_for_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.csv").write_text("text\ngood\n")
    job = Job(str(tmp_path / "in.csv"), str(tmp_path / "out.csv"))
    score_and_leave_parts(job, monkeypatch)
    for name in LocalStore(tmp_path / "out.csv").names()[:-1]:
        (tmp_path / "out.csv.parts" / name).unlink()
    (tmp_path / "out.csv").unlink()
    with pytest.raises(KeyboardInterrupt):
        score(job.input, job.output, pool=Dies(0))
    (tmp_path / "out.csv").write_text("half")
    with pytest.raises(ScoreError, match=r"out\.csv exists"):
        prepare(job)
    (tmp_path / "out.csv").unlink()
    assert score(job.input, job.output).rows == 1


def test_a_url_and_a_path_find_the_same_files(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    for below in ("more", "more/_temporary", ".git"):
        (folder / below).mkdir(parents=True)
    for name in (
        "b.csv",
        "a.csv",
        "_SUCCESS",
        ".hidden",
        "_c.csv",
        "more/d.csv",
        "more/_temporary/e.csv",
        ".git/f.csv",
    ):
        (folder / name).write_text("text\ngood\n")
    for wild in ("", "/*.csv", "/a.csv", "/_*.csv", "/**/*.csv", "/*/*.csv", "/**", "/more/**"):
        remote = places._remote(f"file://{folder}{wild}")
        local = places.input_files(f"{folder}{wild}")
        assert [(Path(each.name.removeprefix("file://")).name, each.size, each.mtime_ns) for each in remote] == [
            (Path(each.name).name, each.size, each.mtime_ns) for each in local
        ]
        with remote[0].open() as file:
            assert file.read() == b"text\ngood\n"


def test_a_url_without_a_file_system_is_refused() -> None:
    with pytest.raises(ScoreError, match=r"^gopher://a/b\.csv: "):
        places.input_files("gopher://a/b.csv")


def test_a_full_disk_is_reported_and_finished_parts_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.csv").write_text("text\n" + "".join(f"text {number}\n" for number in range(3000)))
    left = [4]  # syncs until the disk is full

    def full(descriptor: int, real: object = os.fsync) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert callable(real)
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ScoreError, match="no space is left; free some, then run the same command again"):
            score(tmp_path / "in.csv", tmp_path / "out.csv")
    assert not list((tmp_path / "out.csv.parts").glob("*.half"))
    assert score(tmp_path / "in.csv", tmp_path / "out.csv").rows == 3000


def test_unfinished_files_of_a_killed_run_are_removed_and_are_no_lack_of_space(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out.csv")
    half = tmp_path / "out.csv.parts" / "output.half"
    half.parent.mkdir()
    half.write_bytes(b"half")
    assert store.used_bytes() == 4
    store.open()
    assert not half.exists()
    store.close()


class Usage(NamedTuple):
    free: int


def test_too_little_disk_space_is_reported_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.csv").write_text("text\ngood\n" * 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000))
    with pytest.raises(ScoreError, match="parts and output need about"):
        score(tmp_path / "in.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv.parts").exists()


def test_a_finished_output_needs_no_disk_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.csv").write_text("text\ngood\n" * 1000)
    job = Job(str(tmp_path / "in.csv"), str(tmp_path / "out.csv"))
    score_and_leave_parts(job, monkeypatch)
    for name in LocalStore(tmp_path / "out.csv").names()[:-1]:
        (tmp_path / "out.csv.parts" / name).unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000))
    assert is_finished(job)


def test_a_file_that_came_during_the_run_is_not_replaced(tmp_path: Path) -> None:
    class Comes(LengthPool):
        def result(self, number: int) -> Computed:
            (tmp_path / "out.csv").write_text("mine")
            return super().result(number)

    (tmp_path / "in.csv").write_text("text\ngood\n")
    with pytest.raises(ScoreError, match=r"out\.csv: another file came there during the run; move it away"):
        score(tmp_path / "in.csv", tmp_path / "out.csv", pool=Comes())
    assert (tmp_path / "out.csv").read_text() == "mine"
    (tmp_path / "out.csv").unlink()
    assert score(tmp_path / "in.csv", tmp_path / "out.csv").kept_rows == 1


def test_an_output_whose_run_was_killed_before_it_was_recorded_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "in.csv").write_text("text\ngood\n")
    with monkeypatch.context() as patched:
        patched.setattr(manifest, "end", killed)
        with pytest.raises(KeyboardInterrupt):
            score(tmp_path / "in.csv", tmp_path / "out.csv")
    whole = (tmp_path / "out.csv").read_bytes()
    rename = Path.replace
    with monkeypatch.context() as patched:  # killed again, before the output is renamed
        patched.setattr(Path, "replace", lambda *paths: killed() if paths[1].name == "out.csv" else rename(*paths))
        with pytest.raises(KeyboardInterrupt):
            score(tmp_path / "in.csv", tmp_path / "out.csv")
    with monkeypatch.context() as patched:
        patched.setattr(manifest, "end", killed)
        with pytest.raises(KeyboardInterrupt):
            score(tmp_path / "in.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == whole
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(ScoreError, match=r"out\.csv exists; remove it"):
        score(tmp_path / "in.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"
    (tmp_path / "out.csv").unlink()
    assert score(tmp_path / "in.csv", tmp_path / "out.csv").kept_rows == 1
    assert (tmp_path / "out.csv").read_bytes() == whole


def test_a_run_that_was_stopped_before_it_removed_its_parts_can_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.csv").write_text("text\ngood\n")
    job = Job(str(tmp_path / "in.csv"), str(tmp_path / "out.csv"))
    score_and_leave_parts(job, monkeypatch)
    prepared = prepare(job)  # which refuses an output without parts
    assert prepared.store.exists()
    prepared.store.finish()
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("out")] == ["out.csv"]


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="there is no folder"):
        LocalStore(tmp_path / "none" / "out.csv")
