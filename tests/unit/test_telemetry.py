"""Nothing here reports anything to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.service import REPOSITORY


def test_openvino_reports_nothing(tmp_path: Path) -> None:
    script = "import model.engine, openvino, sys; assert sys.modules['openvino_telemetry'] is None"
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == [], "it keeps its consent and its client's number in the home"
