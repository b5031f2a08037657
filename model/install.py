"""Puts the files of a model into their directory together, so that a failure never leaves half of them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from model.directory import CONFIG
from model.errors import ModelError
from model.manifest import FILE_NAME
from model.tokenizer import TOKENIZER_FILES
from model.weights import INDEX, WEIGHTS

_NAMES = (CONFIG, WEIGHTS, INDEX, *TOKENIZER_FILES)
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def is_model_file(name: str) -> bool:
    """Whether a file of this name belongs to a model: configuration, weights in safetensors, or tokenizer."""
    return name in _NAMES or _SHARD.fullmatch(name) is not None


@contextlib.contextmanager
def staging(directory: Path, prefix: str) -> Iterator[Path]:
    """A folder inside `directory`, which is made if necessary, for files that `install` moves to `directory`.

    Afterwards the folder is removed, and so is `directory` if it was made here and nothing was installed.

    Raises:
        ModelError: nothing can be written there.
    """
    made = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=prefix, ignore_cleanup_errors=True) as folder:
            # inside, since a directory may be a mount, and a move to another mount is a copy
            yield Path(folder)
    except (FileExistsError, NotADirectoryError):
        raise ModelError(f"{directory} is no folder, and cannot become one") from None
    except OSError as error:
        raise ModelError(f"{directory} cannot be written to ({error.strerror or error})") from None
    finally:
        if made:
            with contextlib.suppress(OSError):
                directory.rmdir()


def install(staged: Path, directory: Path) -> None:
    """Move each file of `staged` to `directory`, the manifest last, and remove model files that `staged` lacks.

    Signals are held back meanwhile. Other files, such as a README.md, stay as they are.
    """
    names = sorted((file.name for file in staged.iterdir() if file.is_file()), key=lambda name: name == FILE_NAME)
    with signals_wait():
        for name in names:
            (staged / name).replace(directory / name)
        for file in list(directory.iterdir()):
            if is_model_file(file.name) and file.name not in names:
                file.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: a reader finds the old text or the new one, and a failure leaves the old."""
    new = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be written ({error.strerror})") from None
    finally:
        new.unlink(missing_ok=True)


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Hold back Ctrl-C, SIGTERM and SIGHUP until afterwards; other threads than the main one never get them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)
