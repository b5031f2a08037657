"""The job that a command line describes, and the checks before it starts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from model.directory import open_directory
from model.errors import ModelError
from serve_app.identity import Identity, identify
from serve_app.score import manifest
from serve_app.score.errors import ScoreError
from serve_app.score.formats import Format, format_of
from serve_app.score.remote_store import RemoteStore
from serve_app.score.source import Source, open_source
from serve_app.score.store import LocalStore, Store
from serve_app.score.urls import is_same, is_url, local_path
from serve_app.score.write import Writer
from serve_app.settings import Settings, explain

LOCAL = "local"
"""The address that starts a Ray for this run on this machine."""
SCORING = "scoring"
"""The stage that begins when a worker has loaded the model."""


@dataclass(frozen=True, slots=True)
class Job:
    """The arguments of the command line."""

    input: str
    output: str
    column: str = "text"
    address: str = LOCAL
    threads: int = 1
    """CPUs of each worker."""
    workers: int | None = None
    write_cache: bool = False

    def dump(self) -> bytes:
        """The job as JSON; a path may have bytes that are not UTF-8, which orjson does not take."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Job:
        """Read the JSON of `dump`."""
        return cls(**json.loads(data))


@dataclass(frozen=True)
class Prepared:
    """A job that has passed the checks."""

    settings: Settings
    identity: Identity
    source: Source
    form: Format
    store: Store
    manifest: dict[str, Any]

    @property
    def parts_place(self) -> str:
        """Path or URL of the folder of parts, for messages."""
        return f"{self.store.output}.parts"


def prepare(job: Job) -> Prepared:
    """Check everything that the job needs. Writes nothing.

    Raises:
        ScoreError: the job cannot start.
    """
    _check_arguments(job)
    try:
        settings = Settings()
        directory = open_directory(settings.model_dir)
        identity = identify(directory, settings.precision, settings.max_tokens)
    except ValidationError as error:
        raise ScoreError("; ".join(explain(error))) from None
    except ModelError as error:
        raise ScoreError(str(error)) from None
    if job.write_cache and settings.redis_url is None:
        raise ScoreError("--write-cache needs REDIS_URL; set it, or leave out --write-cache")
    form = format_of(job.output)
    store = store_of(job.output)
    source = open_source(job.input, job.column, identity.labels, settings.max_text_chars, job.output)
    Writer(source, form)
    wanted = manifest.manifest_of(source, form, identity)
    if not manifest.is_finished(store, wanted):
        manifest.check(store, wanted, f"{store.output}.parts")
        if isinstance(store, LocalStore):
            _check_space(store, source, form)
    return Prepared(settings, identity, source, form, store, wanted)


def _check_arguments(job: Job) -> None:
    """Check what can be known without a look at any file.

    Raises:
        ScoreError: an argument is wrong.
    """
    if not job.input:
        raise ScoreError("INPUT is empty; name a file, a folder, a glob or a URL")
    if not job.output:
        raise ScoreError("OUTPUT is empty; name a file or a URL")
    if is_same(job.input, job.output):
        raise ScoreError("OUTPUT is the INPUT; choose another output")
    try:
        job.column.encode()
    except UnicodeEncodeError:
        raise ScoreError(f"--column {job.column} is not UTF-8, which names of columns are") from None


def store_of(output: str) -> Store:
    """The store for a path or URL.

    Raises:
        ScoreError: the folder or file system of the output does not exist.
    """
    return RemoteStore(output) if is_url(output) else LocalStore(local_path(output))


def _check_space(store: LocalStore, source: Source, form: Format) -> None:
    """Raise an error if the disk cannot hold parts and output, each of which is larger than the input."""
    if form.compression or source.format.compression or "parquet" in (form.kind, source.format.kind):
        return  # the size is not predictable
    needed = 2 * source.size - store.used_bytes()
    if needed > (free := store.free_bytes()):
        raise ScoreError(
            f"{store.output}: parts and output need about {_giga(needed)} more, and {_giga(free)} are free; free some,"
            " write elsewhere, or add .gz to the name"
        )


def _giga(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
