"""DistilBERT as an OpenVINO graph, built straight from safetensors: no torch, no transformers, no ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from model.architecture import ACTIVATIONS, Architecture
from model.weights import Weights

_EPSILON = 1e-12
_INT8_MAX = 127
Scales = Mapping[str, NDArray[np.float32]]
"""By input of a matrix (`smoothed_inputs`), the divisor of each channel, by which the matrix is multiplied."""

_ACTIVATIONS = {
    "gelu": lambda value: ops.gelu(value, "erf"),
    "gelu_tanh": lambda value: ops.gelu(value, "tanh"),
    "relu": ops.relu,
    "silu": ops.swish,
    "tanh": ops.tanh,
}


class DistilBertGraph:
    """Builds the sequence classifier of Sanh et al. (2019) over the tensors of a checkpoint.

    A row holds several texts, one after the other. The graph takes, for r rows of width w that hold at most k texts:
    `ids` (r, w); `positions` (r, w), which start at 0 for each text; `texts` (r, w), a number that the tokens of one
    text share; and `firsts` (r, k), the index of each text's first token in its row. It returns logits (r, k, labels).
    With `int8`, matrices are stored as int8 with one scale a row, which is what the CPU plugin multiplies with
    activations quantized token by token at run time; so a text's scores do not depend on its batch.

    With `scales`, inputs of matrices are smoothed: divided by them, channel by channel, and the matrices multiplied.
    Powers of two change nothing in fp32, and in int8 they reduce outliers among the channels.
    """

    def __init__(
        self,
        weights: Weights,
        architecture: Architecture,
        *,
        int8: bool,
        scales: Scales | None = None,
        see: Callable[[str, ov.Node], ov.Node] = lambda _, value: value,
    ) -> None:
        """`see` gets the name of each matrix and its input, and returns the input to multiply."""
        self._weights = weights
        self._shape = architecture
        self._int8 = int8
        self._scales = scales or {}
        self._see = see
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
        words = self._matrix(self._weights["distilbert.embeddings.word_embeddings.weight"])
        hidden = ops.add(ops.gather(words, ids, ops.constant(0)), ops.gather(places, positions, ops.constant(0)))
        hidden = self._norm("distilbert.embeddings.LayerNorm", hidden, self._scale(f"{_layer(0)}.attention"))
        # 0 within a text, a number that vanishes in softmax from text to text
        same = ops.equal(ops.unsqueeze(texts, ops.constant([2])), ops.unsqueeze(texts, ops.constant([1])))
        bias = ops.select(same, ops.constant(np.float32(0)), ops.constant(np.float32(-1e9)))
        for layer in range(shape.n_layers):
            name = _layer(layer)
            wanted = hidden
            if layer == shape.n_layers - 1:  # only the first tokens are read, so only those are computed
                wanted, bias = (ops.gather(each, firsts, ops.constant(1), 1) for each in (hidden, bias))
            attended = self._attention(f"{name}.attention", wanted, hidden, ops.unsqueeze(bias, ops.constant([1])))
            hidden = self._add(attended, wanted, self._scale(f"{name}.attention"))
            within = self._scale(f"{name}.ffn.lin1")
            hidden = self._norm(f"{name}.sa_layer_norm", hidden, within)
            inner = self._activation(self._linear(f"{name}.ffn.lin1", hidden, within))
            if (scale := self._scale(f"{name}.ffn.lin2")) is not None:
                inner = ops.multiply(inner, ops.constant(1 / scale))
            outer = self._linear(f"{name}.ffn.lin2", inner, scale)
            hidden = self._add(outer, hidden, within)
            hidden = self._norm(f"{name}.output_layer_norm", hidden, self._scale(f"{_layer(layer + 1)}.attention"))
        pooled = ops.relu(self._linear("pre_classifier", hidden))
        logits = self._linear("classifier", pooled)
        return ov.Model([logits], [ids, positions, texts, firsts], "distilbert")

    def _attention(self, name: str, wanted: ov.Node, hidden: ov.Node, bias: ov.Node) -> ov.Node:
        dim, heads = self._shape.dim, self._shape.n_heads
        split = ops.constant([0, 0, heads, dim // heads])
        scale, mixed_scale = self._scale(name), self._scale(f"{name}.out_lin")

        def project(part: str, source: ov.Node, divisor: NDArray[np.float32] | None = None) -> ov.Node:
            value = ops.reshape(self._linear(f"{name}.{part}_lin", source, scale, divisor), split, special_zero=True)
            return ops.transpose(value, ops.constant([0, 2, 1, 3]))

        root = ops.constant(np.float32(1 / math.sqrt(dim // heads)))
        # attention sums values, so scaled values scale its result
        query, key, value = project("q", wanted), project("k", hidden), project("v", hidden, mixed_scale)
        mixed = ops.scaled_dot_product_attention(query, key, value, bias, root)
        merged = ops.reshape(ops.transpose(mixed, ops.constant([0, 2, 1, 3])), ops.constant([0, 0, dim]), True)  # noqa: FBT003
        return self._linear(f"{name}.out_lin", merged, mixed_scale)

    def _scale(self, name: str) -> NDArray[np.float32] | None:
        return self._scales.get(name)

    def _linear(
        self,
        name: str,
        value: ov.Node,
        scale: NDArray[np.float32] | None = None,
        divisor: NDArray[np.float32] | None = None,
    ) -> ov.Node:
        """`value`, divided by `scale`, times the matrix; the result is divided by `divisor`."""
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        if scale is not None:
            weight = weight * scale
        if divisor is not None:
            weight, bias = weight / divisor[:, None], bias / divisor
        product = ops.matmul(self._see(name, value), self._matrix(weight), False, True)  # noqa: FBT003
        return ops.add(product, ops.constant(bias))

    def _norm(self, name: str, value: ov.Node, divisor: NDArray[np.float32] | None = None) -> ov.Node:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        if divisor is not None:
            weight, bias = weight / divisor, bias / divisor
        normal = ops.mvn(value, ops.constant([-1]), True, _EPSILON, "inside_sqrt")  # noqa: FBT003
        return ops.add(ops.multiply(normal, ops.constant(weight)), ops.constant(bias))

    def _add(self, value: ov.Node, smoothed: ov.Node, scale: NDArray[np.float32] | None) -> ov.Node:
        """`value` plus `smoothed`, which was divided by `scale`."""
        return ops.add(value, smoothed if scale is None else ops.multiply(smoothed, ops.constant(scale)))

    def _matrix(self, values: NDArray[np.float32]) -> ov.Node:
        if not self._int8:
            return ops.constant(values)
        scale = np.abs(values).max(axis=1, keepdims=True) / _INT8_MAX
        scale[scale == 0] = 1
        quantized = np.rint(values / scale).astype(np.int8)
        return ops.multiply(ops.convert(ops.constant(quantized), "f32"), ops.constant(scale.astype(np.float32)))

    def _constant(self, name: str) -> ov.Node:
        return ops.constant(self._weights[name])


def smoothed_inputs(architecture: Architecture) -> dict[str, tuple[str, ...]]:
    """The inputs that can be smoothed, each with the matrices that read it."""
    inputs: dict[str, tuple[str, ...]] = {}
    for number in range(architecture.n_layers):
        name = _layer(number)
        inputs[f"{name}.attention"] = tuple(f"{name}.attention.{part}_lin" for part in "qkv")
        inputs |= {one: (one,) for one in (f"{name}.attention.out_lin", f"{name}.ffn.lin1", f"{name}.ffn.lin2")}
    return inputs


def _layer(number: int) -> str:
    return f"distilbert.transformer.layer.{number}"
