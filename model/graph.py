"""DistilBERT as an OpenVINO graph, built straight from safetensors: no torch, no transformers, no ONNX."""

from __future__ import annotations

import math

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from model.architecture import ACTIVATIONS, Architecture
from model.weights import Weights

_EPSILON = 1e-12
_INT8_MAX = 127
_ACTIVATIONS = {
    "gelu": lambda value: ops.gelu(value, "erf"),
    "gelu_tanh": lambda value: ops.gelu(value, "tanh"),
    "relu": ops.relu,
    "silu": ops.swish,
    "tanh": ops.tanh,
}


class DistilBertGraph:
    """Builds the sequence classifier of Sanh et al. (2019) over the tensors of a checkpoint.

    Several texts stand behind each other in one row. The graph takes, for r rows of width w that hold at most k texts:
    `ids` (r, w); `positions` (r, w), which begin at 0 for each text; `texts` (r, w), a number that the tokens of one
    text share; and `firsts` (r, k), the place of each text's first token in its row. It gives logits (r, k, labels).
    With `int8`, matrices are stored as int8 with one scale a row, which is what the CPU plugin multiplies with
    activations quantized token by token at run time; so a text's scores do not depend on its batch.
    """

    def __init__(self, weights: Weights, architecture: Architecture, *, int8: bool) -> None:
        self._weights = weights
        self._shape = architecture
        self._int8 = int8
        self._activation = _ACTIVATIONS[ACTIVATIONS[architecture.activation]]

    def build(self) -> ov.Model:
        """The whole graph.

        Raises:
            ModelError: a tensor has values that are not finite.
        """
        shape = self._shape
        ids, positions, texts, firsts = (
            ops.parameter([-1, -1], np.int32, name=name) for name in ("ids", "positions", "texts", "firsts")
        )
        places = self._constant("distilbert.embeddings.position_embeddings.weight")
        words = self._matrix("distilbert.embeddings.word_embeddings.weight")
        hidden = ops.add(ops.gather(words, ids, ops.constant(0)), ops.gather(places, positions, ops.constant(0)))
        hidden = self._norm("distilbert.embeddings.LayerNorm", hidden)
        # 0 within a text, a number that vanishes in softmax from text to text
        same = ops.equal(ops.unsqueeze(texts, ops.constant([2])), ops.unsqueeze(texts, ops.constant([1])))
        bias = ops.select(same, ops.constant(np.float32(0)), ops.constant(np.float32(-1e9)))
        for layer in range(shape.n_layers):
            name = f"distilbert.transformer.layer.{layer}"
            wanted = hidden
            if layer == shape.n_layers - 1:  # only the first tokens are read, so only those are computed
                wanted, bias = (ops.gather(each, firsts, ops.constant(1), 1) for each in (hidden, bias))
            attended = self._attention(f"{name}.attention", wanted, hidden, ops.unsqueeze(bias, ops.constant([1])))
            hidden = self._norm(f"{name}.sa_layer_norm", ops.add(wanted, attended))
            inner = self._activation(self._linear(f"{name}.ffn.lin1", hidden))
            outer = self._linear(f"{name}.ffn.lin2", inner)
            hidden = self._norm(f"{name}.output_layer_norm", ops.add(hidden, outer))
        pooled = ops.relu(self._linear("pre_classifier", hidden))
        logits = self._linear("classifier", pooled)
        return ov.Model([logits], [ids, positions, texts, firsts], "distilbert")

    def _attention(self, name: str, wanted: ov.Node, hidden: ov.Node, bias: ov.Node) -> ov.Node:
        dim, heads = self._shape.dim, self._shape.n_heads
        split = ops.constant([0, 0, heads, dim // heads])

        def project(part: str, source: ov.Node) -> ov.Node:
            value = ops.reshape(self._linear(f"{name}.{part}_lin", source), split, special_zero=True)
            return ops.transpose(value, ops.constant([0, 2, 1, 3]))

        scale = ops.constant(np.float32(1 / math.sqrt(dim // heads)))
        query, key, value = project("q", wanted), project("k", hidden), project("v", hidden)
        mixed = ops.scaled_dot_product_attention(query, key, value, bias, scale)
        merged = ops.reshape(ops.transpose(mixed, ops.constant([0, 2, 1, 3])), ops.constant([0, 0, dim]), True)  # noqa: FBT003
        return self._linear(f"{name}.out_lin", merged)

    def _linear(self, name: str, value: ov.Node) -> ov.Node:
        product = ops.matmul(value, self._matrix(f"{name}.weight"), False, True)  # noqa: FBT003
        return ops.add(product, self._constant(f"{name}.bias"))

    def _norm(self, name: str, value: ov.Node) -> ov.Node:
        normal = ops.mvn(value, ops.constant([-1]), True, _EPSILON, "inside_sqrt")  # noqa: FBT003
        scaled = ops.multiply(normal, self._constant(f"{name}.weight"))
        return ops.add(scaled, self._constant(f"{name}.bias"))

    def _matrix(self, name: str) -> ov.Node:
        values = self._weights[name]
        if not self._int8:
            return ops.constant(values)
        scale = np.abs(values).max(axis=1, keepdims=True) / _INT8_MAX
        scale[scale == 0] = 1
        quantized = np.rint(values / scale).astype(np.int8)
        return ops.multiply(ops.convert(ops.constant(quantized), "f32"), ops.constant(scale.astype(np.float32)))

    def _constant(self, name: str) -> ov.Node:
        return ops.constant(self._weights[name])
