"""Chooses the int8 quantization of a model: the fastest whose answers on labelled texts agree with fp32's."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import openvino as ov

from model.data import Split
from model.directory import ModelDirectory
from model.engine import OpenVinoEngine, build_graph, open_weights
from model.evaluate import compare
from model.golden import score
from model.graph import DistilBertGraph, Scales
from model.labels import Scores
from model.quantization import DEFAULT_GROUP_SIZE, SMOOTHINGS, Fidelity, Quantization, group_sizes
from model.smoothing import largest_activations, quantized, scales_for
from model.tokenizer import TextTokenizer

MAX_FLIPS = 0.005
"""Share of the texts whose label may differ: half of what the service promises, since other texts differ more."""

_CALIBRATION_TEXTS = 256
_SHAPES = ((1, 16), (32, 16), (8, 128))
_ROUNDS = 5
_FASTER = 0.97
"""A larger group counts as faster than a smaller one if it takes at most this share of its time."""

Times = Mapping[int, float]
"""Ms of a forward pass by group size, the geometric mean over shapes of texts."""


def choose(
    directory: ModelDirectory, data: Split, times: Times | None, say: Callable[[str], None]
) -> tuple[Quantization, Scales]:
    """The quantization with the fastest group size whose answers agree with fp32's, and its scales.

    Fidelity is computed in fp32 arithmetic, so it differs between CPUs by a text or two at most. Without `times`
    larger groups count as faster, as they were on the CPUs with int8 dot products that were measured. If none
    agrees, it is the smallest group with the smoothing that differs least. `say` gets a line on each combination tried.

    Raises:
        ModelError: an output of the model is not finite.
    """
    lines = TextTokenizer(directory.path, directory.max_tokens).encode(data.texts)
    sequences = [line.ids for line in lines]
    weights, architecture = open_weights(directory), directory.architecture
    reference = _score(directory, build_graph(directory, "fp32"), sequences)
    step = max(1, len(sequences) // _CALIBRATION_TEXTS)
    largest = largest_activations(weights, architecture, sequences[::step])
    scales = {smoothing: scales_for(weights, architecture, largest, smoothing) for smoothing in SMOOTHINGS}
    sizes = group_sizes(architecture.dim)
    tried: dict[int, list[Quantization]] = {}
    for size in in_order_of_speed(sizes, times):
        tried[size] = []
        for smoothing in SMOOTHINGS:
            graph = DistilBertGraph(
                weights, architecture, int8=True, scales=scales[smoothing], see=quantized(size)
            ).build()
            fidelity = _fidelity(_score(directory, graph, sequences), reference, data.labels)
            say(_line(size, smoothing, fidelity))
            tried[size].append(Quantization(size, smoothing, fidelity))
        if holding := [each for each in tried[size] if each.fidelity and each.fidelity.holds(MAX_FLIPS)]:
            break
    best = min(
        holding or tried[min(sizes)], key=lambda each: each.fidelity.mean_score_difference if each.fidelity else 1
    )
    return best, scales[best.smoothing]


def in_order_of_speed(sizes: Sequence[int], times: Times | None) -> list[int]:
    """Fastest first; a size that is not clearly faster than a smaller one comes after it."""
    if times is None:
        return sorted(sizes, reverse=True)
    left, ordered = sorted(sizes), []
    while left:
        first = left[0]
        for size in left:
            if times[size] < _FASTER * times[first]:
                first = size
        ordered.append(first)
        left.remove(first)
    return ordered


def time_groups(directory: ModelDirectory, graph: Path, say: Callable[[str], None]) -> Times:
    """Times of passes on one thread of this CPU by group size, measured alternately, since its speed may vary."""
    sizes = group_sizes(directory.architecture.dim)
    engines = {size: OpenVinoEngine(directory, graph, "int8", 1, size) for size in sizes}
    rng = random.Random(1)  # noqa: S311
    rows, positions = directory.architecture.vocab_size, directory.architecture.max_position_embeddings
    logs: dict[int, list[float]] = {size: [] for size in sizes}
    for count, length in _SHAPES:
        tokens = min(length, positions)
        texts = [[rng.randrange(rows) for _ in range(tokens)] for _ in range(count)]
        times: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(_ROUNDS + 1):
            for size, engine in engines.items():
                began = time.perf_counter()
                engine.score(texts)
                times[size].append((time.perf_counter() - began) * 1000)
        for size in sizes:
            logs[size].append(statistics.median(times[size][1:]))  # the first run of a shape compiles its kernels
    means = {size: statistics.geometric_mean(logs[size]) for size in sizes}
    say(
        ", ".join(f"groups of {size}: {means[DEFAULT_GROUP_SIZE] / ms:.2f} times as fast" for size, ms in means.items())
    )
    return means


def _score(directory: ModelDirectory, graph: ov.Model, sequences: Sequence[Sequence[int]]) -> list[Scores]:
    return score(OpenVinoEngine(directory, graph, "fp32", 1, group_size=0), sequences, directory)


def _fidelity(scores: Sequence[Scores], reference: Sequence[Scores], labels: Sequence[int]) -> Fidelity:
    figures, of_reference = compare(scores, reference, labels), compare(reference, reference, labels)
    return Fidelity(
        texts=len(labels),
        accuracy=figures["accuracy"],
        accuracy_fp32=of_reference["accuracy"],
        flips=int(figures["flips_against_fp32"]),
        mean_score_difference=figures["mean_score_difference"],
    )


def _line(size: int, smoothing: float, fidelity: Fidelity) -> str:
    return (
        f"groups of {size}, smoothing {smoothing:g}: {fidelity.flips} of {fidelity.texts} labels differ from fp32's, "
        f"accuracy {fidelity.accuracy:.4f} (fp32 {fidelity.accuracy_fp32:.4f}), "
        f"mean score difference {fidelity.mean_score_difference:.4f}"
    )
