"""The Redis tier against servers that are closed, broken, or no Redis: no request fails, and the log says why."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import pytest

from tests.support.ingress_parts import Make, warnings
from tests.support.redis_server import RedisServer
from tests.support.resp_server import OK, Answer, RespServer
from tests.support.tcp_proxy import TcpProxy
from tests.support.wait import until_async

SECRET = "hush-hush"  # noqa: S105


def always(answer: bytes) -> Answer:
    return lambda _: answer


def to(command: bytes, answer: bytes, others: bytes = OK) -> Answer:
    return lambda words: answer if words[0].upper() == command else others


NO_PASSWORD = (
    b"-ERR AUTH <password> called without any password configured for the default user. "
    b"Are you sure your configuration is correct?\r\n"
)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (to(b"AUTH", b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"), "refuses the password"),
        (to(b"AUTH", b"-ERR invalid password\r\n"), "refuses the password"),
        (to(b"AUTH", NO_PASSWORD), "has no password, and one is set here"),
        (to(b"AUTH", b"-ERR Client sent AUTH, but no password is set\r\n"), "has no password, and one is set here"),
        (always(b"-NOAUTH Authentication required.\r\n"), "asks for a password (NOAUTH)"),
        (to(b"MGET", b"-NOAUTH Authentication required.\r\n"), "asks for a password (NOAUTH)"),
        (to(b"MGET", b"-NOPERM this user has no permissions to run the 'mget' command\r\n"), "(NOPERM)"),
        (to(b"MGET", b"-LOADING Redis is loading the dataset in memory\r\n"), "loading"),
        (to(b"MGET", b"-MASTERDOWN Link with MASTER is down\r\n"), "Redis"),
        (to(b"MGET", b"-MOVED 3999 127.0.0.1:6381\r\n"), "is a cluster"),
        (to(b"MGET", b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"), "is a cluster"),
        (to(b"MGET", b"-CLUSTERDOWN Hash slot not served\r\n"), "is a cluster"),
        (to(b"MGET", b"-MOVED somewhere else\r\n"), "Redis fails (ValueError)"),
        (to(b"SELECT", b"-ERR DB index is out of range\r\n"), "has no database of this number"),
        (to(b"SELECT", b"-ERR unknown command 'SELECT'\r\n"), "does not know a command"),
        (always(b"-DENIED Redis is running in protected mode because\r\n"), "protected mode"),
        (always(b"-ERR max number of clients reached\r\n"), "as many clients as it accepts"),
        (always(b""), "closes the connection"),
        (always(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak Redis' protocol"),
        (to(b"MGET", OK), "does not speak Redis' protocol"),
        (to(b"MGET", b"*3\r\n$-1\r\n$-1\r\n$-1\r\n"), "does not speak Redis' protocol"),
        (to(b"MGET", b"*-1\r\n"), "does not speak Redis' protocol"),
        (to(b"MGET", b":7\r\n"), "does not speak Redis' protocol"),
        (to(b"MGET", b"$999999999999999999\r\n"), "Redis"),
        (to(b"MGET", b"*2\r\n-ERR one\r\n"), "does not answer in time"),
        (to(b"MGET", b"\xff\xfe\x00\r\n"), "does not speak Redis' protocol"),
    ],
)
async def test_a_redis_that_cannot_be_used_fails_no_request_and_is_logged_once(
    replica: Make, caplog: pytest.LogCaptureFixture, answer: Answer, why: str
) -> None:
    async with RespServer(answer).running() as server:
        checked = replica(redis_url=f"redis://:{SECRET}@127.0.0.1:{server.port}/1")
        checked.predictor.start()
        await until_async(lambda: checked.up == 0, "it is told as not used")
        asked = replica(redis_url=f"redis://:{SECRET}@127.0.0.1:{server.port}/1", redis_timeout_ms=20)
        for each in (checked, asked):
            for text in "abcd":
                began = time.monotonic()
                assert await each.hit(text) == 0
                assert time.monotonic() - began < 0.5
        await until_async(lambda: asked.up == 0, "it is told as not used")
        probes = server.commands.count(b"MGET") + server.commands.count(b"AUTH")
        await until_async(
            lambda: server.commands.count(b"MGET") + server.commands.count(b"AUTH") > probes + 3, "it is probed"
        )
    checked_says, asked_says = warnings(caplog)
    assert checked_says == asked_says
    assert why in checked_says
    assert SECRET not in caplog.text
    assert str(server.port) not in caplog.text


async def test_a_redis_that_is_back_is_logged_once_and_used_again(
    replica: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.client.config_set("requirepass", "right")
    mine = replica(redis_url=redis_server.url, redis_password="wrong\n")  # noqa: S106
    mine.predictor.start()
    await until_async(lambda: mine.up == 0, "it is told as not used")
    assert await mine.hit() == 0
    redis_server.client.config_set("requirepass", "wrong\n")
    await until_async(lambda: mine.up == 1, "it is told as used")
    first, second = warnings(caplog)
    assert first.endswith("refuses the password (WRONGPASS); the password that is set ends in white space")
    assert second == "Redis is used again"


async def test_a_redis_that_is_not_there_is_logged(
    replica: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for url in ("127.0.0.1:1", f"unix://{tmp_path}/none"):
        mine = replica(redis_url=url)
        mine.predictor.start()
        await until_async(lambda mine=mine: mine.up == 0, "it is told as not used")  # type: ignore[misc]
    assert [line.rpartition(": ")[2] for line in warnings(caplog)] == [
        "Redis refuses connections",
        "the socket of Redis does not exist",
    ]


async def test_a_connection_that_redis_closed_while_it_was_idle_costs_nothing(
    replica: Make, redis_server: RedisServer
) -> None:
    writer, reader = replica(redis_url=redis_server.url), replica(redis_url=redis_server.url)
    for number in range(3):
        await writer.hit(f"text {number}")
        await until_async(lambda number=number: len(redis_server.names()) > number, "it is in Redis")  # type: ignore[misc]
        assert await reader.hit(f"text {number}") == 1
        redis_server.client.client_kill_filter(_type="normal", skipme=True)
        await until_async(lambda: len(redis_server.client.client_list()) == 1, "the others are closed")
    assert reader.model.calls == []


@pytest.mark.parametrize(
    "refusal",
    [
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist on disk.\r\n",
        b"-NOPERM this user has no permissions to run the 'set' command\r\n",
    ],
)
async def test_a_redis_that_takes_no_writes_is_read_and_logged_once(
    replica: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, refusal: bytes
) -> None:
    writer = replica(redis_url=redis_server.url)
    await writer.predictor.predict(["known"])
    await until_async(redis_server.names, "it is in Redis")
    async with RespServer(lambda words: refusal if words[0] == b"SET" else None, redis_server.port).running() as proxy:
        mine = replica(redis_url=f"127.0.0.1:{proxy.port}")
        for number in range(6):
            assert await mine.hit(f"new {number}") == 0
            await until_async(lambda number=number: proxy.commands.count(b"SET") > number, "it was written")  # type: ignore[misc]
        assert await mine.hit("known") == 1
    (line,) = warnings(caplog)
    assert line.startswith("Redis accepts no writes, and is still read: Redis ")


async def test_a_name_that_cannot_be_resolved_for_long_delays_no_request(
    replica: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    released = asyncio.Event()

    def hang(*_: object, **__: object) -> None:
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result()
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", hang)
    mine = replica(redis_url="redis://far.away.invalid", redis_probe_s=0.01)
    try:
        for number in range(20):
            began = time.monotonic()
            assert await mine.hit(f"{number}") == 0
            assert time.monotonic() - began < 0.3
        await until_async(lambda: mine.up == 0, "it is told as not used")
    finally:
        released.set()
    assert warnings(caplog) == ["Redis is not used, replicas share nothing: Redis does not answer in time"]


async def test_a_redis_that_answers_later_than_a_read_may_wait_is_not_used_until_it_is_fast(
    replica: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    far = TcpProxy(redis_server.port)
    far.delay_s = 0.1
    far.start()
    try:
        mine = replica(redis_url=f"127.0.0.1:{far.port}")
        mine.predictor.start()
        await until_async(lambda: mine.up is not None, "it was probed")
        assert mine.up == 0
        far.delay_s = 0.0
        await until_async(lambda: mine.up == 1, "it is used")
    finally:
        far.stop()
    assert warnings(caplog) == [
        "Redis is not used, replicas share nothing: Redis does not answer in time",
        "Redis is used again",
    ]


async def test_after_a_failover_that_keeps_connections_open_the_new_master_is_written(
    replica: Make, redis_server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    second, address = RedisServer(tmp_path / "second"), TcpProxy(redis_server.port)
    second.start()
    address.start()
    try:
        mine = replica(redis_url=f"127.0.0.1:{address.port}")
        await mine.hit("before")
        await until_async(redis_server.names, "it is in the first master")
        redis_server.client.execute_command("REPLICAOF", "127.0.0.1", str(second.port))  # type: ignore[no-untyped-call]
        address.to = second.port
        texts = map(str, itertools.count())
        async with asyncio.timeout(15):
            while not second.names():
                await mine.hit(next(texts))
    finally:
        address.stop()
        second.stop()
