"""Folders behind links, and folders that match a glob: each file is read, and none twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.score import places
from serve_app.score.places import input_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def rows(file: Path) -> None:
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text("text\ngood\n")


@pytest.mark.parametrize("first", ["ext", "ext/sub"])
def test_a_folder_is_read_whole_if_another_link_leads_to_a_part_of_it(first: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ext").mkdir()
    rows(tmp_path / "ext" / "a.csv")
    rows(tmp_path / "ext" / "sub" / "b.csv")
    (folder / "1").symlink_to(tmp_path / first)
    (folder / "2").symlink_to(tmp_path / ("ext/sub" if first == "ext" else "ext"))
    assert sorted(Path(file.name).name for file in input_files(str(folder))) == ["a.csv", "b.csv"]


def test_a_link_to_the_folder_above_is_followed_and_no_file_is_read_twice(folder: Path) -> None:
    rows(folder / "a.csv")
    rows(folder.parent / "x.csv")
    (folder / "up").symlink_to(folder.parent)
    for wild in ("", "/**"):
        assert [Path(file.name).name for file in input_files(f"{folder}{wild}")] == ["a.csv", "x.csv"]


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("wild", ["/*.csv", "/**/*.csv"])
def test_a_folder_that_matches_a_glob_is_read(wild: str, remote: bool, folder: Path) -> None:  # noqa: FBT001
    rows(folder / "a.csv")
    for name in ("part-0.csv", "_SUCCESS", "more/part-1.csv", ".more/part-2.csv"):
        rows(folder / "b.csv" / name)
    read = places._remote if remote else input_files
    found = read(f"{'file://' if remote else ''}{folder}{wild}")
    assert [Path(file.name).name for file in found] == ["a.csv", "part-1.csv", "part-0.csv"]
