"""The one error that a user of the model's commands can cause."""

from __future__ import annotations


class ModelError(Exception):
    """A model directory, a data set or a hub is not what it should be; the message says which and what to do."""

    def __init__(self, message: str) -> None:
        """Make it one line, whatever it quotes."""
        super().__init__(" ".join(message.splitlines()))
