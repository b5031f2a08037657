from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from model.directory import open_directory
from model.errors import ModelError
from model.manifest import write_manifest
from serve_app.settings import MINI_MODEL
from tests.support.models import save_distilbert


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return save_distilbert(tmp_path / "some-model")


def edit_config(directory: Path, **changes: Any) -> None:
    file = directory / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def test_the_embedded_model_is_complete() -> None:
    opened = open_directory(MINI_MODEL)
    assert opened.name == "mini"
    assert opened.revision
    assert opened.labels == ("NEGATIVE", "POSITIVE")
    assert opened.accuracy is not None
    assert opened.accuracy >= 0.87
    assert sum(file.stat().st_size for file in MINI_MODEL.iterdir()) <= 20_000_000


def test_a_directory_without_a_manifest_is_named_by_its_folder(directory: Path) -> None:
    opened = open_directory(directory)
    assert (opened.name, opened.revision, opened.accuracy) == ("some-model", None, None)


def test_the_fingerprint_changes_with_anything_that_could_change_an_answer(directory: Path) -> None:
    def fingerprint(precision: str = "fp32", max_tokens: int = 512) -> str:
        return open_directory(directory).fingerprint(precision, max_tokens)

    seen = {fingerprint(), fingerprint("int8"), fingerprint(max_tokens=128)}
    assert fingerprint() in seen
    for name in ("tokenizer.json", "config.json", "model.safetensors"):
        file = directory / name
        content = file.read_bytes()
        file.write_bytes(content[:-1] + b"\0" if name == "model.safetensors" else content + b" ")
        seen.add(fingerprint())
        file.write_bytes(content)
    assert len(seen) == 6
    assert all(len(each) == 16 for each in seen)
    shutil.copytree(directory, directory.parent / "elsewhere")
    assert open_directory(directory.parent / "elsewhere").fingerprint("fp32", 512) == fingerprint()


def test_a_changed_file_is_refused_by_name(directory: Path) -> None:
    write_manifest(directory, "some-model", "abc", ["config.json", "model.safetensors"])
    assert open_directory(directory).revision == "abc"
    with (directory / "model.safetensors").open("ab") as file:
        file.write(b"!")
    with pytest.raises(ModelError, match=r"model\.safetensors does not match"):
        open_directory(directory)
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        open_directory(directory)


@pytest.mark.parametrize("labels", [None, ..., {"0": "LABEL_0", "1": "LABEL_1"}])
def test_nameless_labels_are_negative_and_positive(directory: Path, labels: Any) -> None:
    edit_config(directory, id2label=labels)
    assert open_directory(directory).labels == ("NEGATIVE", "POSITIVE")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model_type": "bert"}, "model_type 'bert'; only distilbert"),
        ({"model_type": ...}, "only distilbert can be served"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, r"classifier\.weight .* shape \(2, 48\).* says \(3, 48\)"),
        ({"dim": ...}, r"shape \(10200, 48\), and config\.json says \(10200, 768\)"),
    ],
)
def test_another_kind_of_model_is_refused(directory: Path, changes: dict[str, Any], complaint: str) -> None:
    edit_config(directory, **changes)
    with pytest.raises(ModelError, match=complaint):
        open_directory(directory)


def test_a_missing_directory_and_broken_files_are_one_clear_line(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(ModelError, match="the setting must name a model directory"):
        open_directory(tmp_path / "nowhere")
    (directory / "manifest.json").write_text("{}")
    with pytest.raises(ModelError, match="is not a manifest"):
        open_directory(directory)
    (directory / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        open_directory(directory)


def test_a_snapshot_of_the_hubs_cache_is_named_by_its_repository(tmp_path: Path) -> None:
    cache = tmp_path / "models--some-owner--some-model"
    snapshot = cache / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    for file in save_distilbert(cache / "blobs").iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    opened = open_directory(snapshot)
    assert (opened.name, opened.revision) == ("some-model", "0123abcd")
    with pytest.raises(ModelError, match=f"such as {snapshot}"):
        open_directory(cache)


def test_an_accuracy_is_reported_for_the_weights_that_it_was_measured_on(directory: Path) -> None:
    content = open_directory(directory).content
    (directory / "evaluation.json").write_text(json.dumps({"accuracy": 0.75, "content": content}))
    assert open_directory(directory).accuracy == 0.75
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert open_directory(directory).accuracy is None
    (directory / "evaluation.json").write_text('{"accuracy": 0.75}')
    assert open_directory(directory).accuracy is None


def test_texts_are_cut_where_transformers_cuts_them(directory: Path) -> None:
    assert open_directory(directory).max_tokens == 512
    (directory / "tokenizer_config.json").write_text('{"model_max_length": 128}')
    assert open_directory(directory).max_tokens == 128


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "a\nb"])
def test_a_name_that_no_directory_can_have_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"config\.json cannot be read") as caught:
        open_directory(tmp_path / name)
    assert "\n" not in str(caught.value)
