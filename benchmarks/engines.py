"""Engines to compare: the service's own, the ones it replaces, and others that were tried.

Each loader imports its packages when it is called: a process has one engine, and torch and OpenVINO each start their
own threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.whole import made_whole

Run = Callable[[list[list[int]]], list[float]]
"""The POSITIVE score of each sequence of token ids; the sequences of one call are one batch."""


def load(name: str, directory: Path, threads: int) -> Run:
    """The engine of that name (a key of ENGINES) over a model directory."""
    return ENGINES[name](directory, threads)


def _ours(precision: str) -> Callable[[Path, int], Run]:
    def load_ours(directory: Path, threads: int) -> Run:
        from model.directory import open_directory  # noqa: PLC0415
        from model.engine import load_engine  # noqa: PLC0415

        engine = load_engine(open_directory(directory), precision, threads)
        return lambda sequences: [score[1] for score in engine.score(sequences)]

    return load_ours


def _streams(precision: str) -> Callable[[Path, int], Run]:
    """The engine's streams in parallel, each with its part of the sequences."""

    def load_streams(directory: Path, threads: int) -> Run:
        from model.directory import open_directory  # noqa: PLC0415
        from model.engine import load_engine  # noqa: PLC0415

        streams = load_engine(open_directory(directory), precision, threads).streams
        pool = ThreadPoolExecutor(len(streams))

        def run(sequences: list[list[int]]) -> list[float]:
            parts = [sequences[index :: len(streams)] for index in range(len(streams))]
            scores = [0.0] * len(sequences)
            for index, part in enumerate(pool.map(lambda stream, part: stream.score(part), streams, parts)):
                scores[index :: len(streams)] = [score[1] for score in part]
            return scores

        return run

    return load_streams


def _torch(kind: str) -> Callable[[Path, int], Run]:
    def load_torch(directory: Path, threads: int) -> Run:
        import torch  # noqa: PLC0415

        model = _transformers(directory, threads)
        if kind == "bf16":
            model = model.to(torch.bfloat16)
        if kind == "int8":
            model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8)  # type: ignore[no-untyped-call]

        def run(sequences: list[list[int]]) -> list[float]:
            ids, mask = (torch.from_numpy(array) for array in _padded(sequences))
            with torch.inference_mode():
                return _positive(model(input_ids=ids, attention_mask=mask).logits.float().numpy())

        return run

    return load_torch


def _onnxruntime_int8(directory: Path, threads: int) -> Run:
    import onnxruntime  # type: ignore[import-not-found]  # noqa: PLC0415  (of the benchmark's own environment)
    import torch  # noqa: PLC0415
    from onnxruntime.quantization import quantize_dynamic  # type: ignore[import-not-found]  # noqa: PLC0415

    quantized = directory / "onnx" / "int8.onnx"
    if not quantized.is_file():
        model = _transformers(directory, threads)
        model.config.return_dict = False
        arrays = tuple(torch.from_numpy(array) for array in _padded([[101, 2000, 102], [101, 102]]))
        inputs = ["input_ids", "attention_mask"]
        axes = {name: {0: "rows", 1: "length"} for name in inputs}
        with made_whole(quantized) as part:
            exported = part.with_name("model.onnx")
            torch.onnx.export(
                model, arrays, str(exported), input_names=inputs, dynamic_axes=axes, dynamo=False, opset_version=17
            )
            quantize_dynamic(str(exported), str(part))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(quantized), options, providers=["CPUExecutionProvider"])

    def run(sequences: list[list[int]]) -> list[float]:
        ids, mask = _padded(sequences)
        return _positive(session.run(None, {"input_ids": ids, "attention_mask": mask})[0])

    return run


ENGINES: dict[str, Callable[[Path, int], Run]] = {
    "transformers": _torch("fp32"),
    "torch bf16": _torch("bf16"),
    "torch int8": _torch("int8"),
    "ONNX Runtime int8": _onnxruntime_int8,
    "fp32": _ours("fp32"),
    "bf16": _ours("bf16"),
    "int8": _ours("int8"),
    "int8 streams": _streams("int8"),
}


def _transformers(directory: Path, threads: int) -> Any:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForSequenceClassification  # noqa: PLC0415

    torch.set_num_threads(threads)
    return AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()


def _padded(sequences: list[list[int]]) -> Any:
    """Ids and mask, (n, longest), padded with zeros."""
    import numpy as np  # noqa: PLC0415

    ids = np.zeros((len(sequences), max(map(len, sequences))), np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return ids, mask


def _positive(logits: Any) -> list[float]:
    import numpy as np  # noqa: PLC0415

    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return [float(score) for score in odds[:, 1] / odds.sum(axis=1)]
