"""Shows the progress of a run: a bar on a terminal, elsewhere a line every 30 s."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_LINE_EVERY_S = 30.0


class Display:
    """Shows stages and progress on the console while the block runs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), console=console
        )
        self._task = self._bar.add_task("starting", total=None, text="")
        self._shown = console.is_terminal
        self._printed_at = time.monotonic()
        self._began: tuple[float, int, int] | None = None
        """Time of the first part of this run, and the rows and bytes done by then."""

    def __enter__(self) -> Display:
        if self._shown:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._bar.stop()

    def stage(self, stage: str) -> None:
        """Show the name of the stage that begins."""
        self._bar.update(self._task, description=stage)

    def progress(self, progress: dict[str, Any]) -> None:
        """Show how far the run has come; speed and time left count only the rows that this run scores."""
        now = time.monotonic()
        rows, done, size = progress["rows"], progress["read_bytes"], progress["size"]
        if self._began is None or progress["rows"] == progress["kept_rows"]:
            self._began = (now, rows, done)
        text = describe(progress, now - self._began[0], rows - self._began[1], done - self._began[2])
        self._bar.update(self._task, description="scoring", total=size, completed=done, text=text)
        if not self._shown and now - self._printed_at >= _LINE_EVERY_S:
            self._printed_at = now
            self._console.print(f"scoring: {text}", markup=False)


def describe(progress: dict[str, Any], seconds: float, rows: int, read_bytes: int) -> str:
    """Rows done, rows/s and time left, computed from `rows` and `read_bytes` in `seconds`, as one line."""
    text = f"{progress['rows']:,} rows"
    if seconds > 0 and rows > 0:
        text += f", {rows / seconds:,.0f} rows/s"
        if read_bytes > 0:
            text += f", {_clock((progress['size'] - progress['read_bytes']) * seconds / read_bytes)} left"
    if progress["errors"]:
        text += f", {progress['errors']:,} with an error"
    return text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
