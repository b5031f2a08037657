"""`python -m kuberay`; if a package for deploying is missing, it says so in one line."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from kuberay.cli import main
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"kubernetes", "rich", "typer", "yaml"}:
            raise
        sys.exit(f"error: {error.name} is not installed here; `make deploy-tools` installs what deploying needs")
    sys.exit(main(sys.argv[1:]))
