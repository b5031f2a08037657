"""Runs token sequences through a model on OpenVINO, in fp32, bf16 or int8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from model.batches import Row, pack
from model.directory import ModelDirectory
from model.errors import ModelError
from model.golden import EXPORT, GRAPH, check_export, check_golden, score
from model.graph import DistilBertGraph, Scales
from model.labels import Scores, scoring
from model.mapped import forget_pages
from model.quantization import DEFAULT_GROUP_SIZE, read_quantization
from model.signal_stack import use_ordinary_stack
from model.weights import Weights

PRECISIONS = ("fp32", "bf16", "int8")

PASS_TOKENS = 512
"""Tokens of a forward pass, unless one text is longer: more would hardly be faster, and take proportional memory."""

_CONFIGURATION = {
    # kernels are kept by shape; without a bound, memory grows with every new shape
    "CPU_RUNTIME_CACHE_CAPACITY": "64",
    # a pinned thread would wait for its CPU while another CPU is free
    "ENABLE_CPU_PINNING": "NO",
}


class Stream(Protocol):
    """Scores for token sequences. One call at a time; different sequences of one call may be batched at will."""

    def score(self, sequences: Sequence[Sequence[int]]) -> list[Scores]:
        """Scores of each sequence of token ids, in order."""
        ...


class Engine(Stream, Protocol):
    """A stream on all threads, and `streams` of one thread each, which run in parallel.

    One text is fastest on all threads, many texts on the streams: threads that share a text wait for each other at the
    end of each layer, and one of them may have lost its CPU to another process.
    """

    precision: str
    streams: Sequence[Stream]


class OpenVinoStream:
    """One inference request of a compiled graph of the model in `directory`."""

    def __init__(self, directory: ModelDirectory, request: ov.InferRequest) -> None:
        self._request = request
        self._positions = directory.architecture.max_position_embeddings
        self._places = np.arange(self._positions, dtype=np.int32)
        self._scores = scoring(directory.problem_type)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[Scores]:
        """Scores of each sequence of token ids, in order; equal ones are run once, and similar lengths together."""
        asked = [tuple(sequence) for sequence in sequences]
        unique = list(dict.fromkeys(asked))
        scores: dict[tuple[int, ...], Scores] = {}
        for rows in pack([len(sequence) for sequence in unique], PASS_TOKENS, self._positions):
            for row, logits in zip(rows, self._logits(rows, unique), strict=True):
                for index, each in zip(row.indices, logits.tolist(), strict=False):  # the rest is padding
                    scores[unique[index]] = self._scores(each)
        return [scores[sequence] for sequence in asked]

    def _logits(self, rows: Sequence[Row], sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Logits of the sequences in these rows, (rows, max sequences in a row, labels)."""
        ids, positions, texts = np.zeros((3, len(rows), rows[0].width), np.int32)
        firsts = np.zeros((len(rows), max(len(row.indices) for row in rows)), np.int32)
        for number, row in enumerate(rows):
            start = 0
            for place, index in enumerate(row.indices):
                length = len(sequences[index])
                inside = slice(start, start + length)
                ids[number, inside] = sequences[index]
                positions[number, inside] = self._places[:length]
                texts[number, inside] = place + 1
                firsts[number, place] = start
                start += length
        logits: NDArray[np.float32] = self._request.infer([ids, positions, texts, firsts])[0]
        return logits


class OpenVinoEngine(OpenVinoStream):
    """A graph on `threads` threads: compiled for all of them, and, if there are several, also for one each."""

    def __init__(
        self,
        directory: ModelDirectory,
        graph: ov.Model | Path,
        precision: str,
        threads: int,
        group_size: int = DEFAULT_GROUP_SIZE,
    ) -> None:
        """Compile the graph, and run it once. Activations are quantized in groups of `group_size` channels; 0: never.

        Raises:
            ModelError: its scores are not finite, or this CPU does not compute in this precision.
        """
        core = ov.Core()
        # read once, so that both compiled graphs share one mapping of the weights
        model = core.read_model(graph) if isinstance(graph, Path) else graph

        def compiled(streams: int) -> ov.CompiledModel:
            configuration: dict[str, Any] = {
                **_CONFIGURATION,
                "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",  # never bf16 silently
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(group_size),
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": str(streams),
                "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
            }
            return core.compile_model(model, "CPU", configuration)

        whole = compiled(1)
        if precision == "bf16" and whole.get_property("INFERENCE_PRECISION_HINT") != ov.Type.bf16:
            raise ModelError("this CPU has no bf16 arithmetic; use precision auto")
        super().__init__(directory, whole.create_infer_request())
        self.precision = precision
        self.streams: Sequence[Stream] = [self]
        if threads > 1:
            split = compiled(threads)
            self.streams = [OpenVinoStream(directory, split.create_infer_request()) for _ in range(threads)]
        use_ordinary_stack()
        for stream in {self, *self.streams}:
            score(stream, [[0]], directory)  # the first pass copies the matrices
        if isinstance(graph, Path):
            forget_pages(graph.with_suffix(".bin"))


def build_graph(directory: ModelDirectory, precision: str, scales: Scales | None = None) -> ov.Model:
    """The graph of a model directory, from its weights, smoothed by `scales`.

    Raises:
        ModelError: the weights are not those that the directory was opened with, or not finite.
    """
    int8 = precision == "int8"
    return DistilBertGraph(open_weights(directory), directory.architecture, int8=int8, scales=scales).build()


def open_weights(directory: ModelDirectory) -> Weights:
    """The tensors of a model directory.

    Raises:
        ModelError: they are not those that the directory was opened with.
    """
    return Weights(directory.path, directory.architecture.tensors(len(directory.labels)))


def load_engine(directory: ModelDirectory, precision: str, threads: int) -> Engine:
    """The engine for `precision`, ready: int8 from what `python -m model.export` prepared, others from the weights.

    Raises:
        ModelError: there is no export, it is another model's, or the engine does not compute what it should, or not
            in this precision, on this CPU.
    """
    if precision == "fp32":
        return OpenVinoEngine(directory, build_graph(directory, precision), precision, threads)
    if precision not in PRECISIONS:
        raise ModelError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    golden = check_export(directory, precision)
    if precision == "bf16":
        engine = OpenVinoEngine(directory, build_graph(directory, precision), precision, threads)
    else:
        folder = directory.path / EXPORT
        group_size = read_quantization(folder).group_size
        engine = OpenVinoEngine(directory, folder / GRAPH, precision, threads, group_size)
    check_golden(engine, golden, directory)
    return engine
