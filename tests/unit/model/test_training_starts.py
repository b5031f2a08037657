"""What training starts from and is taught by, as people bring it: used for what it says, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertModel, DistilBertConfig, DistilBertForSequenceClassification

from model.directory import open_directory
from model.errors import ModelError
from model.tokenizer import TextTokenizer
from model.train import Dtype, main
from model.training.convert import load_start, load_teacher
from tests.support.models import save_bert, save_distilbert, tokenizer

pytestmark = pytest.mark.slow

THREE = {0: "negative", 1: "neutral", 2: "positive"}
IDS = torch.tensor([tokenizer().encode("the soup was a joy").ids])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for split in ("train", "dev"):
        (folder / f"{split}.tsv").write_text("sentence\tlabel\n" + "A good d\u00e1y\t1\nbad day\t0\n" * 8)
    return folder


def train(start: Path, data: Path, **options: Any) -> Path:
    """One epoch in process, and the folder that it wrote."""
    given: dict[str, Any] = {
        "out": start.with_name(f"{start.name}-trained"),
        "layers": "",
        "hidden_dim": 0,
        "vocabulary": 0,
        "epochs": 1,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "seed": 1,
        "dtype": Dtype.float32,
        **options,
    }
    main(start=start, data=str(data), **given)
    return Path(given["out"])


def edit(directory: Path, name: str = "config.json", **changes: Any) -> Path:
    file = directory / name
    content = {**(json.loads(file.read_text()) if file.exists() else {}), **changes}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))
    return directory


def only_words(directory: Path) -> Path:
    """Replace tokenizer.json by vocab.txt, as older models have it."""
    pieces = tokenizer().get_vocab()
    (directory / "vocab.txt").write_text("".join(f"{piece}\n" for piece in sorted(pieces, key=pieces.__getitem__)))
    (directory / "tokenizer.json").unlink()
    return directory


def logits(model: DistilBertForSequenceClassification) -> list[float]:
    with torch.no_grad():
        return [float(value) for value in model.eval()(IDS).logits[0]]


def test_reversed_labels_are_turned_round_in_the_start_and_in_the_teacher(tmp_path: Path) -> None:
    straight = save_distilbert(tmp_path / "straight")
    turned = save_distilbert(tmp_path / "turned", labels={0: "Positive", 1: "negative"})
    negative, positive = logits(DistilBertForSequenceClassification.from_pretrained(straight))
    assert logits(load_start(straight).model) == pytest.approx([negative, positive], abs=1e-5)
    assert not load_start(turned).fresh
    assert logits(load_start(turned).model) == pytest.approx([positive, negative], abs=1e-5)
    assert logits(load_teacher(turned, 48)) == pytest.approx([positive, negative], abs=1e-5)


@pytest.mark.parametrize(
    "labels", [THREE, dict(enumerate("abcdef")), {0: "only"}, {0: "toxic", 1: "clean"}, {0: "b", 1: "a"}]
)
def test_a_start_with_other_labels_gets_a_new_output_layer(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], labels: dict[int, str]
) -> None:
    start = edit(save_distilbert(tmp_path / "start", labels=labels), problem_type="multi_label_classification")
    out = open_directory(train(start, data))
    assert (out.labels, out.problem_type) == (("NEGATIVE", "POSITIVE"), "single_label_classification")
    assert json.loads((out.path / "config.json").read_text())["label2id"] == {"NEGATIVE": 0, "POSITIVE": 1}
    said = capsys.readouterr()
    assert f"warning: train of {data} has 16 texts, fewer than 100, so little can be learned\n" in said.err
    assert f"(its labels: {', '.join(labels.values())}); it gets a new output layer" in said.err
    assert said.out.startswith(f"{out.path} holds epoch 1: ")


@pytest.mark.parametrize("names", [..., {"0": "LABEL_0", "1": "LABEL_1"}])
def test_a_start_without_names_is_negative_and_positive(tmp_path: Path, names: Any) -> None:
    start = save_distilbert(tmp_path / "start")
    wanted = logits(load_start(start).model)
    loaded = load_start(edit(start, id2label=names, label2id=...))
    assert not loaded.fresh
    assert logits(loaded.model) == wanted


def test_the_tokenizer_of_a_start_is_kept_as_transformers_has_it(tmp_path: Path, data: Path) -> None:
    plain = only_words(save_distilbert(tmp_path / "words"))
    cased = only_words(save_distilbert(tmp_path / "cased"))
    edit(cased, "tokenizer_config.json", do_lower_case=False, strip_accents=True, truncation_side="left")
    for start in (plain, cased):
        for cut in (0, 4000):
            out = train(start, data, vocabulary=cut, out=tmp_path / f"{start.name}-{cut}")
            wanted = AutoTokenizer.from_pretrained(start)
            settings = json.loads((out / "tokenizer_config.json").read_text())
            assert settings["do_lower_case"] is wanted.do_lower_case
            assert settings["model_max_length"] == 512
            for text in ("A good d\u00e1y", "a good day " * 300, ""):
                here, there = TextTokenizer(out, 512).encode([text])[0].ids, AutoTokenizer.from_pretrained(out)
                assert here == there(text, truncation=True)["input_ids"]
                if not cut:
                    assert here == wanted(text, truncation=True, max_length=512)["input_ids"]
    assert TextTokenizer(tmp_path / "cased-0", 512).encode(["Good"])[0].ids[1] == tokenizer().token_to_id("[UNK]")


@pytest.mark.parametrize("kind", ["BertProcessing", "Sequence"])
def test_a_shorter_vocabulary_renumbers_what_any_post_processor_adds(tmp_path: Path, data: Path, kind: str) -> None:
    start = save_distilbert(tmp_path / "start")
    state = json.loads((start / "tokenizer.json").read_text())
    pieces = state["model"]["vocab"]
    last = sorted(pieces, key=pieces.__getitem__)  # special tokens at the end, so that their numbers change
    pieces = state["model"]["vocab"] = {piece: number for number, piece in enumerate([*last[5:], *last[:5]])}
    for token in state["added_tokens"]:
        token["id"] = pieces[token["content"]]
    ends = {
        "type": "BertProcessing",
        **{end: [f"[{end.upper()}]", pieces[f"[{end.upper()}]"]] for end in ("sep", "cls")},
    }
    state["post_processor"] = ends if kind == "BertProcessing" else {"type": "Sequence", "processors": [ends]}
    state["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    (start / "tokenizer.json").write_text(json.dumps(state))
    edit(start, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    out = train(start, data, vocabulary=4000)
    words = json.loads((out / "tokenizer.json").read_text())["model"]["vocab"]
    assert TextTokenizer(out, 512).encode(["good day"])[0].ids == [words[x] for x in ("[CLS]", "good", "day", "[SEP]")]


def test_longer_texts_than_the_start_takes_are_cut(tmp_path: Path, data: Path) -> None:
    start = tmp_path / "short"
    config = DistilBertConfig(
        vocab_size=10200, dim=32, hidden_dim=64, n_layers=2, n_heads=4, max_position_embeddings=16
    )
    DistilBertForSequenceClassification(config).save_pretrained(start)
    tokenizer().save(str(start / "tokenizer.json"))
    (data / "train.tsv").write_text("sentence\tlabel\n" + f"{'good ' * 90}\t1\nbad\t0\n" * 4)
    assert open_directory(train(start, data)).max_tokens == 16


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shard", ["1GB", "400KB"])
def test_halves_and_shards_are_starts_too(tmp_path: Path, stored: torch.dtype, shard: str) -> None:
    start = save_distilbert(tmp_path / "start")
    model = DistilBertForSequenceClassification.from_pretrained(start).to(stored)
    (start / "model.safetensors").unlink()
    model.save_pretrained(start, max_shard_size=shard)
    loaded = load_start(start).model
    assert logits(loaded) == logits(model.float())
    bert = save_bert(tmp_path / "bert")
    model = BertModel.from_pretrained(bert, add_pooling_layer=False).to(stored)
    (bert / "model.safetensors").unlink()
    model.save_pretrained(bert, max_shard_size=shard)
    with torch.no_grad():
        wanted = model.float().eval()(IDS).last_hidden_state
        got = load_start(bert).model.eval().distilbert(IDS).last_hidden_state
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)


def spoil(directory: Path, how: str) -> Path:
    weights = directory / "model.safetensors"
    match how:
        case "pickle":
            weights.rename(directory / "pytorch_model.bin")
        case "gone":
            weights.unlink()
        case "pointer":
            weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        case "cut":
            weights.write_bytes(weights.read_bytes()[:1000])
        case "not finite":
            save_file(
                {**load_file(weights), "classifier.bias": torch.tensor([0.0, float("nan")])}, weights, {"format": "pt"}
            )
        case "no tokenizer":
            (directory / "tokenizer.json").unlink()
        case "broken tokenizer":
            (directory / "tokenizer.json").write_text("{")
        case "no object":
            (directory / "config.json").write_text("[]")
    return directory


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("pickle", r"pytorch_model\.bin and no model\.safetensors"),
        ("gone", r"has no model\.safetensors"),
        ("pointer", "git-lfs pointer"),
        ("cut", "cannot be loaded"),
        ("not finite", r"classifier\.bias in .* has values that are not finite numbers"),
        ("no tokenizer", r"neither tokenizer\.json nor vocab\.txt"),
        ("broken tokenizer", "a tokenizer that cannot be read"),
        ("no object", "is no JSON object"),
        ({"model_type": "roberta"}, "holds a 'roberta' model"),
        ({"n_layers": 5}, "lacks weights that its config.json promises"),
        ({"dim": 64}, "in another size"),
        ({"vocab_size": 9}, "in another size"),
        ({"n_heads": 5}, "cannot be loaded"),
        ({"id2label": {"x": "y"}}, "id2label"),
        ({"activation": "mish"}, "what is trained from this start could not be served"),
    ],
)
def test_a_start_that_is_of_no_use_is_one_line_and_writes_nothing(
    tmp_path: Path, data: Path, how: str | dict[str, Any], complaint: str
) -> None:
    start = save_distilbert(tmp_path / "start")
    start = spoil(start, how) if isinstance(how, str) else edit(start, **how)
    with pytest.raises(ModelError, match=complaint) as caught:
        train(start, data)
    assert "\n" not in str(caught.value)
    assert str(start) in str(caught.value)
    assert not (tmp_path / "start-trained").exists()


def test_more_pieces_than_rows_is_one_line(tmp_path: Path, data: Path) -> None:
    config = DistilBertConfig(vocab_size=9000, dim=32, hidden_dim=64, n_layers=2, n_heads=4)
    DistilBertForSequenceClassification(config).save_pretrained(tmp_path / "start")
    tokenizer().save(str(tmp_path / "start" / "tokenizer.json"))
    with pytest.raises(ModelError, match="a tokenizer with 10200 pieces, but an embedding of 9000 rows"):
        train(tmp_path / "start", data)


def test_a_teacher_that_cannot_teach_is_one_line(tmp_path: Path, data: Path) -> None:
    start, narrow = save_distilbert(tmp_path / "start"), tmp_path / "narrow"
    DistilBertForSequenceClassification(
        DistilBertConfig(vocab_size=10200, dim=32, hidden_dim=64, n_layers=2, n_heads=4)
    ).save_pretrained(narrow)
    three, bert = save_distilbert(tmp_path / "three", labels=THREE), save_bert(tmp_path / "bert")
    for teacher, complaint in (
        (three, "has the labels negative, neutral, positive"),
        (bert, "a teacher is a trained DistilBERT"),
        (narrow, "is 32 wide, but what it is to teach is 48 wide"),
        (tmp_path / "nowhere", "is no Hugging Face model directory"),
    ):
        with pytest.raises(ModelError, match=complaint):
            train(start, data, teacher=teacher)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"layers": "9"}, "--layers must name layers from 0 to 2"),
        ({"hidden_dim": 1000}, "--hidden-dim must be from 1 to 96"),
        ({"vocabulary": 5}, "--vocabulary must be at least"),
        ({"learning_rate": 1e30}, "no epoch gave finite answers, so .* was not written"),
        ({"out": Path("/proc/model")}, "/proc/model cannot be written to"),
    ],
)
def test_a_number_that_does_not_fit_is_one_line_and_writes_nothing(
    tmp_path: Path, data: Path, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ModelError, match=complaint):
        train(save_distilbert(tmp_path / "start"), data, **options)
    assert not (tmp_path / "start-trained").exists()


def test_the_start_is_never_overwritten(tmp_path: Path, data: Path) -> None:
    start = save_distilbert(tmp_path / "start")
    before = {file.name: file.read_bytes() for file in start.iterdir()}
    with pytest.raises(ModelError, match="--out is the folder of --start"):
        train(start, data, out=start / ".." / "start")
    with pytest.raises(ModelError, match="--out is the folder of --teacher"):
        train(start, data, out=tmp_path / "x", teacher=tmp_path / "x")
    assert {file.name: file.read_bytes() for file in start.iterdir()} == before


def test_a_training_that_diverges_keeps_the_epoch_before(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = torch.nn.functional.cross_entropy
    losses = iter(range(100))

    def diverging(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return whole(logits, labels) * (float("nan") if next(losses) >= 3 else 1.0)  # two batches are an epoch

    monkeypatch.setattr("model.training.loop.functional.cross_entropy", diverging)
    out = train(save_distilbert(tmp_path / "start"), data, epochs=3)
    assert json.loads((out / "training.json").read_text())["best_epoch"] == 1
    said = capsys.readouterr()
    assert f"{out} holds epoch 1, after which training failed: " in said.out
    assert "epoch 2: the loss is not finite" in said.err


def test_another_model_in_the_folder_is_replaced_as_a_whole(tmp_path: Path, data: Path) -> None:
    out = only_words(save_distilbert(tmp_path / "out"))
    (out / "README.md").write_text("notes of one's own")
    train(save_distilbert(tmp_path / "start"), data, out=out)
    assert open_directory(out).revision
    assert sorted(file.name for file in out.iterdir()) == [
        "README.md",
        "config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    ]
