"""`python -m model.fetch`: fetches the production model from the hub, once, and records every file's hash."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from httpx2 import HTTPError, InvalidURL  # huggingface_hub's HTTP client
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
from model.directory import CONFIG, open_directory
from model.errors import ModelError
from model.install import install, is_model_file, staging
from model.manifest import FILE_NAME, Manifest, read_manifest, sha256, write_manifest
from model.pin import PIN, Pin, read_pin, require_folder, write_pin
from model.weights import WEIGHTS

PRODUCTION_MODEL = "winegarj/distilbert-base-uncased-finetuned-sst2"
# errors of this machine's files; every other OSError is the network's
_LOCAL = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
}


def main(
    repo: Annotated[str, typer.Argument(help="The model's repository on the hub.")] = PRODUCTION_MODEL,
    out: Annotated[Path | None, typer.Option(help="Folder to put it in; models/<name> by default.")] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            help="Commit, tag or branch to fetch; default: the pin's, the manifest's, or main; its commit is recorded."
        ),
    ] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Pin what is fetched, main by default, in --pin-file.")] = False,  # noqa: FBT002
    pin_file: Annotated[Path, typer.Option(dir_okay=False, help="What the model is pinned in; to be committed.")] = PIN,
) -> None:
    """Fetch a model from the hub (HF_ENDPOINT names another) and write its manifest.

    A pinned model is fetched exactly as pinned, or refused. A folder with a manifest is restored to exactly that: the
    same revision, the same hashes. `--revision main` updates it, and `--pin` changes the pin. The folder changes only
    once everything has arrived and can be served.
    """
    if pin:
        require_folder(pin_file)
    target = out or Path("models") / repo.rpartition("/")[2]
    pinned = None if pin else read_pin(pin_file, repo)
    recorded = _recorded(target, repo)
    if revision is None and not pin:
        revision = pinned.revision if pinned else recorded.revision if recorded else None
    commit, names = _look_up(repo, revision)
    expected = _Expected(recorded.files, target / FILE_NAME) if recorded and recorded.revision == commit else None
    if pinned:
        pinned.check(pin_file, commit, names)
        expected = _Expected(pinned.files, pin_file)
    with staging(target, ".fetch-") as staged:
        for name in names:
            _download(repo, commit, name, target, staged, expected)
        manifest = write_manifest(staged, repo.rpartition("/")[2], commit, names)
        try:
            open_directory(staged).check_weights()
        except ModelError as error:
            raise ModelError(str(error).replace(str(staged), repo)) from None
        install(staged, target)
    typer.echo(f"{target} holds {repo} at {commit}, which the service takes as its model_dir")
    if pin:
        write_pin(pin_file, Pin(repo, commit, manifest.files))
        typer.echo(f"pinned in {pin_file}; commit it")
    elif pinned is None:
        typer.echo(f"not pinned: another fetch may find another revision; --pin writes {pin_file}")


@dataclass(frozen=True)
class _Expected:
    """The sha256 of files by name, and the file that lists them."""

    files: dict[str, str]
    source: Path


def _recorded(target: Path, repo: str) -> Manifest | None:
    """The folder's manifest, if it can be read and is of this repository; otherwise everything is fetched."""
    try:
        manifest = read_manifest(target)
    except ModelError:
        return None
    return manifest if manifest and manifest.name == repo.rpartition("/")[2] else None


def _look_up(repo: str, revision: str | None) -> tuple[str, list[str]]:
    """The commit that `revision` stands for, and the files of it that the service needs."""
    with _hub_errors(repo):
        info = HfApi().model_info(repo, revision=revision, timeout=30)
    names = [file.rfilename for file in info.siblings or [] if is_model_file(file.rfilename)]
    whole = [name for name in names if name == WEIGHTS]
    if whole:  # the same weights may be listed in parts too
        names = [name for name in names if name == WEIGHTS or ".safetensors" not in name]
    if CONFIG not in names or not any(name.endswith(".safetensors") for name in names):
        raise ModelError(
            f"{repo} has no {WEIGHTS} with a config.json; other formats can run code and are not loaded; "
            "transformers' save_pretrained writes it"
        )
    if info.sha is None:
        raise ModelError(f"the hub names no commit for {repo}, so its revision cannot be recorded")
    return info.sha, names


def _download(repo: str, commit: str, name: str, target: Path, staged: Path, expected: _Expected | None) -> None:
    """Put one file into `staged`: the one in `target` if it has the expected hash, otherwise the hub's."""
    here = target / name
    wanted = expected.files.get(name) if expected else None
    if wanted is not None and here.is_file() and sha256(here) == wanted:
        typer.echo(f"{name}: already here")
        try:
            (staged / name).hardlink_to(here.resolve())
        except OSError:  # not every file system has links
            shutil.copyfile(here, staged / name)
        return
    with _hub_errors(repo):
        part = Path(hf_hub_download(repo, name, revision=commit, local_dir=staged))
    if expected is not None and wanted is not None and sha256(part) != wanted:
        raise ModelError(
            f"{name} does not match the sha256 in {expected.source}; it was refused; "
            f"without that file everything is fetched anew"
        )


@contextlib.contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """Turn the hub's many errors into one line each."""
    try:
        yield
    except RevisionNotFoundError:
        raise ModelError(f"{repo} has no such revision; --revision main fetches the newest") from None
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise ModelError(_unreachable(repo)) from None
        raise ModelError(f"{repo} is not on the hub, or is private and needs HF_TOKEN") from None
    except HfHubHTTPError as error:
        raise ModelError(f"the hub answered {repo} with HTTP status {error.response.status_code}") from None
    except HFValidationError:
        raise ModelError(f"{repo} is not the name of a repository, such as {PRODUCTION_MODEL}") from None
    except (HTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _LOCAL:
            raise  # such as a full disk, which `staging` reports
        raise ModelError(_unreachable(repo)) from None
    except (InvalidURL, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"what answers for {repo} is no hub; check HF_ENDPOINT and proxies") from None
    except (RuntimeError, ImportError) as error:
        # of the hub's own transfer protocol, which has no error classes, or of a SOCKS proxy without its package
        raise ModelError(f"{repo} cannot be downloaded ({str(error).partition(chr(10))[0]})") from None


def _unreachable(repo: str) -> str:
    return f"the hub cannot be reached for {repo}; check the network, or name a mirror in HF_ENDPOINT"


if __name__ == "__main__":
    run(main)
