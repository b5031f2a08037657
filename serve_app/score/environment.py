"""Environment variables of the Ray that a run starts on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from serve_app.local.environment import DEFAULTS, TOKEN_FILE, token_file
from serve_app.local.loopback import no_proxy

REPOSITORY = Path(__file__).resolve().parents[2]
_RAYS = ("RAY_ADDRESS", "RAY_AUTH_TOKEN", TOKEN_FILE)
"""Variables that would make it join another Ray."""


def own_ray(folder: Path, user: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The user's variables, and those for a Ray that keeps its files in `folder` and accepts only this run."""
    defaults = {name: value for name, value in DEFAULTS.items() if not name.startswith("RAY_SERVE_")}
    token = str(token_file(folder))
    ours = {"RAY_TMPDIR": str(folder), "TMPDIR": str(folder), TOKEN_FILE: token, "RAY_AUTH_MODE": "token"}
    kept = {name: value for name, value in user.items() if name not in _RAYS}
    return {**defaults, **kept, **ours, **no_proxy(user), **with_path(user)}


def with_path(user: Mapping[str, str] = os.environ) -> dict[str, str]:
    """PYTHONPATH with this repository first, so that Ray's workers can import it."""
    path = user.get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{path}" if path else str(REPOSITORY)}
