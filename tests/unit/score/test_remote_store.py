"""Stores of pyarrow's file systems: objects that appear when they are complete, and two runs at once."""

from __future__ import annotations

import gc
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from serve_app.score import manifest
from serve_app.score.computed import Computed
from serve_app.score.errors import ScoreError
from serve_app.score.job import Job, prepare
from serve_app.score.places import MANIFEST
from serve_app.score.remote_store import RemoteStore
from serve_app.score.store import DONE
from tests.support.score_runs import Dies, LengthPool, score

LATER = r"out\.csv\.parts: another run of the same command began later"


class Upload(io.BytesIO):
    """Bytes that become a file once the stream is closed or dropped, as in an object store."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = Path(path)

    def close(self) -> None:
        if not self.closed:
            self._path.write_bytes(self.getvalue())
        super().close()

    def __del__(self) -> None:
        self.close()


class Objects:
    """pyarrow's local file system with the writing of an object store."""

    type_name = "s3"

    def __init__(self, system: Any) -> None:
        self._system = system

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    def open_output_stream(self, path: str) -> Upload:
        return Upload(path)


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output's path. The command takes it for an object's."""
    monkeypatch.setattr("serve_app.score.job.store_of", lambda place: remote(Path(place)))
    (tmp_path / "in.csv").write_text("text\ngood\n")
    return tmp_path / "out.csv"


def remote(output: Path) -> RemoteStore:
    store = RemoteStore(f"file://{output}")
    store._system, store._atomic = Objects(store._system), True
    return store


def test_an_object_that_fails_half_way_does_not_exist(output: Path) -> None:
    store = remote(output)
    store.open()

    def stop() -> None:
        with store.assemble() as stream:
            stream.write(b"half")
            sys.exit(15)  # as Ray does at SIGTERM

    with pytest.raises(SystemExit):
        stop()
    assert not store.exists()


def test_an_output_that_a_killed_run_had_begun_is_written_again(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(store: RemoteStore) -> None:
        store.put(DONE, b"")
        output.write_bytes(b"half")  # as by a stream that was dropped
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RemoteStore, "assemble", killed)
        with pytest.raises(KeyboardInterrupt):
            score(output.with_name("in.csv"), output)
    prepared = prepare(Job(str(output.with_name("in.csv")), str(output)))
    assert not manifest.is_finished(prepared.store, prepared.manifest)
    pool = LengthPool()
    assert score(output.with_name("in.csv"), output, pool=pool).kept_rows == 1
    assert output.read_text().startswith("text,label,")
    assert not pool.submitted


def test_a_later_run_ends_an_earlier_one(output: Path) -> None:
    class Meets(LengthPool):
        def result(self, number: int) -> Computed:
            assert score(output.with_name("in.csv"), output).rows == 1
            whole.append(output.read_bytes())
            return super().result(number)

    whole: list[bytes] = []
    with pytest.raises(ScoreError, match=LATER):
        score(output.with_name("in.csv"), output, pool=Meets())
    assert [output.read_bytes()] == whole
    assert not output.with_name("out.csv.parts").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_that_was_overtaken_while_it_joined_leaves_the_output_alone(output: Path, fails: bool) -> None:  # noqa: FBT001
    earlier, later = remote(output), remote(output)

    def join() -> None:
        with earlier.assemble() as stream:
            stream.write(b"half")
            later.open()
            with later.assemble() as whole:
                whole.write(b"whole")
            later.finish()
            if fails:
                earlier.read("00000000-0-1-0-0.part")

    earlier.open()
    message = r"^file:///.*/out\.csv\.parts/00000000-0-1-0-0\.part: " if fails else LATER
    with pytest.raises(ScoreError, match=message):
        join()
    gc.collect()
    assert output.read_bytes() == b"whole"
    with pytest.raises(ScoreError, match=LATER):
        earlier.put("a", b"")
    with pytest.raises(ScoreError, match=LATER):
        earlier.finish()
    assert not output.with_name("out.csv.parts").exists()


def test_a_later_run_keeps_its_parts_from_an_earlier_ones_end(output: Path) -> None:
    earlier, later = remote(output), remote(output)
    earlier.open()
    later.open()
    later.put("a", b"one")
    with pytest.raises(ScoreError, match=LATER):
        earlier.finish()
    assert later.read("a") == b"one"


def test_parts_that_are_gone_are_noticed_before_the_output_is_begun(output: Path) -> None:
    class Loses(LengthPool):
        def result(self, number: int) -> Computed:
            for file in output.with_name("out.csv.parts").glob("00000000-*"):
                file.unlink()
            return super().result(number)

    output.with_name("in.csv").write_text("text\n" + "".join(f"text {number}\n" for number in range(2000)))
    with pytest.raises(ScoreError, match=r"out\.csv\.parts: 1 finished parts are gone; run the same command again"):
        score(output.with_name("in.csv"), output, pool=Loses())
    assert not output.exists()
    assert DONE not in remote(output).names()
    assert score(output.with_name("in.csv"), output).rows == 2000


def test_an_object_that_came_during_the_run_is_not_replaced(output: Path) -> None:
    class Comes(LengthPool):
        def result(self, number: int) -> Computed:
            output.write_text("mine")
            return super().result(number)

    with pytest.raises(ScoreError, match=r"out\.csv: another file came there during the run; move it away"):
        score(output.with_name("in.csv"), output, pool=Comes())
    assert output.read_text() == "mine"


def test_an_output_whose_parts_were_removed_in_another_order_is_finished(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(RemoteStore, "finish", lambda _: None)
        score(output.with_name("in.csv"), output)
    (output.with_name("out.csv.parts") / MANIFEST).unlink()
    prepared = prepare(Job(str(output.with_name("in.csv")), str(output)))
    assert manifest.is_finished(prepared.store, prepared.manifest)
    manifest.clear(prepared.store)
    assert not output.with_name("out.csv.parts").exists()
    assert output.exists()


def test_a_run_that_was_killed_while_it_scored_continues(output: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(output.with_name("in.csv"), output, pool=Dies(0))
    assert score(output.with_name("in.csv"), output).rows == 1
