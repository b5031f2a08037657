"""`python -m tests.cluster`: the service on a real cluster, changed and broken under load, as a table and JSON."""

from __future__ import annotations

import json
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console

from tests.cluster.api import Api
from tests.cluster.client import Client
from tests.cluster.errors import SuiteError
from tests.cluster.overlays import Overlays
from tests.cluster.report import Row, table, to_json
from tests.cluster.run import choose, namespace, run_steps
from tests.cluster.stage import Stage

INTERRUPTED = 130


def main(
    context: Annotated[
        str, typer.Option(help="Context of the kubeconfig; named, so that no cluster is hit by chance.")
    ],
    image: Annotated[str, typer.Option(help="Image of the project that every node has or can pull.")],
    next_image: Annotated[str, typer.Option(help="A different one, which the upgrade goes to.")],
    only: Annotated[str, typer.Option(help="Run the steps whose name this regular expression finds.")] = "",
    json_file: Annotated[Path, typer.Option("--json", help="Where the figures go.")] = Path("build/cluster-test.json"),
    keep: Annotated[bool, typer.Option(help="Leave the namespace and all in it.")] = False,  # noqa: FBT002
    hits_per_s: Annotated[float, typer.Option(min=1, max=5000, help="Requests a second on cached texts.")] = 100,
    new_per_s: Annotated[float, typer.Option(min=1, max=500, help="Requests a second on new texts.")] = 5,
    storage_class: Annotated[str | None, typer.Option(help="StorageClass of gcs-redis; the cluster's default.")] = None,
    preflight: Annotated[bool, typer.Option(help="Let `apply` check the cluster first.")] = True,  # noqa: FBT002
    kubeconfig: Annotated[str | None, typer.Option(help="Kubeconfig file; default KUBECONFIG, ~/.kube/config.")] = None,
) -> None:
    """Run the steps in a namespace of their own; exit code 1 if a bar is missed or nothing could be measured."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"{time.monotonic() - began:6.0f} s  {line}", markup=False)

    run = secrets.token_hex(3)
    place = f"cluster-test-{run}"
    about: dict[str, Any] = {"context": context, "namespace": place, "image": image, "next_image": next_image}
    about |= {"hits_per_s": hits_per_s, "new_per_s": new_per_s, "complete": False}
    rows: list[Row] = []

    def report(row: Row) -> None:
        rows.append(row)
        for text in row.missed:
            say(f"MISSED {row.step}: {text}")
        write(json_file, to_json(rows, about))

    try:
        steps = choose(only)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if image == next_image:
        raise typer.BadParameter("--image and --next-image are the same")
    signal.signal(signal.SIGTERM, _interrupt)
    code = 0
    try:
        with tempfile.TemporaryDirectory(prefix="cluster-test-") as folder:
            api = Api(kubeconfig, context, place)
            client = Client(kubeconfig, context, place)
            stage = Stage(api, client, Overlays(Path(folder), place, storage_class), image, next_image, say, preflight)
            with namespace(api, run, say, keep=keep):
                try:
                    run_steps(stage, steps, (hits_per_s, new_per_s), report)
                    about["complete"] = True
                finally:
                    stage.close()
    except SuiteError as error:
        console.print(f"error: {error}", markup=False)
        code = 1
    except KeyboardInterrupt:
        console.print("interrupted", markup=False)
        code = INTERRUPTED
    if rows:
        write(json_file, to_json(rows, about))
        wide = Console(highlight=False, width=None if sys.stdout.isatty() else 180)
        wide.print(table(rows))
        wide.print(f"figures: {json_file}", markup=False)
    raise typer.Exit(code or int(any(row.missed for row in rows)))


def write(file: Path, content: dict[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(file)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
