"""Training from a small random BERT: the parts exactly, and the command as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer
from transformers import BertModel
from typer.testing import CliRunner

from model.directory import open_directory
from model.errors import ModelError
from model.tokenizer import TextTokenizer
from model.train import main
from model.training.convert import load_start
from model.training.shrink import cut_vocabulary, keep_layers, narrow_feed_forward
from tests.support import sentences
from tests.support.models import save_bert, save_distilbert, tokenizer

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [f"{'good' if label else 'bad'} thing number {n}\t{label}" for n in range(40) for label in (0, 1)]
    for split, part in (("train", rows), ("dev", rows[:20])):
        (folder / f"{split}.tsv").write_text("sentence\tlabel\n" + "\n".join(part) + "\n")
    return folder


def train(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model.train", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


def test_a_bert_becomes_a_distilbert_that_computes_the_same(tmp_path: Path) -> None:
    directory = save_bert(tmp_path)
    ids = torch.tensor([tokenizer().encode("the soup was a joy").ids])
    with torch.no_grad():
        wanted = BertModel.from_pretrained(directory, add_pooling_layer=False).eval()(ids).last_hidden_state
        got = load_start(directory).model.eval().distilbert(ids).last_hidden_state
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)


def test_a_shorter_vocabulary_spells_every_text_and_keeps_the_rows_it_keeps(tmp_path: Path) -> None:
    model = load_start(save_distilbert(tmp_path)).model
    before = model.distilbert.embeddings.word_embeddings.weight.detach().clone()
    whole = tokenizer()
    small = cut_vocabulary(model, whole, sentences.PLAIN, 4000)
    assert small.get_vocab_size() == model.config.vocab_size == 4000
    after = model.distilbert.embeddings.word_embeddings.weight
    for piece in ("[CLS]", "[SEP]", "[PAD]", "good", "a"):
        assert torch.equal(after[small.token_to_id(piece)], before[whole.token_to_id(piece)])
    assert small.encode("good").tokens == ["[CLS]", "good", "[SEP]"]
    unknown = [text for text in sentences.ALL if "[UNK]" in small.encode(text).tokens]
    assert unknown == [text for text in sentences.ALL if "[UNK]" in whole.encode(text).tokens]


def test_layers_and_feed_forward_shrink(tmp_path: Path) -> None:
    model = load_start(save_distilbert(tmp_path)).model
    last = model.distilbert.transformer.layer[2].ffn.lin2.bias.detach().clone()
    keep_layers(model, [0, 2])
    narrow_feed_forward(model, 32)
    assert model.config.n_layers == len(model.distilbert.transformer.layer) == 2
    assert torch.equal(model.distilbert.transformer.layer[1].ffn.lin2.bias, last)
    assert model(torch.tensor([[1, 2, 3]])).logits.shape == (1, 2)
    for wrong in ([], [5]):
        with pytest.raises(ModelError, match="--layers must name layers from 0 to 1"):
            keep_layers(model, wrong)


def test_the_command_trains_distils_and_records(tmp_path: Path, data: Path) -> None:
    start = save_bert(tmp_path / "bert")
    teacher = tmp_path / "teacher"
    steps = ("--batch-size", 8, "--learning-rate", 0.001)
    done = train("--start", start, "--data", data, "--out", teacher, "--epochs", 8, *steps)
    assert done.returncode == 0, done.stderr
    assert "accuracy on dev" in done.stderr
    record = json.loads((teacher / "training.json").read_text())
    assert record["accuracy_on_dev"] == 1.0, "good and bad are easy to tell apart"
    student = tmp_path / "student"
    shrunk = ("--layers", "0,3", "--vocabulary", "4000", "--hidden-dim", "48", "--dtype", "float16")
    done = train("--start", teacher, "--teacher", teacher, "--out", student, "--data", data, *shrunk, *steps)
    assert done.returncode == 0, done.stderr
    opened = open_directory(student)
    assert (opened.architecture.n_layers, opened.architecture.hidden_dim) == (2, 48)
    assert opened.architecture.vocab_size == 4000
    assert opened.revision, "the manifest was written, and checked just now"
    assert len(TextTokenizer(student, 512).encode(["good thing"])[0].ids) == 4


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--layers", "9999"),
        ("--layers", "-1"),
        ("--layers", "a,b"),
        ("--layers", "0,,1"),
        ("--hidden-dim", "-3"),
        ("--vocabulary", "-3"),
        ("--learning-rate", "1e300"),
        ("--learning-rate", "nan"),
    ],
)
def test_a_number_that_no_model_has_is_a_wrong_command_line(tmp_path: Path, option: str, value: str) -> None:
    app = typer.Typer()
    app.command()(main)
    done = CliRunner().invoke(app, ["--start", str(tmp_path), "--out", str(tmp_path / "out"), option, value])
    assert done.exit_code == 2
    assert option in done.output


def test_a_users_mistake_is_one_line_and_exit_1(tmp_path: Path, data: Path) -> None:
    done = train("--start", tmp_path / "nowhere", "--data", data, "--out", tmp_path / "out")
    assert done.returncode == 1
    *warnings, line = done.stderr.splitlines()
    assert line == f"error: {tmp_path / 'nowhere'} is no Hugging Face model directory with a config.json"
    assert all(each.startswith("warning: ") for each in warnings), "there are few texts"
