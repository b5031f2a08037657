"""Run token sequences through a model on OpenVINO, in fp32 or int8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from model.batches import Row, pack
from model.directory import GOLDEN, ModelDirectory
from model.errors import ModelError
from model.files import is_file, read_json
from model.graph import DistilBertGraph
from model.labels import Scores, scoring
from model.manifest import sha256
from model.mapped import forget_pages
from model.signal_stack import use_ordinary_stack
from model.tokenizer import TextTokenizer
from model.weights import Weights

PRECISIONS = ("fp32", "int8")
GRAPH = "model.xml"
GRAPH_FORMAT = 2
"""Of the inputs that a graph takes; an export of another format is made again."""

GOLDEN_TOLERANCE = 0.05
"""How far a score may be from fp32's on a golden text; an engine that is wrong is wrong by far more."""

PASS_TOKENS = 512
"""Tokens that one forward pass has, or one longer text: more would hardly be faster, and take memory in proportion."""

_CONFIGURATION = {
    "INFERENCE_PRECISION_HINT": "f32",  # never bf16 behind our back
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "64",
    # kernels are kept by shape; without a bound, memory grows with every new shape
    "CPU_RUNTIME_CACHE_CAPACITY": "64",
    # a thread that is tied to a CPU waits for it while another one is free
    "ENABLE_CPU_PINNING": "NO",
}


class StaleExport(ModelError):
    """There is no export, or it is of other weights or another version, as after training: it is to be made."""


class Lane(Protocol):
    """Scores for token sequences. One call at a time; different sequences of one call may be batched at will."""

    def score(self, sequences: Sequence[Sequence[int]]) -> list[Scores]:
        """Scores of each sequence of token ids, in order."""
        ...


class Engine(Lane, Protocol):
    """A lane with all the threads that there are, and `lanes` of one thread each, which run side by side.

    All threads are the fastest for one text. For many texts lanes are: at the end of each layer, threads that
    share a text wait for the last of them, which may have lost its CPU to another process meanwhile.
    """

    precision: str
    lanes: Sequence[Lane]


@dataclass(frozen=True)
class Golden:
    """Texts with the scores that fp32 gives them, the content that they belong to, and the graph's files."""

    content: str
    files: dict[str, str]
    """The sha256 of each by its name."""
    texts: list[str]
    scores: list[Scores]
    graph_format: int


class OpenVinoLane:
    """One inference request of a compiled graph of the model in `directory`."""

    def __init__(self, directory: ModelDirectory, request: ov.InferRequest) -> None:
        self._request = request
        self._positions = directory.architecture.max_position_embeddings
        self._places = np.arange(self._positions, dtype=np.int32)
        self._scores = scoring(directory.problem_type)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[Scores]:
        """Scores of each sequence of token ids, in order; equal ones are run once, and alike lengths together."""
        asked = [tuple(sequence) for sequence in sequences]
        unique = list(dict.fromkeys(asked))
        scores: dict[tuple[int, ...], Scores] = {}
        for rows in pack([len(sequence) for sequence in unique], PASS_TOKENS, self._positions):
            for row, logits in zip(rows, self._logits(rows, unique), strict=True):
                for index, each in zip(row.indices, logits.tolist(), strict=False):  # those behind are padding
                    scores[unique[index]] = self._scores(each)
        return [scores[sequence] for sequence in asked]

    def _logits(self, rows: Sequence[Row], sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Logits of the sequences in these rows, (rows, most in a row, labels)."""
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


class OpenVinoEngine(OpenVinoLane):
    """A graph on `threads` threads: compiled for all of them together, and where there are several for each alone."""

    def __init__(self, directory: ModelDirectory, graph: ov.Model | Path, precision: str, threads: int) -> None:
        """Compile the graph, and run it once.

        Raises:
            ModelError: its scores are not finite.
        """
        core = ov.Core()
        # read once: what is compiled twice then shares one mapping of the weights
        model = core.read_model(graph) if isinstance(graph, Path) else graph

        def compiled(lanes: int) -> ov.CompiledModel:
            configuration: dict[str, Any] = {
                **_CONFIGURATION,
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": str(lanes),
                "PERFORMANCE_HINT": "LATENCY" if lanes == 1 else "THROUGHPUT",
            }
            return core.compile_model(model, "CPU", configuration)

        super().__init__(directory, compiled(1).create_infer_request())
        self.precision = precision
        self.lanes: Sequence[Lane] = [self]
        if threads > 1:
            split = compiled(threads)
            self.lanes = [OpenVinoLane(directory, split.create_infer_request()) for _ in range(threads)]
        use_ordinary_stack()
        for lane in {self, *self.lanes}:
            try:
                lane.score([[0]])  # the first pass copies the matrices
            except ArithmeticError:
                raise ModelError(f"the outputs of {directory.path} are not finite; train or fetch it again") from None
        if isinstance(graph, Path):
            forget_pages(graph.with_suffix(".bin"))


def build_graph(directory: ModelDirectory, precision: str) -> ov.Model:
    """The graph of a model directory, from its weights.

    Raises:
        ModelError: the weights are not those that the directory was opened with, or not finite.
    """
    weights = Weights(directory.path, directory.architecture.tensors(len(directory.labels)))
    return DistilBertGraph(weights, directory.architecture, int8=precision == "int8").build()


def load_engine(directory: ModelDirectory, precision: str, threads: int) -> Engine:
    """The engine for `precision`, ready: fp32 from the weights, int8 from what `python -m model.export` prepared.

    Raises:
        ModelError: there is no export, it is another model's, or it does not compute what it should on this CPU.
    """
    if precision == "fp32":
        return OpenVinoEngine(directory, build_graph(directory, precision), precision, threads)
    if precision not in PRECISIONS:
        raise ModelError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    golden = check_export(directory, precision)
    engine = OpenVinoEngine(directory, directory.path / precision / GRAPH, precision, threads)
    check_golden(engine, golden, directory)
    return engine


def check_export(directory: ModelDirectory, precision: str) -> Golden:
    """The golden texts of an export that belongs to this very model.

    Raises:
        StaleExport: there is none, or it was made from other weights or by another version.
        ModelError: its files are not those that were made.
    """
    folder = directory.path / precision
    file = folder / GOLDEN
    command = f"run: python -m model.export {directory.path}"
    if not is_file(file):
        raise StaleExport(f"{directory.path} is not prepared for {precision}; {command}")
    try:
        content = read_json(file)
        scores = [tuple(float(score) for score in scores) for scores in content["scores"]]
        texts, files = [*map(str, content["texts"])], dict(content.get("files", {}))
        golden = Golden(content["content"], files, texts, scores, content.get("graph_format", 1))
        if np.shape(scores) != (len(golden.texts), len(directory.labels)):
            raise ValueError
    except (ModelError, ValueError, KeyError, TypeError):
        raise ModelError(f"{file} is not what model.export writes; {command}") from None
    if golden.content != directory.content:
        raise StaleExport(f"{folder} was prepared from other weights; {command}")
    if golden.graph_format != GRAPH_FORMAT:
        raise StaleExport(f"{folder} was prepared by another version of this project; {command}")
    if not golden.files.keys() >= {GRAPH, Path(GRAPH).with_suffix(".bin").name}:
        raise ModelError(f"{file} is not what model.export writes; {command}")
    for name, wanted in golden.files.items():
        if not is_file(folder / name) or sha256(folder / name) != wanted:
            raise ModelError(f"{folder / name} is missing or damaged; {command}")
    return golden


def check_golden(engine: Engine, golden: Golden, directory: ModelDirectory) -> None:
    """Compare the engine with fp32's scores on the golden texts.

    Raises:
        ModelError: a score is off by more than GOLDEN_TOLERANCE: the arithmetic of this CPU or of the
            runtime is not what the export was made for, and answers would be wrong.
    """
    scores = score_texts(engine, golden.texts, directory)
    worst = float(np.abs(np.subtract(scores, golden.scores)).max())
    if not worst <= GOLDEN_TOLERANCE:
        raise ModelError(
            f"{engine.precision} is off by {worst:.3f} on a golden text on this CPU; use SENTIMENT_PRECISION=fp32, "
            f"or, where {directory.path / engine.precision / GOLDEN} was changed, export again"
        )


def score_texts(engine: Engine, texts: Sequence[str], directory: ModelDirectory) -> list[Scores]:
    """The engine's scores of texts.

    Raises:
        ModelError: a score is no number.
    """
    lines = TextTokenizer(directory.path, directory.max_tokens).encode(texts)
    try:
        return engine.score([line.ids for line in lines])
    except ArithmeticError:
        raise ModelError(f"the outputs of {directory.path} are not finite; train or fetch it again") from None
