"""Fidelity: fp32 equals transformers' pipeline within 1e-5, alone and in any batch."""

from __future__ import annotations

import dataclasses
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from model.batches import Row
from model.data import load_split
from model.directory import open_directory
from model.engine import Engine, build_graph, load_engine
from model.errors import ModelError
from model.export import export
from model.labels import Scores, sigmoid, softmax
from model.tokenizer import TextTokenizer
from serve_app.settings import MINI_MODEL
from tests.support import sentences
from tests.support.models import save_distilbert
from tests.support.reference import reference
from tests.support.service import REPOSITORY
from tests.zoo.specimen import Specimen

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5


class Runner:
    def __init__(self, directory: Path) -> None:
        opened = open_directory(directory)
        self.tokenizer = TextTokenizer(directory, opened.max_tokens)
        self.engine: Engine = load_engine(opened, "fp32", threads=1)

    def __call__(self, texts: Sequence[str]) -> list[Scores]:
        return self.engine.score([line.ids for line in self.tokenizer.encode(texts)])


@pytest.fixture(scope="module")
def mini() -> Runner:
    return Runner(MINI_MODEL)


def close(scores: Sequence[Scores], wanted: Sequence[dict[str, float]]) -> None:
    for index, (score, by_label) in enumerate(zip(scores, wanted, strict=True)):
        assert score[0] == pytest.approx(by_label["NEGATIVE"], abs=TOLERANCE), index
        assert score[1] == pytest.approx(by_label["POSITIVE"], abs=TOLERANCE), index
        assert sum(score) == pytest.approx(1, abs=1e-12)


def test_the_embedded_model_equals_the_pipeline_on_all_sentences(mini: Runner) -> None:
    close(mini(sentences.ALL), reference(MINI_MODEL)(sentences.ALL))


def test_a_text_alone_equals_the_same_text_in_any_batch(mini: Runner) -> None:
    alone = {text: mini([text])[0] for text in sentences.ALL}
    rng = random.Random(3)
    for _ in range(30):
        texts = rng.choices(sentences.ALL, k=rng.randint(1, 60))
        for text, score in zip(texts, mini(texts), strict=True):
            assert score == pytest.approx(alone[text], abs=TOLERANCE)


def test_a_short_text_alone_equals_itself_in_a_row_of_another_width(mini: Runner) -> None:
    for text in ("Bad.", "I love it", "a dull film!"):
        assert mini([text])[0] == pytest.approx(mini([text, "another one", f"{text} Or not?"])[0], abs=TOLERANCE)


def test_int8_scores_do_not_depend_on_the_neighbours_in_a_row(tmp_path: Path, sst2_dir: str) -> None:
    directory = open_directory(Path(shutil.copytree(MINI_MODEL, tmp_path / "mini")))
    export(directory)
    engine = load_engine(directory, "int8", threads=1)
    ids = [line.ids for line in TextTokenizer(MINI_MODEL, 512).encode(load_split(sst2_dir, "dev").texts)]
    alone = [engine.score([each])[0] for each in ids]
    rng = random.Random(5)
    for size in (7, 32, 872):
        order = rng.sample(range(872), 872)
        for start in range(0, 872, size):
            part = order[start : start + size]
            for index, score in zip(part, engine.score([ids[index] for index in part]), strict=True):
                assert score == pytest.approx(alone[index], abs=0.005)
                assert (score[1] > score[0]) == (alone[index][1] > alone[index][0])


def test_a_long_text_among_short_ones_equals_the_pipeline(mini: Runner) -> None:
    texts = [" ".join(["a dull film"] * repeats) for repeats in (1, 160, 2, 30, 21, 20, 3)]
    close(mini(texts), reference(MINI_MODEL)(texts))


def test_all_of_sst2_dev_equals_the_pipeline(mini: Runner, sst2_dir: str) -> None:
    dev = load_split(sst2_dir, "dev")
    assert len(dev.texts) == 872
    scores = mini(dev.texts)
    close(scores, reference(MINI_MODEL)(dev.texts))
    right = sum((score[1] > score[0]) == bool(label) for score, label in zip(scores, dev.labels, strict=True))
    assert right / 872 >= 0.87


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_any_distilbert_directory_equals_the_pipeline(tmp_path: Path, activation: str) -> None:
    directory = save_distilbert(tmp_path, activation)
    scores = Runner(directory)(sentences.ALL)
    close(scores, reference(directory)(sentences.ALL))
    assert max(score[1] for score in scores) - min(score[1] for score in scores) > 0.1, "the model says something"


@pytest.mark.parametrize("positions", [510, 37])
def test_the_longest_texts_do_not_depend_on_what_was_asked_before(tmp_path: Path, positions: int) -> None:
    directory = Specimen("positions", sizes={"max_position_embeddings": positions}).make(tmp_path / "model")
    run = Runner(directory)
    texts = [" ".join(["a dull film"] * 200), " ".join(["good"] * (positions - 3)), " ".join(["bad"] * (positions - 5))]
    wanted = reference(directory)(texts)
    for before in ("I love it.", "I hate it."):
        for text, by_label in zip(texts, wanted, strict=True):
            run([before])
            assert run([text])[0] == pytest.approx([by_label["label 0"], by_label["label 1"]], abs=TOLERANCE)


def test_equal_texts_of_a_batch_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(MINI_MODEL)
    texts: list[int] = []
    compute = runner.engine._logits  # type: ignore[attr-defined]

    def count(rows: Sequence[Row], sequences: Sequence[Sequence[int]]) -> object:
        texts.extend(len(row.indices) for row in rows)
        return compute(rows, sequences)

    monkeypatch.setattr(runner.engine, "_logits", count)
    scores = runner(["same", "other words", "same", "same"])
    assert sum(texts) == 2
    assert scores[0] == scores[2] == scores[3] != scores[1]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_streams_side_by_side_give_what_the_whole_engine_gives(mini: Runner, precision: str, tmp_path: Path) -> None:
    directory = open_directory(Path(shutil.copytree(MINI_MODEL, tmp_path / "mini")))
    export(directory)
    engine = load_engine(directory, precision, threads=2)
    ids = [line.ids for line in mini.tokenizer.encode(sentences.ALL)]
    whole = engine.score(ids)
    with ThreadPoolExecutor(2) as threads:
        for _ in range(2):
            for scores in threads.map(lambda stream: stream.score(ids), engine.streams):
                assert np.allclose(scores, whole, rtol=0, atol=TOLERANCE)
    assert len(engine.streams) == 2


def test_the_courses_two_texts_come_out_right(mini: Runner) -> None:
    love, hate = mini(["I love you.", "I hate you."])
    assert love[1] > 0.9
    assert hate[0] > 0.9


def test_scores_are_exact_at_the_ends_and_nonsense_is_refused() -> None:
    assert softmax([0.0, 0.0]) == (0.5, 0.5)
    assert softmax([-500.0, 500.0]) == (0.0, 1.0)
    assert softmax([500.0, -500.0]) == (1.0, 0.0)
    assert softmax([1.0, 1.0, 1.0]) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert sigmoid([0.0, -800.0, 800.0]) == (0.5, 0.0, 1.0)
    for function in (softmax, sigmoid):
        with pytest.raises(ArithmeticError):
            function([float("nan"), 0.0])


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ModelError, match="precision 'int3' is not one of fp32, bf16, int8"):
        load_engine(open_directory(MINI_MODEL), "int3", threads=1)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    directory = open_directory(save_distilbert(tmp_path))
    for wrong, complaint in (
        (dataclasses.replace(directory.architecture, dim=64), r"has the shape .* and config\.json says"),
        (dataclasses.replace(directory.architecture, n_layers=4), r"no distilbert\.transformer\.layer\.3"),
    ):
        with pytest.raises(ModelError, match=complaint):
            build_graph(dataclasses.replace(directory, architecture=wrong), "fp32")
    (tmp_path / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(ModelError, match="cannot be read"):
        build_graph(directory, "fp32")


def test_ctrl_c_works_after_an_engine_has_gone(tmp_path: Path) -> None:
    directory = shutil.copytree(MINI_MODEL, tmp_path / "mini", ignore=shutil.ignore_patterns("int8"))
    script = f"""if True:
        import gc, os, signal
        from pathlib import Path
        from model.directory import open_directory
        from model.export import export
        export(open_directory(Path({str(directory)!r})))
        gc.collect()
        signal.signal(signal.SIGINT, lambda *_: os._exit(7))
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    """
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, timeout=60, check=False)
    assert done.returncode == 7
