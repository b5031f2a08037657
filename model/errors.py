"""The one error that a user of the model's commands can cause."""

from __future__ import annotations


class ModelError(Exception):
    """A model directory, a data set or a hub cannot be used; the message names it and says what to do."""

    def __init__(self, message: str) -> None:
        """Join the message's lines to one."""
        super().__init__(" ".join(message.splitlines()))
