"""The sizes of a DistilBERT, read from its config.json, and the tensors that they imply."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from model.errors import ModelError

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
"""The supported activations by transformers' names, and the graph's operations for them."""

MAX_LAYERS = 1000

_NOT_SERVED = ("transformers_weights", "configuration_files", "per_layer_config", "is_causal", "attribute_map")
"""Options by which transformers reads other files, builds other layers, or attends to earlier tokens only."""

_ALIASES = {"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"}


@dataclass(frozen=True)
class Architecture:
    """The sizes of a DistilBERT, under the names of its config.json, with the defaults of transformers."""

    dim: int = 768
    hidden_dim: int = 3072
    n_layers: int = 6
    n_heads: int = 12
    max_position_embeddings: int = 512
    vocab_size: int = 30522
    activation: str = "gelu"

    def tensors(self, labels: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of each tensor of the sequence classifier with that many labels."""
        dim = self.dim
        shapes: dict[str, tuple[int, ...]] = {
            "distilbert.embeddings.word_embeddings.weight": (self.vocab_size, dim),
            "distilbert.embeddings.position_embeddings.weight": (self.max_position_embeddings, dim),
        }

        def norm(name: str) -> None:
            shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (dim,)

        def linear(name: str, rows: int, columns: int) -> None:
            shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (rows, columns), (rows,)

        norm("distilbert.embeddings.LayerNorm")
        for number in range(self.n_layers):
            layer = f"distilbert.transformer.layer.{number}"
            for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
                linear(f"{layer}.attention.{part}", dim, dim)
            norm(f"{layer}.sa_layer_norm")
            linear(f"{layer}.ffn.lin1", self.hidden_dim, dim)
            linear(f"{layer}.ffn.lin2", dim, self.hidden_dim)
            norm(f"{layer}.output_layer_norm")
        linear("pre_classifier", dim, dim)
        linear("classifier", labels, dim)
        return shapes


def read_architecture(config: dict[str, Any], file: Path) -> Architecture:
    """The sizes in config.json; the names that all models share win, as in transformers.

    Raises:
        ModelError: it is not a DistilBERT, a size is not a positive whole number, or an option is not supported.
    """
    kind = config.get("model_type")
    if kind != "distilbert":
        raise ModelError(f"{file} says model_type {kind!r}; only distilbert can be served, choose such a model")
    if config.get("quantization_config") is not None:
        raise ModelError(f"{file} has a quantization_config; save the model without quantization, int8 is made here")
    for key in _NOT_SERVED:
        if config.get(key):
            raise ModelError(
                f"{file} has {key}, which is not served; save the model again (save_pretrained) without it"
            )
    names = {field.name for field in fields(Architecture)}
    given = {name: config[name] for name in names if name in config}
    given |= {name: config[alias] for alias, name in _ALIASES.items() if alias in config}
    activation = given.pop("activation", Architecture.activation)
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise ModelError(f"{file} says activation {activation!r}; there are {', '.join(ACTIVATIONS)}")
    for name, value in given.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ModelError(f"{file} must give {name} as a positive whole number")
    sizes = Architecture(**given, activation=activation)
    _check(sizes, config.get("pad_token_id", 0), file)
    return sizes


def _check(sizes: Architecture, padding: Any, file: Path) -> None:
    if sizes.n_layers > MAX_LAYERS:
        raise ModelError(f"{file} says n_layers {sizes.n_layers}; at most {MAX_LAYERS} are served")
    if sizes.dim % sizes.n_heads:
        raise ModelError(f"{file} says dim {sizes.dim}, which n_heads {sizes.n_heads} does not divide")
    if isinstance(padding, int) and padding >= sizes.vocab_size:
        raise ModelError(f"{file} says pad_token_id {padding}, beyond vocab_size {sizes.vocab_size}")
