"""One run: reads the input, computes scores on Ray, writes each part, and joins the parts."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple, Protocol

from model.labels import Scores
from serve_app.identity import Identity
from serve_app.score import manifest, memory, write_parquet
from serve_app.score.arrow import writing
from serve_app.score.computed import Computed
from serve_app.score.errors import ScoreError
from serve_app.score.formats import Format
from serve_app.score.memory import Memory, Plan
from serve_app.score.parts import Kept, Parts
from serve_app.score.rows import Part
from serve_app.score.shared import SharedAnswers
from serve_app.score.source import Source
from serve_app.score.store import Store
from serve_app.score.write import Scored, Writer, failed, scored

Report = Callable[["Progress"], None]


@dataclass
class Progress:
    """How far a run has come."""

    rows: int = 0
    kept_rows: int = 0
    """The rows among them that an earlier run finished."""
    errors: int = 0
    truncated: int = 0
    read_bytes: int = 0
    size: int = 0

    def to_dict(self) -> dict[str, int]:
        """As plain data."""
        return asdict(self)


class Scorer(Protocol):
    """Computes the scores of parts, as `Pool` does."""

    @property
    def window(self) -> int:
        """How many submitted parts keep it busy."""
        ...

    def submit(self, number: int, texts: Sequence[str]) -> None:
        """Start to compute the scores of a part's texts."""
        ...

    def result(self, number: int) -> Computed:
        """Wait for the scores of a part."""
        ...


class _Pending(NamedTuple):
    part: Part
    plan: Plan
    kept: Kept | None
    found: dict[int, tuple[Scores, bool]]
    """Scores from Redis and whether the text was truncated, by the number of the new text."""
    read_bytes: int


class Run:
    """Scores a source into parts in a store, and joins the parts to the output."""

    def __init__(
        self, source: Source, form: Format, identity: Identity, store: Store, pool: Scorer, shared: SharedAnswers
    ) -> None:
        self._source = source
        self._form = form
        self._labels = identity.labels
        self._store = store
        self._pool = pool
        self._shared = shared
        self._writer = Writer(source, form)
        self._memory = Memory()
        self._parts = Parts(store, len(identity.labels))
        self._names: list[str] = []
        """The files of the finished parts."""
        self.progress = Progress(size=source.size)

    def score(self, report: Report) -> int:
        """Finish every part, and return the number of parts.

        Raises:
            ScoreError: the input cannot be read, a part cannot be written, or no worker can compute.
        """
        pending: collections.deque[_Pending] = collections.deque()
        parts = 0
        for part in self._source.parts():
            pending.append(self._begin(part))
            parts += 1
            while len(pending) >= self._pool.window:
                self._end(pending.popleft(), report)
        while pending:
            self._end(pending.popleft(), report)
        return parts

    def assemble(self, parts: int) -> None:
        """Join the parts to the output, and remove them.

        Raises:
            ScoreError: a part cannot be read, or the output cannot be written.
        """
        if missing := set(self._names) - set(self._store.names()):  # before anything is written to the output
            raise ScoreError(
                f"{self._store.output}.parts: {len(missing)} finished parts are gone; run the same command again"
            )
        with writing(self._store.output), self._store.assemble() as output:
            if self._form.kind == "parquet":
                write_parquet.merge(self._data(parts), output, self._writer.schema)
            else:
                output.write(self._writer.head())
                for data in self._data(parts):
                    output.write(data)
        manifest.end(self._store)

    def _data(self, parts: int) -> Iterator[bytes]:
        for number in range(parts):
            yield self._parts.data(number)

    def _begin(self, part: Part) -> _Pending:
        plan = self._memory.plan(part)
        finished = self._parts.finished(part, plan)
        found: dict[int, tuple[Scores, bool]] = {}
        if finished is not None:
            memory.fill(plan.new, finished[1].scores, finished[1].truncated)
        else:
            found = self._shared.get(plan.keys)
            texts = [text for number, text in enumerate(plan.texts) if number not in found]
            if texts:
                self._pool.submit(part.number, texts)
        return _Pending(part, plan, finished[0] if finished else None, found, self._source.read_bytes)

    def _end(self, pending: _Pending, report: Report) -> None:
        part, plan, kept = pending.part, pending.plan, pending.kept
        if kept is None:
            computed = self._computed(pending)
            memory.fill(plan.new, computed.scores, computed.truncated)
            results = [self._result(part, number, plan) for number in range(len(part.rows))]
            errors = sum(result.error is not None for result in results)
            truncated = sum(bool(result.truncated) for result in results)
            kept = Kept(part.number, part.first, len(part.rows), errors, truncated)
            with writing(self._store.output):
                data = self._writer.part(part, results)
            self._parts.keep(kept, data, computed)
        else:
            self.progress.kept_rows += kept.rows
        self._names.append(kept.name)
        self.progress.rows += kept.rows
        self.progress.errors += kept.errors
        self.progress.truncated += kept.truncated
        self.progress.read_bytes = pending.read_bytes
        report(self.progress)

    def _computed(self, pending: _Pending) -> Computed:
        """The scores of the part's new texts, from workers and from Redis."""
        plan, found = pending.plan, pending.found
        computes = len(found) < len(plan.new)
        fresh = self._pool.result(pending.part.number) if computes else Computed([], [])
        if found or self._shared.writes:
            rest = [number for number in range(len(plan.new)) if number not in found]
            new = dict(zip(rest, zip(fresh.scores, fresh.truncated, strict=True), strict=True))
            self._shared.put({plan.keys[number]: value for number, value in new.items()})
            both = found | new
            return Computed(*zip(*(both[number] for number in range(len(plan.new))), strict=True)) if both else fresh
        return fresh

    def _result(self, part: Part, number: int, plan: Plan) -> Scored:
        answer, row = plan.answers[number], part.rows[number]
        if answer is None:
            return failed(f"row {part.first_in_file + number + 1}: {row.error}", row.raw, self._labels)
        return scored(answer.scores, self._labels, truncated=answer.truncated)
