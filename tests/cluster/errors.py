"""What ends the suite, or one step of it."""

from __future__ import annotations


class SuiteError(Exception):
    """The suite cannot go on: one line that says why."""


class StepFailed(Exception):
    """A step did not come to its end: one line that says why; the next step may still run."""
