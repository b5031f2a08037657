"""The Redis tier against servers and proxies that are old, strict, far, or reached in other ways."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import KEY_PASSWORD, self_signed
from tests.support.ingress_parts import Make, warnings
from tests.support.redis_server import RedisServer
from tests.support.resp_server import Answer, RespServer
from tests.support.tcp_proxy import TcpProxy
from tests.support.wait import until_async

SECRET = "hush-hush"  # noqa: S105


async def shared(make: Make, server: RedisServer, caplog: pytest.LogCaptureFixture, **settings: object) -> None:
    """Two replicas with these settings share their answers."""
    first, second = make(**settings), make(**settings)
    for each in (first, second):
        each.predictor.start()
        await until_async(lambda each=each: each.up is not None, "Redis was tried")  # type: ignore[misc]
        assert each.up == 1, warnings(caplog)
    assert await first.hit() == 0
    await until_async(lambda: server.client.dbsize() or server.client.info("keyspace"), "it is in Redis")
    assert await second.hit() == 1
    assert second.model.calls == []
    assert warnings(caplog) == []


def without_hello(words: list[bytes]) -> bytes | None:
    """Redis before 6, and most proxies."""
    return b"-ERR unknown command `%b`\r\n" % words[0] if words[0].upper() in (b"HELLO", b"CLIENT") else None


def like_a_strict_proxy(words: list[bytes]) -> bytes | None:
    """As twemproxy does: it closes the connection on whatever it does not know."""
    return None if words[0].upper() in (b"MGET", b"SET", b"GET", b"AUTH") else b""


def password_alone(words: list[bytes]) -> bytes | None:
    """Redis before 6, which has no users."""
    if words[0].upper() == b"AUTH" and len(words) > 2:
        return b"-ERR wrong number of arguments for 'auth' command\r\n"
    return without_hello(words)


@pytest.mark.parametrize("answer", [without_hello, like_a_strict_proxy, password_alone])
@pytest.mark.parametrize("password", ["", "a/b"])
async def test_servers_and_proxies_that_know_no_hello_are_used(
    replica: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, answer: Answer, password: str
) -> None:
    redis_server.client.config_set("requirepass", password)
    user = "default" if password and answer is password_alone else ""
    async with RespServer(answer, redis_server.port).running() as proxy:
        await shared(
            replica,
            redis_server,
            caplog,
            redis_url=f"127.0.0.1:{proxy.port}",
            redis_password=password,
            redis_username=user,
        )
        assert {b"MGET", b"SET"} <= set(proxy.commands) <= {b"MGET", b"SET", b"AUTH"}


@pytest.mark.parametrize(
    "options",
    [
        "/3",
        "?db=3",
        "?protocol=3",
        "?protocol=2&client_name=sentiment&health_check_interval=1",
        "?socket_timeout=5&socket_connect_timeout=2&socket_keepalive=yes&max_connections=10&socket_read_size=4096",
    ],
)
async def test_options_of_redis_py_are_used(
    replica: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, options: str
) -> None:
    await shared(replica, redis_server, caplog, redis_url=f"redis://127.0.0.1:{redis_server.port}{options}")
    assert list(redis_server.client.info("keyspace")) == ["db3" if "3" in options[:5] else "db0"]


async def test_a_user_with_a_password_is_used(
    replica: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.client.acl_setuser(
        "ann", enabled=True, passwords=["+a/b#c?d@e%f"], keys="*", commands=["+mget", "+set"]
    )
    await shared(
        replica,
        redis_server,
        caplog,
        redis_url=f"redis://bob:wrong@127.0.0.1:{redis_server.port}",
        redis_username="ann",
        redis_password="a/b#c?d@e%f",  # noqa: S106
    )


async def test_a_unix_socket_is_used(replica: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "redis socket"
    server = RedisServer(tmp_path, "--unixsocket", str(path))
    server.start()
    try:
        await shared(replica, server, caplog, redis_url=f"unix://{str(path).replace(' ', '%20')}?db=1")
    finally:
        server.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of a certificate for localhost that signs itself, and of its key."""
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.mark.parametrize("options", ["ssl_ca_certs={}", "ssl_cert_reqs=none"])
async def test_tls_is_used(
    replica: Make,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    certificate: tuple[Path, Path],
    options: str,
) -> None:
    cert, key = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key, KEY_PASSWORD)
    async with RespServer(lambda _: None, redis_server.port).running(context) as proxy:
        await shared(replica, redis_server, caplog, redis_url=f"rediss://localhost:{proxy.port}?{options.format(cert)}")
        stranger = replica(redis_url=f"rediss://localhost:{proxy.port}")
        stranger.predictor.start()
        await until_async(lambda: stranger.up == 0, "the certificate was refused")
    assert warnings(caplog) == ["Redis is not used, replicas share nothing: the certificate of Redis is not trusted"]


async def test_a_redis_that_takes_longer_to_connect_to_than_to_read_is_used(
    replica: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.client.config_set("requirepass", SECRET)
    slow = TcpProxy(redis_server.port)
    slow.delay_s = 0.03  # for AUTH, SELECT and MGET each
    slow.start()
    try:
        url = f"redis://:{SECRET}@127.0.0.1"
        await replica(redis_url=f"{url}:{redis_server.port}/1").hit()
        await until_async(lambda: "db1" in redis_server.client.info("keyspace"), "it is in Redis")
        # a slow machine may fail to read in time more often than that before it is connected
        mine = replica(redis_url=f"{url}:{slow.port}/1", redis_max_failures=100)
        hits = [await mine.hit()]
        while not hits[-1] and len(hits) < 30:
            mine.predictor._cache._memory.clear()
            hits.append(await mine.hit())
        assert hits[-1] == 1
    finally:
        slow.stop()
    assert warnings(caplog) == []
