"""`python -m model.fetch`: bring the production model from the hub, once, with every file's hash recorded."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from httpx2 import HTTPError  # what huggingface_hub speaks HTTP with
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from model.command import run
from model.directory import open_directory
from model.errors import ModelError
from model.manifest import FILE_NAME, read_manifest, sha256, write_manifest
from model.weights import WEIGHTS

PRODUCTION_MODEL = "winegarj/distilbert-base-uncased-finetuned-sst2"
_WANTED = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def main(
    repo: Annotated[str, typer.Argument(help="The model's repository on the hub.")] = PRODUCTION_MODEL,
    out: Annotated[Path | None, typer.Option(help="Folder to put it in; models/<name> by default.")] = None,
    revision: Annotated[
        str | None, typer.Option(help="Commit to fetch; the manifest's, or else main's, which is then recorded.")
    ] = None,
) -> None:
    """Fetch a model from the hub (HF_ENDPOINT names another) and write its manifest.

    A folder that already has a manifest is brought back to exactly that: the same revision, the same hashes.
    """
    target = out or Path("models") / repo.rpartition("/")[2]
    manifest = read_manifest(target) if target.is_dir() else None
    if manifest is not None and revision in (None, manifest.revision):
        expected, revision = manifest.files, manifest.revision
    else:
        expected = {}
    commit, names = _look_up(repo, revision)
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        _download(repo, commit, name, target, expected)
    open_directory(target)
    write_manifest(target, repo.rpartition("/")[2], commit, names)
    typer.echo(f"{target} holds {repo} at {commit}; serve it with SENTIMENT_MODEL_DIR={target}")


def _look_up(repo: str, revision: str | None) -> tuple[str, list[str]]:
    """The commit that `revision` stands for, and the files of it that the service needs."""
    with _hub_errors(repo):
        info = HfApi().model_info(repo, revision=revision, timeout=30)
    names = [file.rfilename for file in info.siblings or [] if file.rfilename in _WANTED]
    if WEIGHTS not in names or "config.json" not in names:
        raise ModelError(f"{repo} has no {WEIGHTS} with a config.json; other formats can run code and are not loaded")
    if info.sha is None:
        raise ModelError(f"the hub names no commit for {repo}, so its revision cannot be recorded")
    return info.sha, names


def _download(repo: str, commit: str, name: str, target: Path, expected: dict[str, str]) -> None:
    """Download one file next to its place, check it, and only then put it there."""
    if name in expected and (target / name).is_file() and sha256(target / name) == expected[name]:
        typer.echo(f"{name}: already here")
        return
    with tempfile.TemporaryDirectory(dir=target, prefix=".fetch-") as folder:
        with _hub_errors(repo):
            part = Path(hf_hub_download(repo, name, revision=commit, local_dir=folder))
        if name in expected and sha256(part) != expected[name]:
            with contextlib.suppress(FileNotFoundError):
                (target / name).unlink()
            raise ModelError(f"{name} does not match the sha256 in {target / FILE_NAME}; it was refused and removed")
        shutil.move(part, target / name)


@contextlib.contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """Turn the hub's many errors into one line each."""
    try:
        yield
    except RevisionNotFoundError:
        raise ModelError(f"{repo} has no such revision") from None
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise ModelError(_unreachable(repo)) from None
        raise ModelError(f"{repo} is not on the hub, or is private and needs HF_TOKEN") from None
    except HfHubHTTPError as error:
        raise ModelError(f"the hub answered {repo} with HTTP status {error.response.status_code}") from None
    except HFValidationError:
        raise ModelError(f"{repo} is not the name of a repository, such as {PRODUCTION_MODEL}") from None
    except (HTTPError, OSError):
        raise ModelError(_unreachable(repo)) from None


def _unreachable(repo: str) -> str:
    return f"the hub cannot be reached for {repo}; check the network, or name a mirror in HF_ENDPOINT"


if __name__ == "__main__":
    run(main)
