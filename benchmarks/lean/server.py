"""The lean server: bare ASGI on one uvicorn, this engine, a dict for a cache, and no Ray.

Its engine is that of the checkout on PYTHONPATH, so that an older one can be measured too:
`PYTHONPATH=CHECKOUT python benchmarks/lean/server.py MODEL PRECISION PORT [CACHE_ENTRIES]`
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import orjson
import typer
import uvicorn

from model.directory import open_directory
from model.engine import Stream, load_engine
from model.tokenizer import TextTokenizer

MAX_TOKENS, PASS_TOKENS, MAX_WAITING, LONG = 512, 256, 10_000, 20_000
MAX_TEXTS, MAX_CHARS, MAX_BODY = 1000, 100_000, 1 << 20
Text = Annotated[str, msgspec.Meta(max_length=MAX_CHARS)]


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """A request's body."""

    text: Annotated[list[Text], msgspec.Meta(max_length=MAX_TEXTS)]


class Model:
    """Answers texts: waiting texts run together, a lone pass on all threads, otherwise in parallel on the streams."""

    def __init__(self, path: Path, precision: str, entries: int) -> None:
        directory = open_directory(path)
        threads = len(os.sched_getaffinity(0))
        self._labels, self._entries = directory.labels, entries
        self._tokenizer = TextTokenizer(path, MAX_TOKENS)
        self._threads = ThreadPoolExecutor(threads)
        self._engine = load_engine(directory, precision, threads)
        self._free: list[Stream] = list(self._engine.streams)
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._pending: dict[str, asyncio.Future[bytes]] = {}
        self._waiting: deque[tuple[str, list[int]]] = deque()
        self._passes: set[asyncio.Task[None]] = set()
        warm_up = self._tokenizer.encode([f"Number {number} of some texts to warm up with." for number in range(64)])
        for stream in {self._engine, *self._engine.streams}:
            stream.score([line.ids for line in warm_up])

    async def answer(self, texts: Sequence[str]) -> list[bytes] | None:
        """The JSON of each text's labels and scores, in order; None if too many texts wait."""
        found = [self._cache.get(text) for text in texts]
        if None not in found:
            for text in texts:
                self._cache.move_to_end(text)
            return cast("list[bytes]", found)
        if len(self._waiting) > MAX_WAITING:
            return None
        missing = dict.fromkeys(text for text, each in zip(texts, found, strict=True) if each is None)
        new = [text for text in missing if text not in self._pending]
        self._pending |= {text: asyncio.get_running_loop().create_future() for text in new}
        futures = {text: self._pending[text] for text in missing}
        short = sum(map(len, new)) < LONG
        lines = self._tokenizer.encode(new) if short else await asyncio.to_thread(self._tokenizer.encode, new)
        self._waiting.extend((text, line.ids) for text, line in zip(new, lines, strict=True))
        self._start()
        return [await futures[text] if each is None else each for text, each in zip(texts, found, strict=True)]

    def _start(self) -> None:
        while self._free and self._waiting:
            idle = len(self._free) == len(self._engine.streams)
            chosen: list[tuple[str, list[int]]] = []
            tokens = 0
            while self._waiting and (not chosen or tokens + len(self._waiting[0][1]) <= PASS_TOKENS):
                chosen.append(self._waiting.popleft())
                tokens += len(chosen[-1][1])
            whole = idle and not self._waiting
            streams = [self._free.pop() for _ in range(len(self._free) if whole else 1)]
            task = asyncio.get_running_loop().create_task(
                self._run(chosen, streams, self._engine if whole else streams[0])
            )
            self._passes.add(task)
            task.add_done_callback(self._passes.discard)

    async def _run(self, chosen: list[tuple[str, list[int]]], streams: list[Stream], stream: Stream) -> None:
        texts, ids = zip(*chosen, strict=True)
        run = asyncio.get_running_loop().run_in_executor(self._threads, stream.score, ids)
        [scored] = await asyncio.gather(run, return_exceptions=True)
        self._free += streams
        self._start()
        if isinstance(scored, BaseException):  # raised to the callers
            for text in texts:
                self._pending.pop(text).set_exception(scored)
            return
        for text, scores in zip(texts, scored, strict=True):
            ranked = sorted(zip(scores, self._labels, strict=True), key=itemgetter(0), reverse=True)
            self._cache[text] = orjson.dumps([{"label": label, "score": score} for score, label in ranked])
            self._pending.pop(text).set_result(self._cache[text])
        while len(self._cache) > self._entries:
            self._cache.popitem(last=False)


class App:
    """POST /project/predict and GET /project/health, in ASGI."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._decode = msgspec.json.Decoder(Body).decode

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        status, body = await self._reply(scope["method"], scope["path"], receive)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, method: str, path: str, receive: Any) -> tuple[int, bytes]:
        if path != "/project/predict":
            return (200, b'{"status":"healthy"}') if path == "/project/health" else (404, b'{"detail":"Not Found"}')
        if method != "POST":
            return 405, b'{"detail":"Method Not Allowed"}'
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
            if len(body) > MAX_BODY:
                return 413, b'{"detail":"Content Too Large"}'
        try:
            texts = self._decode(body).text
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return 422, b'{"detail":"Unprocessable Content"}'
        if (answers := await self._model.answer(texts)) is None:
            return 429, b'{"detail":"Too Many Requests"}'
        return 200, b'{"predictions":[%b]}' % b",".join(answers)


def main(model: Path, precision: str, port: int, entries: int = 100_000) -> None:
    """Serve the model on this port of loopback."""
    app = App(Model(model, precision, entries))
    gc.freeze()
    uvicorn.run(
        app, port=port, loop="uvloop", http="httptools", lifespan="off", log_level="warning", access_log=False,
        date_header=False, server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
