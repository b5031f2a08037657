"""Files and folders that take long to make: they are there whole or not at all, also after Ctrl-C."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """A path to make a file or folder at, which is moved to `target` once the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # beside the target, since a move to another mount is a copy
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        part = Path(folder) / target.name
        yield part
        if target.is_dir():  # half of one, of a version that made it in its place
            shutil.rmtree(target)
        part.replace(target)
