"""Has uvicorn write an answer's head and body in one system call instead of two.

With two, HAProxy wakes up and writes twice, and then the client wakes up twice.
"""

from __future__ import annotations

from typing import Any

from starlette.types import Message, Send


def in_one_write(send: Send) -> Send:
    """Uvicorn's `send`, with the head held back until the first part of the body; any other `send` unchanged."""
    cycle = getattr(send, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if cycle is None or transport is None:
        return send
    held = _Held(transport)

    async def send_together(message: Message) -> None:
        cycle.transport = held
        try:
            await send(message)
        finally:
            cycle.transport = transport
            if message["type"] != "http.response.start":
                held.release()

    return send_together


class _Held:
    """Stands in for a transport of uvicorn: collects writes until `release`."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._parts.append(data)

    def close(self) -> None:
        self.release()
        self._transport.close()

    def release(self) -> None:
        """Write what was held back."""
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
