"""Which files an input is, and what is said of those that cannot be read."""

from __future__ import annotations

import csv
import errno
import json
import os
from functools import partial
from pathlib import Path

import pytest

from serve_app.score import places
from serve_app.score.errors import ScoreError
from serve_app.score.job import Job, prepare
from serve_app.score.places import input_files
from tests.support.score_runs import Dies, score


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def rows(file: Path, number: int = 1) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("text\n" + "".join(f"{file.name} {each}\n" for each in range(number)))


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize("wild", ["", "/*.csv"])
def test_an_output_in_the_folder_of_the_input_is_no_input(ending: str, wild: str, folder: Path) -> None:
    rows(folder / "a.csv", 5000)
    output = folder / f"out.{ending}"
    with pytest.raises(KeyboardInterrupt):
        score(f"{folder}{wild}", output, pool=Dies(2))
    assert score(f"{folder}{wild}", output).rows == 5000
    assert sorted(path.name for path in folder.iterdir()) == ["a.csv", output.name]


def test_what_is_behind_links_is_read_and_a_link_back_is_not_followed(folder: Path, tmp_path: Path) -> None:
    rows(folder / "a.csv")
    rows(tmp_path / "elsewhere" / "b.csv")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    rows(folder / "2024" / "d.csv")
    (folder / "latest").symlink_to(folder / "2024")
    (folder / "back").symlink_to(folder)
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    (folder / ".hidden").mkdir()
    rows(folder / ".hidden" / "c.csv")
    assert [Path(file.name).name for file in input_files(str(folder))] == ["d.csv", "a.csv", "b.csv"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(folder: Path) -> None:
    rows(folder / "a.csv")
    rows(folder / "closed" / "b.csv")
    (folder / "closed").chmod(0)
    for output in (folder / "out.csv", folder / "closed" / "more" / "out.csv"):
        with pytest.raises(ScoreError, match=r"closed.*: Permission denied$"):
            score(folder, output)
    (folder / "closed").chmod(0o700)


@pytest.mark.parametrize(("first", "second"), [({}, {"id": 1}), ({"id": 1}, {"k": 2}), (None, {"id": 1})])
def test_the_columns_of_json_lines_are_those_of_all_files(
    first: dict[str, int] | None, second: dict[str, int], folder: Path
) -> None:
    (folder / "a.jsonl").write_text("" if first is None else json.dumps({"text": "x", **first}) + "\n")
    (folder / "b.jsonl").write_text(json.dumps({"text": "y", "label": "mine", **second}) + "\n")
    assert score(folder, folder.parent / "out.csv").errors == 0
    *_, last = csv.DictReader((folder.parent / "out.csv").read_text().splitlines())
    assert (last["label"], last["raw"]) == ("mine", "")
    assert {name: last[name] for name in second} == {name: str(value) for name, value in second.items()}


@pytest.fixture
def closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be listed, also not by root."""
    rows(folder / "a.csv")
    rows(folder / "closed" / "b.csv")

    def refuse(name: str, path: str | Path) -> object:
        if os.fspath(path) == str(folder / "closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return listers[name](path)

    listers = {name: getattr(os, name) for name in ("scandir", "listdir")}
    for name in listers:
        monkeypatch.setattr(os, name, partial(refuse, name))
    return folder / "closed"


@pytest.mark.parametrize("wild", ["*/*.csv", "**/*.csv", "**", "clo*/b.csv"])
def test_a_folder_that_a_glob_may_not_read_is_named(wild: str, folder: Path, closed: Path) -> None:
    with pytest.raises(ScoreError) as refused:
        input_files(f"{folder}/{wild}")
    assert str(refused.value) == f"{closed}: Permission denied"


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("wild", ["*.csv", "a*", "[!c]*/*.csv"])
def test_a_folder_that_a_glob_does_not_need_may_be_closed(wild: str, folder: Path) -> None:
    rows(folder / "open" / "a.csv")
    assert len(input_files(f"{folder}/{wild}")) == 1


@pytest.mark.parametrize(
    ("wild", "names"),
    [
        ("*.csv", ["a.csv"]),
        ("**/*.csv", ["2024/b.csv", "a.csv"]),
        ("**", ["2024/b.csv", "a.csv"]),
        ("2*/**/b.csv", ["2024/b.csv"]),
        ("*/b.csv", ["2024/b.csv"]),
        ("l*/*", ["latest/b.csv"]),
        ("2*", ["2024/b.csv"]),
        ("*", ["2024/b.csv", "a.csv"]),
        ("[2l]*", ["2024/b.csv"]),
        ("**/2*", ["2024/b.csv"]),
        (".h*", [".hidden/c.csv"]),
        (".h*/*.csv", [".hidden/c.csv"]),
        ("2024/[b].csv", ["2024/b.csv"]),
        ("*/*/*.csv", []),
        ("missing/*.csv", []),
        ("a.csv/*", []),
    ],
)
@pytest.mark.parametrize("relative", [True, False])
def test_a_glob_finds(
    wild: str,
    names: list[str],
    relative: bool,  # noqa: FBT001
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a.csv", "2024/b.csv", ".hidden/c.csv"):
        rows(folder / name)
    (folder / "latest").symlink_to("2024")
    monkeypatch.chdir(folder)
    base = "" if relative else f"{folder}/"
    if names:
        assert [file.name for file in input_files(base + wild)] == [base + name for name in names]
    else:
        with pytest.raises(ScoreError, match=r"there is no such file$"):
            input_files(base + wild)


@pytest.mark.parametrize("wild", ["", "/*.csv", "/**"])
def test_a_link_without_a_target_is_named(wild: str, folder: Path) -> None:
    rows(folder / "a.csv")
    (folder / ".b.csv").symlink_to(folder / "missing")
    assert len(input_files(f"{folder}{wild}")) == 1
    (folder / "b.csv").symlink_to(folder / "missing")
    with pytest.raises(ScoreError, match=r"b\.csv: the target of this link is missing; remove the link$"):
        input_files(f"{folder}{wild}")


@pytest.mark.parametrize("place", ["", "/*.csv", "/b.csv"])
def test_a_named_pipe_is_refused(place: str, folder: Path) -> None:
    rows(folder / "a.csv")
    os.mkfifo(folder / "b.csv")
    with pytest.raises(ScoreError, match=r"b\.csv: it is not a regular file; copy its data into one$"):
        input_files(f"{folder}{place}")


@pytest.mark.parametrize("wild", ["", "/*.csv", "/**"])
def test_a_file_that_is_also_behind_a_link_is_read_once(wild: str, folder: Path, tmp_path: Path) -> None:
    rows(folder / "b.csv")
    rows(tmp_path / "elsewhere" / "c.csv")
    (folder / "a.csv").symlink_to("b.csv")
    for name in ("c.csv", "d.csv"):
        (folder / name).symlink_to(tmp_path / "elsewhere" / "c.csv")
    assert [Path(file.name).name for file in input_files(f"{folder}{wild}")] == ["b.csv", "c.csv"]
    assert [Path(file.name).name for file in input_files(f"{folder}/a.csv")] == ["a.csv"]


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("wild", ["", "/**"])
def test_the_parts_of_another_output_are_no_input(wild: str, remote: bool, folder: Path) -> None:  # noqa: FBT001
    rows(folder / "a.csv", 5000)
    with pytest.raises(KeyboardInterrupt):
        score(folder / "a.csv", folder / "old.csv", pool=Dies(2))
    rows(folder / "b.parts" / "b.csv")
    read = places._remote if remote else input_files
    assert [Path(file.name).name for file in read(f"{'file://' if remote else ''}{folder}{wild}")] == ["a.csv", "b.csv"]


def test_a_name_with_a_newline_is_shown_on_one_line(folder: Path) -> None:
    (folder / "a\nb.csv").write_text("id\n1\n")
    with pytest.raises(ScoreError, match=r"a\\nb\.csv has no column text"):
        score(folder, folder.parent / "out.csv")
    with pytest.raises(ScoreError, match=r"c\\nd\.csv: there is no such file"):
        input_files(f"{folder}/c\nd.csv")


def test_a_percent_sign_in_a_url_of_a_file_is_decoded(folder: Path) -> None:
    rows(folder / "a b.csv")
    assert len(input_files(f"file://{folder}/a%20b.csv")) == 1
    assert len(input_files(f"{folder}/a b.csv")) == 1


def test_a_name_that_is_not_utf8_is_scored(folder: Path) -> None:
    name = os.fsdecode(b"\xff.csv")
    (folder / name).write_text("text\ngood\n")
    output = folder.parent / "out.csv"
    for place in (folder, folder / name):
        job = Job.load(Job(str(place), str(output)).dump())
        assert score(job.input, job.output).rows == 1
        output.unlink()
    with pytest.raises(ScoreError) as refused:
        prepare(Job(f"no{name}", str(output)))
    assert str(refused.value) == r"no\xff.csv: there is no such file"


def test_a_name_that_is_too_long_is_refused_in_one_line(folder: Path) -> None:
    rows(folder / "a.csv")
    with pytest.raises(ScoreError, match=r"x\.csv: File name too long$"):
        score(folder, folder.parent / ("x" * 300 + ".csv"))


def test_the_first_row_of_a_file_without_a_header_is_not_repeated(folder: Path) -> None:
    (folder / "a.csv").write_text("id,my secret diagnosis is bad\n")
    with pytest.raises(ScoreError, match=r"has no column text, only id, …; choose one with --column$"):
        score(folder, folder.parent / "out.csv")
