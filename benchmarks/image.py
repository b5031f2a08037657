"""`python -m benchmarks.image`: an image's size, and its time from container start to the first prediction."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.command import run
from benchmarks.containers import ImageError, find_builder, hardened, sizes
from benchmarks.machine import where

PROBE = Path(__file__).with_name("image_probe.py")
TIMEOUT_S = 180.0


def measure(image: str, builder: str) -> dict[str, Any]:
    """Run the image with loopback alone, a read-only root and no capability; sizes in MB, times in seconds.

    Raises ImageError if the image is missing or does not answer.
    """
    with hardened(builder, image) as inside:
        unpacked = sizes(inside)
        began = time.time()
        try:
            done = subprocess.run(  # noqa: S603  (our own command)
                [*inside, "python", "-c", PROBE.read_text(encoding="utf-8"), str(began)],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ImageError(f"{image} did not answer within {TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        raise ImageError(f"{image} did not answer: {done.stderr.strip()[-2000:]}")
    return {"image": image, **unpacked, **json.loads(done.stdout.splitlines()[-1])}


def main(
    image: Annotated[str, typer.Argument(help="The image, built before: make image.")] = "project:dev",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002
) -> None:
    """Print an image's unpacked size and the time from container start to its first prediction."""
    result = measure(image, find_builder())
    if as_json:
        typer.echo(json.dumps(result))
        return
    typer.echo(f"{image}: {result['total_mb']:.0f} MB unpacked, of which {result['models_mb']:.0f} MB are models")
    typer.echo(f"container start to first prediction: {result['first_prediction_s']:.1f} s, on {where()}")


if __name__ == "__main__":
    run(main, ImageError)
