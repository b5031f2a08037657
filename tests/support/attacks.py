"""Ways in which a few anonymous callers could occupy the model, each within the documented limits."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence

import orjson

from benchmarks.abuse.hostile import Hostile, post
from benchmarks.overload.connections import Answer, Connections

TEXTS = 1000
SPLIT_CLIENTS, HANG_UP_S, COME_AGAIN_S = 12, 0.15, 2.0
_SPLIT_WORD = "zx" * 50  # as many tokens as characters, all of which a tokenizer reads before it truncates
_SPLIT_WORDS, _SPLIT_TEXTS = 980, 10
_DENSE = "!?.,;:"
_numbers = itertools.count()

Attack = Callable[[Connections, Hostile], Awaitable[object]]


def dense_texts(number: int, characters: int = 510) -> list[str]:
    """New texts with a token per character, four times as many as usual."""
    return ["".join(random.choices(_DENSE, k=characters)) for _ in range(number)]


def split_texts() -> list[str]:
    """Almost 1 MiB of new texts whose words split into single characters."""
    words = " ".join([_SPLIT_WORD] * _SPLIT_WORDS)
    return [f"{next(_numbers)} {words}" for _ in range(_SPLIT_TEXTS)]


def one_word_text() -> str:
    """A new text of many bytes and one token."""
    return str(next(_numbers)).rjust(200, "y")


def body(texts: Sequence[str]) -> bytes:
    return orjson.dumps({"text": texts})


async def three_dense_lists(connections: Connections, _: Hostile) -> None:
    """Three lists of 518 KB, each four times as much work as estimated from its bytes."""
    async with asyncio.TaskGroup() as lists:
        for _number in range(3):
            lists.create_task(connections.post(body(dense_texts(TEXTS))))
            await asyncio.sleep(2)


async def splitting_words(_: Connections, them: Hostile) -> None:
    """Clients that disconnect before their texts can be tokenized, and return."""

    async def come_and_go() -> None:
        while True:
            await asyncio.sleep(random.uniform(0, COME_AGAIN_S))
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await them.go(post(body(split_texts())), HANG_UP_S)

    await asyncio.gather(*(come_and_go() for _ in range(SPLIT_CLIENTS)))


async def cheap_bytes_then_a_flood(connections: Connections, _: Hostile) -> None:
    """A hundred texts that lower the estimate per byte, then minutes of work that are estimated as a moment's."""
    for _number in range(100):
        await connections.post(body([one_word_text()]))
    await asyncio.gather(*(connections.post(body(dense_texts(TEXTS))) for _ in range(6)))


async def at_once(connections: Connections, lists: Sequence[Sequence[str]]) -> list[Answer]:
    """Post long lists, all at the same time."""
    return await asyncio.gather(*(connections.post(body(texts)) for texts in lists))
