"""Measures activations, computes the scales that smooth them, and simulates their int8 quantization."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from model.architecture import Architecture
from model.graph import DistilBertGraph, Scales, smoothed_inputs
from model.weights import Weights

_INT8_MAX = 127
_MIN_MAGNITUDE = 1e-5
"""Used for a channel that is always 0, as after relu."""


def largest_activations(
    weights: Weights, architecture: Architecture, sequences: Sequence[Sequence[int]]
) -> dict[str, NDArray[np.float32]]:
    """By input of `smoothed_inputs`, the largest absolute value in each channel over sequences of token ids."""
    names = {matrices[0]: name for name, matrices in smoothed_inputs(architecture).items()}
    seen: dict[str, ov.Node] = {}

    def keep(name: str, value: ov.Node) -> ov.Node:
        if name in names:
            seen[names[name]] = ops.reduce_max(ops.absolute(value), ops.constant([0, 1]))
        return value

    # the last layer's queries are those of first tokens only, so the keys show attention's input
    names = {name.replace(".q_lin", ".k_lin"): input_name for name, input_name in names.items()}
    graph = DistilBertGraph(weights, architecture, int8=False, see=keep).build()
    model = ov.Model(list(seen.values()), graph.get_parameters(), "activations")
    request = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    largest = {name: np.zeros(0, np.float32) for name in seen}
    for ids in sequences:  # each alone, without padding, whose activations do not count
        row = np.asarray([ids], np.int32)
        zeros = np.zeros_like(row)
        values = request.infer([row, np.arange(row.shape[1], dtype=np.int32)[None], zeros, zeros[:, :1]])
        for index, name in enumerate(seen):
            largest[name] = np.maximum(largest[name], values[index]) if largest[name].size else values[index].copy()
    return largest


def scales_for(
    weights: Weights, architecture: Architecture, largest: dict[str, NDArray[np.float32]], smoothing: float
) -> Scales:
    """Powers of two by which inputs are divided so that outliers move into the matrices (Xiao et al., 2022).

    A channel's scale is activation ** smoothing / weight ** (1 - smoothing), of its largest values, relative to the
    mean of all channels. With 0 there are no scales.
    """
    if not smoothing:
        return {}
    scales = {}
    for name, matrices in smoothed_inputs(architecture).items():
        weight = np.max([np.abs(weights[f"{matrix}.weight"]).max(axis=0) for matrix in matrices], axis=0)
        logs = smoothing * np.log2(np.maximum(largest[name], _MIN_MAGNITUDE))
        logs -= (1 - smoothing) * np.log2(np.maximum(weight, _MIN_MAGNITUDE))
        scales[name] = np.exp2(np.rint(logs - logs.mean())).astype(np.float32)
    return scales


def quantized(group_size: int) -> Callable[[str, ov.Node], ov.Node]:
    """A `see` for a graph that quantizes inputs of matrices in fp32 arithmetic, as the runtime does in int8.

    So the effect of a group size on answers is the same on every CPU, also if the runtime leaves activations in fp32
    because the CPU has no int8 dot products.
    """

    def quantize(name: str, value: ov.Node) -> ov.Node:
        del name
        width = value.get_output_partial_shape(0)[-1].get_length()
        padding = -width % group_size
        if padding:
            value = ops.pad(value, [0, 0, 0], [0, 0, padding], "constant", np.float32(0))
        groups = ops.reshape(value, ops.constant([0, 0, -1, group_size]), special_zero=True)
        largest = ops.reduce_max(ops.absolute(groups), ops.constant([3]), keep_dims=True)
        scale = ops.divide(ops.maximum(largest, ops.constant(np.float32(1e-30))), ops.constant(np.float32(_INT8_MAX)))
        rounded = ops.multiply(ops.round(ops.divide(groups, scale), "half_to_even"), scale)
        whole = ops.reshape(rounded, ops.constant([0, 0, width + padding]), special_zero=True)
        if not padding:
            return whole
        return ops.slice(whole, ops.constant([0]), ops.constant([width]), ops.constant([1]), ops.constant([2]))

    return quantize
