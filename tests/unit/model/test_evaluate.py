"""`python -m model.evaluate`: right or wrong is told by the label's name, whatever its number in the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from safetensors.numpy import load_file, save_file

from model.cpu import choose_precision
from model.directory import open_directory
from model.errors import ModelError
from model.evaluate import Precision, main
from model.export import export
from serve_app.settings import MINI_MODEL

pytestmark = pytest.mark.slow

TEXTS = {"I love it": 1, "wonderful and warm": 1, "a great film": 1, "I hate it": 0, "terrible": 0, "an awful film": 0}
DIGITS = ("0", "1")


def save_data(folder: Path, names: tuple[str, str] = DIGITS) -> str:
    folder.mkdir(exist_ok=True)
    rows = [f"{text}\t{names[label]}\n" for text, label in TEXTS.items()]
    (folder / "dev.tsv").write_text("sentence\tlabel\n" + "".join(rows))
    return str(folder)


def relabelled(folder: Path, labels: tuple[str, ...], **changes: Any) -> Path:
    """The embedded model with these labels, in this order; those that it does not know are never the highest."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MINI_MODEL / name, folder / name)
    config = json.loads((MINI_MODEL / "config.json").read_text())
    config |= {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}
    (folder / "config.json").write_text(json.dumps(config | changes))
    weights = load_file(MINI_MODEL / "model.safetensors")
    matrix, bias = weights["classifier.weight"], weights["classifier.bias"]
    known = {"negative": 0, "positive": 1}
    rows = [known.get(label.lower()) for label in labels]
    weights["classifier.weight"] = np.stack([matrix[0] * 0 if row is None else matrix[row] for row in rows])
    weights["classifier.bias"] = np.stack([bias[0] - 99 if row is None else bias[row] for row in rows])
    save_file(weights, folder / "model.safetensors")
    return folder


def figures(directory: Path, data: str) -> dict[str, Any]:
    main(directory, data, Precision.fp32, 1, write=True)
    return dict(json.loads((directory / "evaluation.json").read_text()))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("NEGATIVE", "POSITIVE"), DIGITS),
        (("POSITIVE", "NEGATIVE"), DIGITS),
        (("POSITIVE", "NEGATIVE"), ("negative", "Positive")),
        (("negative", "neutral", "positive"), ("Negative", "POSITIVE")),
        (("positive", "joy", "negative", "anger", "fear", "love"), ("negative", "positive")),
    ],
)
def test_accuracy_does_not_depend_on_the_order_of_labels(
    tmp_path: Path, labels: tuple[str, ...], names: tuple[str, str]
) -> None:
    found = figures(relabelled(tmp_path / "model", labels), save_data(tmp_path / "data", names))
    assert found["accuracy"] == 1.0
    assert found["flips_against_fp32"] == found["largest_score_difference"] == 0


def test_of_a_multi_label_model_the_highest_label_counts(tmp_path: Path) -> None:
    model = relabelled(tmp_path / "model", ("positive", "spam", "negative"), problem_type="multi_label_classification")
    assert figures(model, save_data(tmp_path / "data", ("negative", "positive")))["accuracy"] == 1.0
    assert figures(model, save_data(tmp_path / "data", ("positive", "negative")))["accuracy"] == 0.0


def test_numbers_are_not_taken_for_positions(tmp_path: Path) -> None:
    model = relabelled(tmp_path / "model", ("toxic", "clean"))
    with pytest.raises(ModelError, match=r'dev\.tsv, line 2: .* which are "toxic", "clean"; the data has "1", "0"$'):
        main(model, save_data(tmp_path / "data"), Precision.fp32, 1)


def test_a_single_label_is_nothing_to_be_right_about(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has one label"):
        main(relabelled(tmp_path / "model", ("positive",)), save_data(tmp_path / "data"), Precision.fp32, 1)


def test_auto_is_the_precision_of_the_service(tmp_path: Path) -> None:
    model = relabelled(tmp_path / "model", ("NEGATIVE", "POSITIVE"))
    export(open_directory(model))
    main(model, save_data(tmp_path / "data"), Precision.auto, 1, write=True)
    assert json.loads((model / "evaluation.json").read_text())["precision"] == choose_precision("auto")


def test_what_is_recorded_of_few_texts_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = relabelled(tmp_path / "model", ("NEGATIVE", "POSITIVE")), save_data(tmp_path / "data")
    main(model, data, Precision.fp32, 1)
    assert "warning" not in capsys.readouterr().err
    figures(model, data)
    line = f"warning: dev of {data} has 6 texts, fewer than 100, so the figures that are recorded say little\n"
    assert capsys.readouterr().err.startswith(line)


def test_more_threads_than_cpus_are_refused(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="100000 is more than the CPUs of this machine; at most "):
        main(tmp_path, str(tmp_path), Precision.fp32, 100_000)


def test_accuracy_does_not_outlive_the_weights_it_was_measured_on(tmp_path: Path) -> None:
    model, data = relabelled(tmp_path / "model", ("NEGATIVE", "POSITIVE")), save_data(tmp_path / "data")
    figures(model, data)
    assert open_directory(model).accuracy == 1.0
    weights = load_file(model / "model.safetensors")
    save_file(weights | {"classifier.bias": weights["classifier.bias"] + 9}, model / "model.safetensors")
    assert open_directory(model).accuracy is None
    figures(model, data)
    assert open_directory(model).accuracy == 1.0


def test_figures_that_cannot_be_written_leave_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = relabelled(tmp_path / "model", ("NEGATIVE", "POSITIVE")), save_data(tmp_path / "data")
    figures(model, data)
    before = {file.name: file.read_bytes() for file in model.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ModelError, match=r"evaluation\.json cannot be written \(No space left on device\)"):
        figures(model, data)
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before
