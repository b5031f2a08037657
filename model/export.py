"""`python -m model.export DIR`: prepares a faster precision in advance, so that replicas start at once."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import openvino as ov
import typer
from rich.console import Console

from model.choose import MAX_FLIPS, Times, choose, time_groups
from model.command import run
from model.cpu import multiplies_int8
from model.data import Split, load_split, weakness
from model.directory import GOLDEN, ModelDirectory, open_directory
from model.engine import OpenVinoEngine, build_graph, load_engine
from model.errors import ModelError
from model.golden import (
    EXPORT,
    GRAPH,
    GRAPH_FORMAT,
    Golden,
    check_export,
    check_golden,
    score_texts,
)
from model.graph import Scales
from model.install import signals_wait, staging
from model.manifest import sha256
from model.quantization import Quantization

GOLDEN_TEXTS = [
    "I love you.",
    "I hate you.",
    "It could have been so much better, and yet I could not look away.",
    "good",
    "Nobody in the theatre laughed, not even once. " * 12,
]


def main(
    directory: Annotated[Path, typer.Argument(help="The model directory.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder with dev.tsv (UTF-8; sentence, tab, label), or a hub data set, to choose quantization by."
        ),
    ] = None,
) -> None:
    """Write DIR/int8: the graph with int8 matrices, and golden texts that an engine is tested on when it starts.

    With --data, it is the fastest quantization whose answers on those texts agree with fp32's: labels differ on at
    most 0.5 %, and accuracy drops by at most 0.5 points. Fewer than 100 texts, or texts of one label, decide nothing.
    """
    began = time.perf_counter()
    opened = open_directory(directory)
    if data is not None and len(opened.labels) == 1:
        raise ModelError(f"{directory} has one label, so there is no label to be right or wrong about")
    split = None if data is None else load_split(data, "dev", opened.labels)
    if split and (fault := weakness(split)):
        typer.echo(f"warning: dev of {data} has {fault}, so quantization is not chosen by it", err=True)
        split = None
    with Console(stderr=True).status(f"preparing {directory} for int8"):
        chosen = export(opened, split, typer.echo)
    size = sum(file.stat().st_size for file in (directory / EXPORT).iterdir())
    typer.echo(f"{directory / EXPORT}: {size / 1e6:.0f} MB in {time.perf_counter() - began:.1f} s; {describe(chosen)}")


def describe(chosen: Quantization) -> str:
    """The chosen quantization, in words."""
    way = f"groups of {chosen.group_size}, " + (f"smoothing {chosen.smoothing:g}" if chosen.smoothing else "unsmoothed")
    if chosen.fidelity is None:
        return f"{way}, since nothing was measured (--data)"
    if not chosen.fidelity.holds(MAX_FLIPS):
        return f"{way}, which is not near enough to fp32: serve it in fp32"
    return way


def export(
    directory: ModelDirectory, data: Split | None = None, say: Callable[[str], None] = lambda _: None
) -> Quantization:
    """Write and test the int8 export of a model directory, atomically.

    Several exports at once do not disturb each other, nor a replica that starts meanwhile: they write the same files.
    The labelled texts of `data` choose the quantization; without them it is the default. `say` gets lines on that.

    Raises:
        ModelError: the export cannot be written, or its answers differ from the model's.
    """
    target = directory.path / EXPORT
    if target.exists() and not target.is_dir():
        raise ModelError(f"{target} is no folder; remove it")
    with staging(directory.path, ".export-") as folder:
        chosen, scales = Quantization(), None
        if data is not None:
            chosen, scales = choose(directory, data, _times(directory, folder, say), say)
        _write_graph(directory, folder, scales)
        chosen.write(folder)
        golden = _golden(directory, folder)
        check_golden(OpenVinoEngine(directory, folder / GRAPH, "int8", 1, chosen.group_size), golden, directory)
        (folder / GOLDEN).write_text(json.dumps(asdict(golden)), encoding="utf-8")
        with signals_wait():
            target.mkdir(exist_ok=True)
            # file by file, so that an export exists all the time; one without golden texts does not count yet
            for file in sorted(folder.iterdir(), key=lambda file: file.name == GOLDEN):
                file.replace(target / file.name)
    return chosen


def _times(directory: ModelDirectory, folder: Path, say: Callable[[str], None]) -> Times | None:
    if not multiplies_int8():
        say("this CPU has no int8 dot products, so groups are not timed; larger ones are taken to be faster")
        return None
    _write_graph(directory, folder, None)
    return time_groups(directory, folder / GRAPH, say)


def _write_graph(directory: ModelDirectory, folder: Path, scales: Scales | None) -> None:
    graph = build_graph(directory, "int8", scales)
    for index, node in enumerate(graph.get_ordered_ops()):  # OpenVINO's names depend on the nodes made before
        node.set_friendly_name(f"{node.get_type_name()}_{index}")
    graph.output(0).get_tensor().set_names({"scores"})
    try:
        ov.save_model(graph, folder / GRAPH, compress_to_fp16=False)
    except RuntimeError:  # OpenVINO does not say why
        free = shutil.disk_usage(folder).free
        raise ModelError(f"{directory.path / EXPORT} cannot be written; {free / 1e6:.0f} MB are free there") from None


def is_exported(directory: ModelDirectory) -> bool:
    """Whether the directory has an export that belongs to it."""
    try:
        check_export(directory, "int8")
    except ModelError:
        return False
    return True


def _golden(directory: ModelDirectory, folder: Path) -> Golden:
    scores = score_texts(load_engine(directory, "fp32", threads=1), GOLDEN_TEXTS, directory)
    files = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    return Golden(directory.content, files, GOLDEN_TEXTS, scores, GRAPH_FORMAT)


if __name__ == "__main__":
    run(main)
