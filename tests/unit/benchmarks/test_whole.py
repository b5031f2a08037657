"""What benchmarks make once and keep: a model, an export, environments."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import model, stacks
from benchmarks.whole import made_whole


def test_what_was_interrupted_is_not_there_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "onnx" / "int8.onnx"

    def interrupted() -> None:
        with made_whole(target) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(target.parent.iterdir()) == []
    with made_whole(target) as part:
        part.with_name("model.onnx").write_text("only needed meanwhile")
        part.write_text("whole")
    assert [(file.name, file.read_text()) for file in target.parent.iterdir()] == [("int8.onnx", "whole")]


def test_a_model_that_was_left_half_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(directory: Path) -> None:
        directory.mkdir()
        (directory / "model.safetensors").write_text("")
        raise KeyboardInterrupt

    def make(directory: Path) -> None:
        directory.mkdir()
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            (directory / name).write_text("")

    monkeypatch.setattr(model, "open_directory", lambda directory: directory)
    monkeypatch.setattr(model, "is_exported", lambda _: True)
    monkeypatch.setattr(model, "_make", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.base_model(tmp_path)
    assert list(tmp_path.iterdir()) == []
    half = tmp_path / "distilbert-base-random"
    half.mkdir()
    (half / "model.safetensors").write_text("as an older version left it")
    monkeypatch.setattr(model, "_make", make)
    assert model.base_model(tmp_path) == half
    assert len(list(half.iterdir())) == 4
    monkeypatch.setattr(model, "_make", interrupted)
    model.base_model(tmp_path)  # made once


def test_an_environment_is_another_one_once_its_requirements_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "benchmarks"
    files = [here / "reference" / "requirements.txt", *(here / "peers" / f"{name}.txt" for name in stacks.PEERS)]
    hashes = tmp_path / "requirements-torch-9.txt"
    for file in (*files, hashes):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a==1")
    (tmp_path / "Makefile").write_text("TORCH := 9\n")
    monkeypatch.setattr(stacks, "HERE", here)
    monkeypatch.setattr(stacks, "_environment", lambda folder, *_: folder)

    def folders() -> list[Path]:
        build = tmp_path / "build"
        return [stacks.reference_python(build), *(stacks.peer_python(name, build) for name in stacks.PEERS)]

    first = folders()
    assert folders() == first
    for file in files:
        file.write_text("a==2")
    second = folders()
    hashes.write_text("torch==9 --hash=sha256:1")
    assert len({*first, *second, *folders()}) == 9
