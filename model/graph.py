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

    The graph takes `ids` (n, length) and `mask` (n, length; 1 on tokens, 0 on padding) and gives logits (n, labels).
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
        ids = ops.parameter([-1, -1], np.int64, name="ids")
        mask = ops.parameter([-1, -1], np.int64, name="mask")
        length = ops.gather(ops.shape_of(ids), ops.constant([1]), ops.constant(0))
        positions = ops.slice(
            self._constant("distilbert.embeddings.position_embeddings.weight"),
            ops.constant([0]),
            length,
            ops.constant([1]),
            ops.constant([0]),
        )
        words = self._matrix("distilbert.embeddings.word_embeddings.weight")
        hidden = ops.add(ops.gather(words, ids, ops.constant(0)), positions)
        hidden = self._norm("distilbert.embeddings.LayerNorm", hidden)
        # 0 where a token may be looked at, a number that vanishes in softmax where it is padding
        padding = ops.multiply(ops.subtract(ops.constant(np.float32(1)), ops.convert(mask, "f32")), np.float32(-1e9))
        bias = ops.unsqueeze(padding, ops.constant([1, 2]))
        for layer in range(shape.n_layers):
            name = f"distilbert.transformer.layer.{layer}"
            # of the last layer only the first token is read, so only that is computed
            wanted = hidden if layer < shape.n_layers - 1 else ops.gather(hidden, ops.constant([0]), ops.constant(1))
            attended = self._attention(f"{name}.attention", wanted, hidden, bias)
            hidden = self._norm(f"{name}.sa_layer_norm", ops.add(wanted, attended))
            inner = self._activation(self._linear(f"{name}.ffn.lin1", hidden))
            outer = self._linear(f"{name}.ffn.lin2", inner)
            hidden = self._norm(f"{name}.output_layer_norm", ops.add(hidden, outer))
        first = ops.squeeze(hidden, ops.constant([1]))
        pooled = ops.relu(self._linear("pre_classifier", first))
        logits = self._linear("classifier", pooled)
        return ov.Model([logits], [ids, mask], "distilbert")

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
