"""Times a model replica's start to its first prediction, alone: `python -m benchmarks.startup DIR CPUS`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import psutil

ARGUMENTS = 3
"""With the program's name."""


def main() -> None:
    """Import what a replica imports, load the engine, predict once; print stage times in s and memory in MB."""
    if len(sys.argv) != ARGUMENTS or not sys.argv[2].isdecimal():
        sys.stderr.write("usage: python -m benchmarks.startup DIR CPUS\n")
        sys.exit(2)
    cpus = int(sys.argv[2])
    os.sched_setaffinity(0, range(cpus))
    created = psutil.Process().create_time()
    stages = {"python": time.time() - created}
    began = time.perf_counter()
    import serve_app.classifier.replica  # noqa: F401, PLC0415  (the import is what is measured)
    from model.cpu import choose_precision  # noqa: PLC0415
    from model.directory import open_directory  # noqa: PLC0415
    from model.engine import load_engine  # noqa: PLC0415
    from model.tokenizer import TextTokenizer  # noqa: PLC0415

    stages["imports"] = time.perf_counter() - began
    began = time.perf_counter()
    directory = open_directory(Path(sys.argv[1]))
    stages["hashes checked"] = time.perf_counter() - began
    began = time.perf_counter()
    tokenizer = TextTokenizer(directory.path, 512)
    engine = load_engine(directory, choose_precision("auto"), threads=cpus)
    stages["model loaded"] = time.perf_counter() - began
    began = time.perf_counter()
    engine.score([line.ids for line in tokenizer.encode(["I love you."])])
    stages["first prediction"] = time.perf_counter() - began
    total = time.time() - created
    memory = psutil.Process().memory_info().rss / 1e6
    sys.stdout.write(json.dumps({"total_s": total, "stages_s": stages, "memory_mb": memory}) + "\n")


if __name__ == "__main__":
    main()
