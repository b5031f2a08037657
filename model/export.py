"""`python -m model.export DIR`: prepare a faster precision ahead, so that replicas start at once."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import openvino as ov
import typer
from rich.console import Console

from model.command import run
from model.directory import GOLDEN, ModelDirectory, open_directory
from model.engine import (
    GRAPH,
    GRAPH_FORMAT,
    Golden,
    OpenVinoEngine,
    build_graph,
    check_export,
    check_golden,
    load_engine,
    score_texts,
)
from model.errors import ModelError
from model.install import signals_wait, staging
from model.manifest import sha256

GOLDEN_TEXTS = [
    "I love you.",
    "I hate you.",
    "It could have been so much better, and yet I could not look away.",
    "good",
    "Nobody in the theatre laughed, not even once. " * 12,
]


def main(
    directory: Annotated[Path, typer.Argument(help="The model directory.")],
) -> None:
    """Write DIR/int8: the graph with int8 matrices, and golden texts that an engine is tested on when it starts."""
    with Console(stderr=True).status(f"preparing {directory} for int8"):
        began = time.perf_counter()
        export(open_directory(directory))
    size = sum(file.stat().st_size for file in (directory / "int8").iterdir())
    typer.echo(f"{directory / 'int8'}: {size / 1e6:.0f} MB in {time.perf_counter() - began:.1f} s")


def export(directory: ModelDirectory) -> None:
    """Write and test the int8 export of a model directory, which is there whole or not at all.

    Several exports at once do not disturb each other, nor a replica that starts meanwhile: they write the same files.

    Raises:
        ModelError: the export cannot be written, or its answers are not the model's.
    """
    target = directory.path / "int8"
    if target.exists() and not target.is_dir():
        raise ModelError(f"{target} is no folder; remove it")
    with staging(directory.path, ".export-") as folder:
        graph = build_graph(directory, "int8")
        for index, node in enumerate(graph.get_ordered_ops()):  # OpenVINO's own names count the nodes of the process
            node.set_friendly_name(f"{node.get_type_name()}_{index}")
        graph.output(0).get_tensor().set_names({"scores"})
        try:
            ov.save_model(graph, folder / GRAPH, compress_to_fp16=False)
        except RuntimeError:  # OpenVINO does not say why
            free = shutil.disk_usage(folder).free
            raise ModelError(f"{target} cannot be written; {free / 1e6:.0f} MB are free there") from None
        try:
            golden = _golden(directory, folder)
            check_golden(OpenVinoEngine(directory, folder / GRAPH, "int8", 1), golden, directory)
        except ArithmeticError:
            raise ModelError(f"the outputs of {directory.path} are not finite; train or fetch it again") from None
        (folder / GOLDEN).write_text(json.dumps(asdict(golden)), encoding="utf-8")
        with signals_wait():
            target.mkdir(exist_ok=True)
            # file by file, so that there is no moment without an export; one without golden texts does not count yet
            for file in sorted(folder.iterdir(), key=lambda file: file.name == GOLDEN):
                file.replace(target / file.name)


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
