"""Addresses and passwords of Redis as people write them, and as nobody does: each works, or refuses to start."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from serve_app import redis_address as address
from serve_app.local.ports import free_port
from serve_app.metrics import Metrics
from serve_app.settings import Settings, explain
from tests.support.ingress_parts import Replica
from tests.support.redis_server import RedisServer
from tests.support.redis_urls import addresses, passwords

EXAMPLES = 2000
LIMIT_S = 0.05
LOOPBACK = ("127.", "::1", "localhost")


@dataclass
class World:
    """Where the addresses lead: a real Redis, one that hangs, one that speaks HTTP, and nobody."""

    ports: list[str]
    runner: asyncio.Runner
    metrics: Metrics = field(default_factory=Metrics)
    closing: list[asyncio.Task[None]] = field(default_factory=list)
    refused: int = 0
    waits: list[float] = field(default_factory=list)

    async def predict(self, read: Settings, *, started: bool) -> None:
        predictor = Replica(read, self.metrics).predictor
        if started:
            predictor.start()
        for text in "ab":
            began = time.perf_counter()
            outcome = await predictor.predict([text, text])
            self.waits.append(time.perf_counter() - began)
            assert len(outcome.predictions) == 2
        self.closing.append(asyncio.create_task(predictor.close()))

    async def close(self) -> None:
        await asyncio.gather(*self.closing)


def answer_http(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.fixture
def world(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    resolve, connect = socket.getaddrinfo, asyncio.open_connection

    def resolve_here(host: Any, *arguments: Any, **options: Any) -> Any:
        if str(host).startswith(LOOPBACK):
            return resolve(host, *arguments, **options)
        if str(host).startswith("slow"):
            released.wait(0.2)  # a resolver that does not answer
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def connect_here(host: str, port: int, **arguments: Any) -> Any:
        if host[:1].isdigit() and not host.startswith(LOOPBACK):
            await asyncio.Event().wait()  # packets to it would leave this machine
        return await connect(host, port, **arguments)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    monkeypatch.setattr(asyncio, "open_connection", connect_here)
    released = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as silent, asyncio.Runner() as runner:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        speaker = threading.Thread(target=answer_http, args=(listener,), daemon=True)
        speaker.start()
        live = [redis_server.port, silent.getsockname()[1], listener.getsockname()[1], free_port()]
        world = World([str(port) for port in live], runner)
        yield world
        released.set()
        runner.run(world.close())
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        speaker.join(5)


def test_each_address_refuses_to_start_in_one_line_or_delays_no_request(world: World) -> None:
    words = inspect.getsource(address)  # hypothesis makes up parts of these too

    @given(
        st.one_of(addresses(world.ports), addresses(world.ports), st.tuples(st.text(), st.just(""))),
        st.one_of(st.none(), st.none(), passwords),
        st.sampled_from([None, None, "", "7000", "tcp://10.0.0.1:6379", "abc", "0"]),
    )
    @settings(max_examples=EXAMPLES, deadline=None)
    def test(written: tuple[str, str], password: str | None, port: str | None) -> None:
        url, secret = written
        try:
            read = Settings.model_validate(
                {"redis_url": url, "redis_password": password, "redis_fallback_port": port, "redis_probe_s": 60}
            )
        except ValidationError as error:
            (line,) = explain(error)
            assert line.startswith(("REDIS_URL ", "REDIS_PORT ", "SENTIMENT_REDIS_PASSWORD ")), line
            assert "\n" not in line
            for hidden in (url.strip(), secret, password or ""):
                assert len(hidden) < 8 or hidden not in line or hidden in words
            world.refused += 1
            return
        if read.redis_url is not None:
            assert secret not in repr(read) or len(secret) < 8
            world.runner.run(world.predict(read, started=len(url) % 2 == 0))

    test()
    waits = sorted(world.waits)
    assert len(waits) > EXAMPLES / 10
    assert world.refused > EXAMPLES / 10
    assert waits[int(len(waits) * 0.95)] < LIMIT_S + 0.05, "on a busy machine a few take longer"
    assert waits[-1] < 2.0


async def second_is_a_hit(text: str, metrics: Metrics, **given_settings: str) -> None:
    """Of two replicas with these settings the second answers from Redis what the first has had computed."""
    read = Settings.model_validate({**given_settings, "redis_timeout_ms": 1000, "redis_max_failures": 100})
    first, second = (Replica(read, metrics) for _ in range(2))
    assert await first.hit(text) == 0
    await first.predictor.close()  # it writes what is queued
    assert await second.hit(text) == 1, given_settings
    await second.predictor.close()


def test_any_password_works_in_its_setting_and_percent_encoded_in_the_url(redis_server: RedisServer) -> None:
    metrics, number, at = Metrics(), itertools.count(), f"127.0.0.1:{redis_server.port}"

    @given(st.lists(passwords, min_size=5, max_size=5))
    @settings(max_examples=32, deadline=None)
    def test(tried: list[str]) -> None:
        async def run() -> None:
            replicas = []
            for password in tried:  # each of a user of its own, so that all are tried at once
                user = f"user{next(number)}"
                redis_server.add_user(user, password)
                as_they_are = {"redis_url": at, "redis_username": user, "redis_password": password}
                encoded = {"redis_url": f"redis://{user}:{quote(password, safe='')}@{at}/0"}
                for index, each in enumerate((as_they_are, encoded)):
                    replicas.append(second_is_a_hit(f"{user} {index}", metrics, **each))
            await asyncio.gather(*replicas)

        asyncio.run(run())

    test()


def test_any_password_of_a_server_without_users_works(redis_server: RedisServer) -> None:
    metrics, number = Metrics(), itertools.count()

    @given(passwords)
    @settings(max_examples=30, deadline=None)
    def test(password: str) -> None:
        redis_server.client.config_set("requirepass", password)
        at = f"127.0.0.1:{redis_server.port}"
        asyncio.run(second_is_a_hit(f"{next(number)}", metrics, redis_url=at, redis_fallback_password=password))

    test()
