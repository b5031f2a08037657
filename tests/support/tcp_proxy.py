"""A TCP proxy on loopback that can delay data, or accept data without passing it on."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from serve_app.local.ports import free_port


class TcpProxy:
    """Passes bytes between `port` and the loopback port `to`, in its own thread.

    `delay_s` delays each part of an answer; while `swallow` is set, nothing passes in either direction.
    New connections lead to `to` as it is then.
    """

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self.to = to
        self.delay_s = 0.0
        self.swallow = False
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        listen = asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(listen, self._loop).result(10)

    def stop(self) -> None:
        if self._server is None:
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self.to)
            with contextlib.closing(back_writer):
                ways = [
                    asyncio.create_task(self._pass(reader, back_writer, slow=False)),
                    asyncio.create_task(self._pass(back_reader, writer, slow=True)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool) -> None:
        while part := await reader.read(65536):
            if self.swallow:
                continue
            if slow and self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(part)
            await writer.drain()
