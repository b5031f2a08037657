"""The columns of the benchmark: the stacks, and the answers that each must give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks import stacks
from benchmarks.against import prepare_model
from benchmarks.golden import TOLERANCE, golden_answers
from benchmarks.loads import Golden
from benchmarks.report import TITLES
from model.golden import GOLDEN_TOLERANCE

MAX_WAIT_S = "30"


@dataclass(frozen=True)
class Column:
    """A stack: the function that starts it, and the POSITIVE scores that it must give within a tolerance."""

    name: str
    start: Callable[[], AbstractContextManager[str]]
    golden: Golden
    tolerance: float = TOLERANCE


def columns(model: Path, build: Path, precision: str, old: Path | None, peers: bool) -> list[Column]:  # noqa: FBT001
    """The plain stack, the lean server and this service; beside them `old`'s engine, and others' servers."""
    fp32, ours = golden_answers(model, "fp32"), golden_answers(model, precision)
    found = [Column("reference", partial(_with_redis, stacks.reference, model, build), fp32)]
    for name in stacks.PEERS if peers else ():
        try:
            stacks.peer_python(name, build)
        except RuntimeError as error:
            Console(stderr=True).print(f"without {TITLES[name]}: {error}", markup=False)
            continue
        found.append(Column(name, partial(stacks.peer, name, model, build), fp32))
    if old is not None:
        # its weights are the same, but its int8 may differ, so its answers are compared with fp32's
        start = partial(stacks.lean, prepare_model(old.resolve()), precision, build, old.resolve())
        found.append(Column("old", start, fp32, TOLERANCE if precision == "fp32" else GOLDEN_TOLERANCE))
    found.append(Column("lean", partial(stacks.lean, model, precision, build), ours))
    # the others refuse nothing, and on a slow CPU the novel load is more than two seconds of work
    patient = partial(stacks.ours, SENTIMENT_MAX_WAIT_S=MAX_WAIT_S)
    found.append(Column("ours", partial(_with_redis, patient, model, build), ours))
    return found


@contextmanager
def _with_redis(
    start: Callable[[Path, str, Path], AbstractContextManager[str]], model: Path, build: Path
) -> Iterator[str]:
    """Start a stack that caches in an empty Redis."""
    with stacks.redis() as redis_url, start(model, redis_url, build) as url:
        yield url
