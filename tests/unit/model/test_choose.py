"""How int8 quantizes is chosen by measurement, stands in the export, and is what the engine is compiled with."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from model.architecture import ACTIVATIONS
from model.choose import MAX_FLIPS, choose, in_order_of_speed, time_groups
from model.data import Split, load_split
from model.directory import open_directory
from model.engine import OpenVinoEngine, build_graph, load_engine, open_weights
from model.evaluate import compare
from model.export import describe, export
from model.graph import DistilBertGraph
from model.quantization import Fidelity, Quantization, group_sizes, read_quantization
from model.smoothing import largest_activations, quantized, scales_for
from model.tokenizer import TextTokenizer
from serve_app.settings import MINI_MODEL
from tests.support import sentences
from tests.support.models import save_distilbert
from tests.support.service import REPOSITORY

pytestmark = pytest.mark.slow

CALIBRATION = REPOSITORY / "model" / "calibration"


def encoded(directory: Path, texts: list[str]) -> list[list[int]]:
    return [list(line.ids) for line in TextTokenizer(directory, 512).encode(texts)]


def ignore(_: str) -> None:
    """Nobody reads what was tried."""


@pytest.fixture(scope="module")
def few() -> Split:
    """Sentences with the answers of fp32 for labels, so that any flip is a mistake."""
    texts = random.Random(2).sample(sentences.PLAIN, 24)
    engine = load_engine(open_directory(MINI_MODEL), "fp32", threads=1)
    return Split(texts, [int(score[1] > score[0]) for score in engine.score(encoded(MINI_MODEL, texts))])


def test_groups_are_never_larger_than_a_row() -> None:
    assert group_sizes(768) == [64, 128, 256, 768]
    assert group_sizes(384) == [64, 128, 256, 384]
    assert group_sizes(128) == [64, 128]
    assert group_sizes(100) == [64]
    assert group_sizes(48) == [64], "there is none that is smaller"


def test_a_larger_group_must_be_clearly_faster() -> None:
    sizes = [64, 128, 256]
    assert in_order_of_speed(sizes, {64: 10.0, 128: 8.0, 256: 6.0}) == [256, 128, 64]
    assert in_order_of_speed(sizes, {64: 10.0, 128: 8.0, 256: 7.9}) == [128, 256, 64]
    assert in_order_of_speed(sizes, {64: 10.0, 128: 9.9, 256: 9.8}) == [64, 128, 256]
    assert in_order_of_speed(sizes, {64: 10.0, 128: 8.0, 256: 30.0}) == [128, 64, 256]
    assert in_order_of_speed(sizes, None) == [256, 128, 64]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_smoothing_changes_nothing_in_fp32(tmp_path: Path, activation: str) -> None:
    directory = open_directory(save_distilbert(tmp_path, activation))
    weights, ids = open_weights(directory), encoded(tmp_path, list(sentences.ALL[:40]))
    widths = {name: each.size for name, each in largest_activations(weights, directory.architecture, ids).items()}
    rng = np.random.default_rng(3)
    scales = {name: np.exp2(rng.integers(-3, 4, width)).astype(np.float32) for name, width in widths.items()}
    plain, smoothed = (
        OpenVinoEngine(directory, build_graph(directory, "fp32", each), "fp32", 1).score(ids) for each in (None, scales)
    )
    assert np.allclose(plain, smoothed, rtol=0, atol=1e-6)


def test_smoothing_takes_outliers_from_activations() -> None:
    directory = open_directory(MINI_MODEL)
    weights, ids = open_weights(directory), encoded(MINI_MODEL, list(sentences.PLAIN[:40]))
    largest = largest_activations(weights, directory.architecture, ids)
    scales = scales_for(weights, directory.architecture, largest, 0.5)
    for name in (name for name in largest if name.endswith("ffn.lin1")):
        before, after = largest[name], largest[name] / scales[name]
        assert after.max() / np.median(after) < 0.7 * before.max() / np.median(before), name


@pytest.mark.parametrize(("width", "size"), [(128, 64), (96, 64), (48, 64), (32, 32)])
def test_quantization_in_fp32_is_that_of_the_runtime(width: int, size: int) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2, 3, width)).astype(np.float32) * rng.uniform(0.1, 10, width).astype(np.float32)
    values[0, 0] = 0
    source = ops.parameter([-1, -1, width], np.float32)
    graph = ov.compile_model(ov.Model([quantized(size)("any", source)], [source]), "CPU")
    got = graph([values])[0]
    for start in range(0, width, size):
        group = values[..., start : start + size]
        scale = np.maximum(np.abs(group).max(axis=-1, keepdims=True), np.float32(1e-30)) / np.float32(127)
        assert np.allclose(got[..., start : start + size], np.rint(group / scale) * scale, rtol=1e-6, atol=1e-6)


def test_the_fastest_that_holds_is_chosen(few: Split) -> None:
    said: list[str] = []
    chosen, scales = choose(open_directory(MINI_MODEL), few, {64: 9.0, 128: 5.0, 256: 8.0, 384: 8.0}, said.append)
    assert chosen.group_size == 128
    assert chosen.fidelity is not None
    assert chosen.fidelity.holds(MAX_FLIPS)
    assert bool(scales) == bool(chosen.smoothing)
    assert len(said) == 3
    assert all(line.startswith("groups of 128, smoothing 0") for line in said)


def test_where_nothing_holds_the_smallest_group_is_taken_and_it_is_said(
    few: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = open_directory(Path(shutil.copytree(MINI_MODEL, tmp_path / "mini")))
    monkeypatch.setattr("model.choose.MAX_FLIPS", -1)
    monkeypatch.setattr("model.export.MAX_FLIPS", -1)
    said: list[str] = []
    chosen = export(directory, few, said.append)
    tried = [line for line in said if ", smoothing " in line]
    assert chosen.group_size == 64
    assert len(tried) == 12, "each group in each way"
    assert describe(chosen).endswith("not near enough to fp32: serve it in fp32")


def test_what_the_images_build_chooses_for_the_embedded_model_holds_on_sst2(sst2_dir: str) -> None:
    directory = open_directory(MINI_MODEL)
    chosen, scales = choose(directory, load_split(str(CALIBRATION), "dev"), None, ignore)
    assert chosen.group_size == 384  # which smoothing is nearest differs between CPUs by a text or two
    weights, architecture = open_weights(directory), directory.architecture
    graph = DistilBertGraph(weights, architecture, int8=True, scales=scales, see=quantized(384)).build()
    dev = load_split(sst2_dir, "dev")
    ids = encoded(MINI_MODEL, dev.texts)
    scores = OpenVinoEngine(directory, graph, "fp32", 1, group_size=0).score(ids)
    reference = load_engine(directory, "fp32", threads=1).score(ids)
    figures, of_reference = (compare(each, reference, dev.labels) for each in (scores, reference))
    assert figures["flips_against_fp32"] <= 4
    assert of_reference["accuracy"] - figures["accuracy"] <= 0.005


def test_the_engine_has_the_groups_that_were_chosen(tmp_path: Path, few: Split) -> None:
    path = Path(shutil.copytree(MINI_MODEL, tmp_path / "mini", ignore=shutil.ignore_patterns("int8")))
    directory = open_directory(path)
    for data, size in ((None, 64), (few, None)):
        chosen = export(directory, data)
        assert read_quantization(path / "int8") == chosen
        assert size in (None, chosen.group_size)
        engine = load_engine(directory, "int8", threads=1)
        compiled = engine._request.get_compiled_model()  # type: ignore[attr-defined]
        assert compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == chosen.group_size


def test_what_was_chosen_is_hashed_and_the_same_bytes_twice(
    tmp_path: Path, few: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.export.multiplies_int8", lambda: False)  # two times may lead to two choices
    path = Path(shutil.copytree(MINI_MODEL, tmp_path / "mini", ignore=shutil.ignore_patterns("int8")))
    exports = []
    for _ in range(2):
        export(open_directory(path), few)
        exports.append({file.name: file.read_bytes() for file in (path / "int8").iterdir()})
    assert exports[0] == exports[1]
    assert "quantization.json" in json.loads(exports[0]["golden.json"])["files"]


def test_each_group_size_is_timed(tmp_path: Path) -> None:
    directory = open_directory(save_distilbert(tmp_path))
    export(directory)
    said: list[str] = []
    times = time_groups(directory, tmp_path / "int8" / "model.xml", said.append)
    assert list(times) == [64]
    assert times[64] > 0
    assert said == ["groups of 64: 1.00 times as fast"]


def run_export(folder: Path, split: Split) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A copy of the embedded model, and how the command ended that exported it by these texts."""
    path = Path(shutil.copytree(MINI_MODEL, folder / "mini", ignore=shutil.ignore_patterns("int8")))
    rows = "".join(f"{text}\t{label}\n" for text, label in zip(split.texts, split.labels, strict=True))
    (folder / "dev.tsv").write_text(f"sentence\tlabel\n{rows}")
    command = [sys.executable, "-m", "model.export", str(path), "--data", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return path, done


@pytest.mark.parametrize(
    ("split", "fault"),
    [
        (Split(["good"], [1]), "1 text, fewer than 100"),
        (Split([f"good {number}" for number in range(100)], [1] * 100), "texts of one label only"),
    ],
)
def test_texts_that_show_nothing_choose_nothing(tmp_path: Path, split: Split, fault: str) -> None:
    path, done = run_export(tmp_path, split)
    assert read_quantization(path / "int8") == Quantization()
    assert done.stdout.endswith("; groups of 64, unsmoothed, since nothing was measured (--data)\n")
    assert done.stderr == f"warning: dev of {tmp_path} has {fault}, so quantization is not chosen by it\n"


def test_the_command_says_what_it_chose(tmp_path: Path, few: Split) -> None:
    path, done = run_export(tmp_path, Split(few.texts * 5, few.labels * 5))
    assert "warning" not in done.stderr
    chosen = read_quantization(path / "int8")
    way = f"smoothing {chosen.smoothing:g}" if chosen.smoothing else "unsmoothed"
    assert done.stdout.splitlines()[-1].endswith(f"s; groups of {chosen.group_size}, {way}")
    assert "of 120 labels differ from fp32's, accuracy " in done.stdout


def test_what_holds() -> None:
    def fidelity(flips: int, accuracy: float) -> Fidelity:
        return Fidelity(872, accuracy, 0.9, flips, 0.002)

    assert fidelity(4, 0.896).holds(MAX_FLIPS)
    assert fidelity(0, 0.895).holds(MAX_FLIPS), "by half a point, which is less than 0.9 - 0.895 in floating point"
    assert not fidelity(5, 0.9).holds(MAX_FLIPS)
    assert not fidelity(0, 0.894).holds(MAX_FLIPS)
    assert Quantization() == Quantization(64, 0.0, None)
