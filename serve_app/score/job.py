"""What a run is to do, and what can be found wrong with it before anything is started."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from model.directory import open_directory
from model.errors import ModelError
from serve_app.identity import Identity, identify
from serve_app.score import manifest
from serve_app.score.errors import ScoreError
from serve_app.score.formats import Format, format_of
from serve_app.score.source import Source, open_source
from serve_app.score.store import LocalStore, Store, store_of
from serve_app.score.write import Writer
from serve_app.settings import Settings, explain

LOCAL = "local"
"""The address of a Ray of the run's own, on this machine."""
SCORING = "scoring"
"""The stage that begins once a worker has its model."""


@dataclass(frozen=True, slots=True)
class Job:
    """The command line."""

    input: str
    output: str
    column: str = "text"
    address: str = LOCAL
    threads: int = 1
    """Of each worker."""
    workers: int | None = None
    write_cache: bool = False

    def dump(self) -> bytes:
        """As JSON."""
        return orjson.dumps(asdict(self))

    @classmethod
    def load(cls, data: bytes) -> Job:
        """What `dump` wrote."""
        return cls(**orjson.loads(data))


@dataclass(frozen=True)
class Prepared:
    """A job that can begin."""

    settings: Settings
    identity: Identity
    source: Source
    form: Format
    store: Store
    manifest: dict[str, Any]

    @property
    def parts_place(self) -> str:
        """What the folder of the parts is called."""
        return f"{self.store.output}.parts"


def prepare(job: Job) -> Prepared:
    """Look at everything that the job needs, and write nothing.

    Raises:
        ScoreError: it cannot begin.
    """
    try:
        settings = Settings()
        directory = open_directory(settings.model_dir)
        identity = identify(directory, settings.precision, settings.max_tokens)
    except ValidationError as error:
        raise ScoreError("; ".join(explain(error))) from None
    except ModelError as error:
        raise ScoreError(str(error)) from None
    form = format_of(job.output)
    store = store_of(job.output)
    if store.exists() and manifest.DONE not in store.names():
        raise ScoreError(f"{job.output} exists; remove it, or choose another output")
    source = open_source(job.input, job.column, identity.labels, settings.max_text_chars)
    Writer(source, form)
    wanted = manifest.manifest_of(source, form, identity)
    manifest.check(store, wanted, f"{store.output}.parts")
    if isinstance(store, LocalStore):
        _check_room(store, source, form)
    return Prepared(settings, identity, source, form, store, wanted)


def _check_room(store: LocalStore, source: Source, form: Format) -> None:
    """Refuse where parts and output, each larger than the input, cannot have room."""
    if form.compression or source.format.compression or "parquet" in (form.kind, source.format.kind):
        return  # how large it will be is not known
    needed = 2 * source.size - store.used()
    if needed > (room := store.room()):
        raise ScoreError(
            f"{store.output}: parts and output need about {_giga(needed)} more, and {_giga(room)} are free; free some,"
            " or choose an output elsewhere or with .gz behind"
        )


def _giga(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
