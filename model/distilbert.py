"""DistilBERT's forward pass in plain torch: what transformers computes, without the seconds to import it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from model.directory import Architecture
from model.errors import ModelError

_EPSILON = 1e-12
_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"gelu": functional.gelu, "relu": functional.relu}


class DistilBert:
    """A two-label DistilBERT classifier over the tensors of a safetensors file (Sanh et al., 2019)."""

    def __init__(self, weights: Mapping[str, torch.Tensor], architecture: Architecture) -> None:
        self._weights = {name: tensor.float() for name, tensor in weights.items()}
        self._shape = architecture
        if architecture.activation not in _ACTIVATIONS:
            raise ModelError(f"activation {architecture.activation!r} is not one of {', '.join(_ACTIVATIONS)}")
        self._activation = _ACTIVATIONS[architecture.activation]
        for layer in range(architecture.n_layers):
            self._fuse(f"distilbert.transformer.layer.{layer}.attention")
        for name in ("distilbert.embeddings.word_embeddings.weight", "pre_classifier.weight", "classifier.weight"):
            if name not in self._weights:
                raise ModelError(f"the weights have no {name}, so this is no DistilBERT sequence classifier")
        if self._weights["classifier.weight"].shape[0] != len(("negative", "positive")):
            raise ModelError("the classifier does not have exactly two labels")

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Logits (n, 2) of token ids (n, length); `mask` (n, length) is true on tokens, None where none is padding."""
        weights = self._weights
        positions = weights["distilbert.embeddings.position_embeddings.weight"][: ids.shape[1]]
        hidden = functional.embedding(ids, weights["distilbert.embeddings.word_embeddings.weight"]) + positions
        hidden = self._norm("distilbert.embeddings.LayerNorm", hidden)
        attend = None if mask is None else mask[:, None, None, :]
        for layer in range(self._shape.n_layers):
            name = f"distilbert.transformer.layer.{layer}"
            hidden = self._norm(f"{name}.sa_layer_norm", hidden + self._attention(f"{name}.attention", hidden, attend))
            inner = self._activation(self._linear(f"{name}.ffn.lin1", hidden))
            hidden = self._norm(f"{name}.output_layer_norm", hidden + self._linear(f"{name}.ffn.lin2", inner))
        pooled = functional.relu(self._linear("pre_classifier", hidden[:, 0]))
        return self._linear("classifier", pooled)

    def _attention(self, name: str, hidden: torch.Tensor, attend: torch.Tensor | None) -> torch.Tensor:
        rows, length, dim = hidden.shape
        heads = self._shape.n_heads
        fused = self._linear(f"{name}.qkv", hidden).view(rows, length, 3, heads, dim // heads)
        query, key, value = fused.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=attend)
        return self._linear(f"{name}.out_lin", mixed.transpose(1, 2).reshape(rows, length, dim))

    def _fuse(self, name: str) -> None:
        """Join query, key and value into one matrix: one product instead of three."""
        for leaf in ("weight", "bias"):
            try:
                parts = [self._weights.pop(f"{name}.{part}_lin.{leaf}") for part in "qkv"]
            except KeyError as missing:
                raise ModelError(f"the weights have no {missing.args[0]}, so they do not fit config.json") from None
            self._weights[f"{name}.qkv.{leaf}"] = torch.cat(parts)

    def _linear(self, name: str, value: torch.Tensor) -> torch.Tensor:
        return functional.linear(value, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, name: str, value: torch.Tensor) -> torch.Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.layer_norm(value, value.shape[-1:], weight, bias, _EPSILON)
