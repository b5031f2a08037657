"""Labels, problem types, weights and architectures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.zoo.specimen import Specimen, Tensors

Change = Callable[[Tensors], Tensors]
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0a0a\nsize 267832558\n"
DEFAULT = {"LABEL_0": "NEGATIVE", "LABEL_1": "POSITIVE"}


def to(dtype: torch.dtype) -> Change:
    return lambda tensors: {name: tensor.to(dtype) for name, tensor in tensors.items()}


def with_value(name: str, value: float) -> Change:
    def change(tensors: Tensors) -> Tensors:
        tensors[name].view(-1)[0] = value
        return tensors

    return change


def without(name: str) -> Change:
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if key != name}


def with_extra(tensors: Tensors) -> Tensors:
    return {**tensors, "vocab_transform.weight": torch.zeros(2), "distilbert.embeddings.position_ids": torch.arange(4)}


def with_prefix(tensors: Tensors) -> Tensors:
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


def shard(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    places: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        places |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


def shard_and_lose(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def shard_outside(folder: Path) -> None:
    shard(folder)
    file = folder / "model.safetensors.index.json"
    file.write_text(file.read_text().replace("model-00002", "../model-00002"))


def pickle_only(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def dangling(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../../blobs/0a0a")


def folder_for_settings(folder: Path) -> None:
    (folder / "tokenizer_config.json").mkdir()


def loop(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("config.json")


def one_lower(folder: Path) -> None:
    (folder / "checkpoint-500").mkdir()
    for file in [file for file in folder.iterdir() if file.is_file()]:
        file.rename(folder / "checkpoint-500" / file.name)


def cut_off(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def named(*labels: object) -> dict[str, object]:
    return {"id2label": {str(number): label for number, label in enumerate(labels)}}


MULTI = {"problem_type": "multi_label_classification"}
SINGLE = {"problem_type": "single_label_classification"}
EMOTIONS = named("sadness", "joy", "love", "anger", "fear", "surprise")

LABELS = [
    Specimen("three labels", named("negative", "neutral", "positive"), labels=3),
    Specimen("six labels", EMOTIONS, labels=6),
    Specimen("28 labels", labels=28),
    Specimen("labels in any case and script", named("Très positif", "ネガティブ", "5 stars ⭐"), labels=3),
    Specimen("labels that JSON escapes", named('say "hi"', "back\\slash", "<b>new\nline</b>"), labels=3),
    Specimen("id2label out of order", {"id2label": {"2": "c", "0": "a", "1": "b"}}, labels=3),
    Specimen("POSITIVE first", named("POSITIVE", "NEGATIVE")),
    Specimen("label2id says otherwise", {**named("neg", "pos"), "label2id": {"pos": 0, "neg": 1}}),
    Specimen("no names, two", {"id2label": ...}, renamed=DEFAULT),
    Specimen("null names, two", {"id2label": None, "label2id": None}, renamed=DEFAULT),
    Specimen("LABEL_0 and LABEL_1", named("LABEL_0", "LABEL_1"), renamed=DEFAULT),
    Specimen("no names, num_labels 3", {"id2label": ..., "num_labels": 3}, labels=3),
    Specimen("LABEL_0 to LABEL_4", named(*(f"LABEL_{number}" for number in range(5))), labels=5),
    Specimen("num_labels agrees", {**named("a", "b", "c"), "num_labels": 3}, labels=3),
    Specimen("_num_labels of old configs", {**named("a", "b", "c"), "_num_labels": 9}, labels=3),
    Specimen("single label by name", SINGLE),
    Specimen("multi-label, two", MULTI),
    Specimen("multi-label, six", {**EMOTIONS, **MULTI}, labels=6),
    Specimen("one output", labels=1),
    Specimen("one output, multi-label", MULTI, labels=1),
    Specimen("two equal names", named("same", "same"), refused="same name"),
    Specimen("num_labels disagrees", {**named("a", "b"), "num_labels": 3}, labels=3, refused="as many as num_labels"),
    Specimen("a gap in id2label", {"id2label": {"0": "a", "2": "b"}}, refused="from 0 on"),
    Specimen("names as keys", {"id2label": {"a": 0, "b": 1}}, refused="from 0 on"),
    Specimen("a list of labels", {"id2label": ["a", "b"]}, refused="from 0 on"),
    Specimen("no label", {"id2label": {}}, refused="how many labels"),
    Specimen("a number for id2label", {"id2label": 5}, refused="from 0 on"),
    Specimen("endless labels", {"id2label": ..., "num_labels": 10**12}, refused="at most 100,000"),
    Specimen("numbers for names", named(1, 2), refused="no text"),
    Specimen("null for a name", named("a", None), refused="no text"),
    Specimen("half a surrogate", named("a", "\ud800"), refused="no valid text"),
    Specimen("names in label2id alone", {"id2label": ..., "label2id": {"good": 0, "bad": 1}}, refused="label2id only"),
    Specimen("more names than outputs", named("a", "b", "c"), refused=r"classifier\.weight .*shape \(2, 32\)"),
    Specimen("regression", {"problem_type": "regression"}, refused="regression"),
    Specimen("one output, regression", {"problem_type": "regression"}, labels=1, refused="regression"),
    Specimen("one output, single label", SINGLE, labels=1, refused="needs two labels"),
    Specimen("an unknown problem type", {"problem_type": "ranking"}, refused="problem_type 'ranking'"),
]

WEIGHTS = [
    *(
        Specimen(f"weights in {str(dtype)[6:]}", weights=to(dtype))
        for dtype in (torch.bfloat16, torch.float16, torch.float64)
    ),
    Specimen("bfloat16, three labels", weights=to(torch.bfloat16), labels=3),
    Specimen("in shards", after=shard),
    Specimen("in shards, bfloat16", after=shard, weights=to(torch.bfloat16)),
    Specimen("extra tensors", weights=with_extra),
    Specimen("a pickle beside them", files={"pytorch_model.bin": b"never opened"}),
    Specimen("no classifier", weights=without("classifier.weight"), refused=r"no classifier\.weight"),
    Specimen("a layer too few", {"n_layers": 3}, refused=r"layer\.2"),
    Specimen("names with a prefix", weights=with_prefix, refused="no distilbert"),
    Specimen(
        "a pickle alone", after=pickle_only, refused="pytorch_model.bin and no .*safetensors only.*save_pretrained"
    ),
    Specimen("no weights", gone=("model.safetensors",), refused=r"no model\.safetensors"),
    Specimen("a missing shard", after=shard_and_lose, refused="model-00002.* is missing"),
    Specimen("a shard elsewhere", after=shard_outside, refused="outside the directory"),
    Specimen("a git-lfs pointer", files={"model.safetensors": LFS}, refused="git lfs pull"),
    Specimen("no safetensors", files={"model.safetensors": b"weights?"}, refused="cannot be read as safetensors"),
    Specimen("cut off", after=cut_off, refused="cannot be read as safetensors"),
    Specimen("NaN", weights=with_value("classifier.bias", math.nan), refused="not finite"),
    Specimen(
        "infinity in a word",
        weights=with_value("distilbert.embeddings.word_embeddings.weight", math.inf),
        refused="not finite",
    ),
    Specimen(
        "NaN in bfloat16",
        weights=lambda t: to(torch.bfloat16)(with_value("pre_classifier.bias", math.nan)(t)),
        refused="not finite",
    ),
    Specimen("integers", weights=to(torch.int64), refused="stored as I64"),
]

ARCHITECTURES = [
    *(
        Specimen(f"activation {activation}", {"activation": activation})
        for activation in ("relu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "silu", "swish", "tanh", "gelu_python")
    ),
    Specimen("sinusoidal positions", {"sinusoidal_pos_embds": True}),
    Specimen("untied embeddings", {"tie_word_embeddings": False}),
    Specimen("one layer, one head", sizes={"n_layers": 1, "n_heads": 1}),
    Specimen("37 positions", sizes={"max_position_embeddings": 37}),
    Specimen("1,000 positions", sizes={"max_position_embeddings": 1000}),
    Specimen("names that all models share", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 8}),
    Specimen("pad_token_id null", {"pad_token_id": None}),
    Specimen("half of the defaults", {"activation": ..., "model_type": "distilbert", "architectures": ...}),
    Specimen("another activation", {"activation": "mish"}, refused="activation 'mish'"),
    Specimen("another model", {"model_type": "bert"}, refused="only distilbert"),
    Specimen("heads that do not divide", {"n_heads": 5}, refused="does not divide"),
    Specimen("a size that is text", {"dim": "32"}, refused="dim as a positive whole number"),
    Specimen("no layers", {"n_layers": 0}, refused="n_layers as a positive"),
    Specimen("fewer rows than vocab_size", {"vocab_size": 500}, refused="shape"),
    Specimen("quantized", {"quantization_config": {"quant_method": "bitsandbytes"}}, refused="quantization_config"),
    Specimen("weights in another file", {"transformers_weights": "other.safetensors"}, refused="transformers_weights"),
    Specimen("another config.json", {"configuration_files": ["config.4.0.0.json"]}, refused="configuration_files"),
    Specimen("layers that differ", {"per_layer_config": {"0": {"n_heads": 2}}}, refused="per_layer_config"),
    Specimen("earlier tokens only", {"is_causal": True}, refused="is_causal"),
    Specimen("endless layers", {"n_layers": 10**12}, refused="at most 1000"),
    Specimen("config.json of git-lfs", files={"config.json": LFS}, refused="git lfs pull"),
    Specimen("config.json in UTF-16", files={"config.json": "{}".encode("utf-16")}, refused="not JSON in UTF-8"),
    Specimen("config.json with a mark", files={"config.json": "\ufeff{}"}, refused="not JSON in UTF-8"),
    Specimen("config.json is a list", files={"config.json": "[]"}, refused="no JSON object"),
    Specimen("an adapter", files={"adapter_config.json": "{}"}, refused="merge the adapter"),
    Specimen("a manifest that is a list", files={"manifest.json": "[]"}, refused="manifest.json is no JSON object"),
    Specimen(
        "a manifest of numbers",
        files={"manifest.json": '{"name": 1, "revision": "", "files": {}}'},
        refused="is not a manifest",
    ),
    Specimen("a manifest too deep", files={"manifest.json": "[" * 100_000}, refused="manifest.json is not JSON"),
    Specimen("a directory in a file's place", after=folder_for_settings, refused="tokenizer_config.json is no regular"),
    Specimen("a loop of links", after=loop, refused="config.json cannot be read"),
    Specimen("a link to nothing", after=dangling, refused="copy the directory with cp -rL"),
    Specimen("a folder of checkpoints", after=one_lower, refused="such as .*checkpoint-500"),
    Specimen("no config.json", gone=("config.json",), refused="must name a model directory"),
]

MODELS = [*LABELS, *WEIGHTS, *ARCHITECTURES]
