"""Shows a status in the terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kuberay.problem import Problem
from kuberay.status import Status

_PODS, _PROBLEMS, _MESSAGE = 12, 5, 400


def headline(status: Status) -> str:
    """The state in one line."""
    parts = []
    if (state := status.ray_service) is not None:
        parts.append(f"RayService Ready={state.ready}" + (f" ({state.reason})" if state.reason else ""))
        if state.observed_generation != state.generation:
            parts.append(f"generation {state.observed_generation} of {state.generation}")
        if state.upgrade_in_progress:
            parts.append("upgrade in progress")
        parts += [f"{application.name} {application.status}" for application in state.applications]
    parts += [f"{item.name} {item.available}/{item.wanted}" for item in status.workloads]
    ready = sum(pod.ready for pod in status.pods)
    parts.append(f"pods {ready}/{len(status.pods)} ready")
    return ", ".join(parts)


def show(status: Status) -> Group:
    """The state, the pods, and what is wrong."""
    table = Table("pod", "role", "phase", "ready", "restarts", box=None, padding=(0, 2, 0, 0))
    for pod in sorted(status.pods, key=lambda item: item.ready)[:_PODS]:
        table.add_row(pod.name, pod.role, pod.phase, "yes" if pod.ready else "no", str(pod.restarts))
    if len(status.pods) > _PODS:
        table.add_row(f"and {len(status.pods) - _PODS} more", "", "", "", "")
    word = "ready" if status.ready else "not ready"
    first = Text(f"{status.namespace}: {word}. {headline(status)}")
    return Group(first, table, *(_problem(problem) for problem in status.problems[:_PROBLEMS]))


def _problem(problem: Problem) -> Text:
    text = Text(f"{problem.code.name} {problem.subject}: ", style="bold red")
    text.append(problem.message[:_MESSAGE], style="default")
    for line in problem.lines:
        text.append(f"\n    | {line[:_MESSAGE]}", style="dim")
    return text


class Progress:
    """Live on a terminal; elsewhere one line for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True) if console.is_terminal else None
        self._began = time.monotonic()
        self._last = ""
        self._status: Status | None = None

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, status: Status | None, note: str) -> None:
        """Show a poll's result: a status, or a note if there is none."""
        self._status = status or self._status
        if self._live:
            parts = [show(self._status)] if self._status else []
            waited = f"waiting since {time.monotonic() - self._began:.0f} s"
            self._live.update(Group(*parts, Text(note or waited, style="yellow" if note else "dim")))
            return
        line = note or (headline(self._status) if self._status else "")
        if line != self._last:
            self._console.print(Text(line))
            self._last = line
