"""The Redis tier against servers and proxies that are old, strict, closed, broken, or no Redis at all."""

from __future__ import annotations

import asyncio
import datetime
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from serve_app.admission import Admission
from serve_app.cache.redis import RedisCache
from serve_app.metrics import Metrics
from serve_app.predictor import Predictor
from serve_app.settings import Settings
from tests.fakes import FakeModel
from tests.redis_server import RedisServer
from tests.resp_server import OK, Answer, RespServer
from tests.tcp_proxy import TcpProxy
from tests.wait import until_async

SECRET = "hush-hush"  # noqa: S105
Make = Callable[..., "Replica"]


class Replica:
    """What an ingress replica has between a request and Redis; the model is a fake."""

    def __init__(self, **settings: object) -> None:
        read = Settings.model_validate({"redis_probe_s": 0.02, **settings})
        self.metrics = Metrics()
        self.model = FakeModel()
        self.predictor = Predictor(
            self.model,
            lambda identity: RedisCache(read, identity.fingerprint, identity.labels, self.metrics),
            Admission(read, self.metrics),
            100,
            self.metrics,
        )

    @property
    def up(self) -> float | None:
        """The gauge."""
        return self.metrics.redis_up.value

    async def hit(self, text: str = "a") -> int:
        return (await self.predictor.predict([text])).hit


@pytest_asyncio.fixture
async def replica() -> AsyncIterator[Make]:
    made: list[Replica] = []

    def make(**settings: object) -> Replica:
        made.append(Replica(**settings))
        return made[-1]

    yield make
    for each in made:
        await each.predictor.close()


def outages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def shared(make: Make, server: RedisServer, caplog: pytest.LogCaptureFixture, **settings: object) -> None:
    """Two replicas with these settings share their answers."""
    first, second = make(**settings), make(**settings)
    for each in (first, second):
        each.predictor.start()
        await until_async(lambda each=each: each.up is not None, "Redis was tried")  # type: ignore[misc]
        assert each.up == 1, outages(caplog)
    assert await first.hit() == 0
    await until_async(lambda: server.client.dbsize() or server.client.info("keyspace"), "it is in Redis")
    assert await second.hit() == 1
    assert second.model.calls == []
    assert outages(caplog) == []


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
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"key")
        )
    )
    return folder / "cert.pem", folder / "key.pem"


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
    context.load_cert_chain(cert, key, "key")
    async with RespServer(lambda _: None, redis_server.port).running(context) as proxy:
        await shared(replica, redis_server, caplog, redis_url=f"rediss://localhost:{proxy.port}?{options.format(cert)}")
        stranger = replica(redis_url=f"rediss://localhost:{proxy.port}")
        stranger.predictor.start()
        await until_async(lambda: stranger.up == 0, "the certificate was refused")
    assert outages(caplog) == ["Redis is not used, replicas share nothing: the certificate of Redis is not trusted"]


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
        (always(b"-ERR max number of clients reached\r\n"), "as many clients as it takes"),
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
async def test_a_redis_that_cannot_be_used_fails_no_request_and_is_told_once(
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
    checked_says, asked_says = outages(caplog)
    assert checked_says == asked_says
    assert why in checked_says
    assert SECRET not in caplog.text
    assert str(server.port) not in caplog.text


async def test_a_redis_that_is_back_is_told_once_and_used_again(
    replica: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.client.config_set("requirepass", "right")
    mine = replica(redis_url=redis_server.url, redis_password="wrong\n")  # noqa: S106
    mine.predictor.start()
    await until_async(lambda: mine.up == 0, "it is told as not used")
    assert await mine.hit() == 0
    redis_server.client.config_set("requirepass", "wrong\n")
    await until_async(lambda: mine.up == 1, "it is told as used")
    first, second = outages(caplog)
    assert first.endswith("refuses the password (WRONGPASS); the password that is set ends in white space")
    assert second == "Redis is used again"


async def test_a_redis_that_is_not_there_is_told(
    replica: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for url in ("127.0.0.1:1", f"unix://{tmp_path}/none"):
        mine = replica(redis_url=url)
        mine.predictor.start()
        await until_async(lambda mine=mine: mine.up == 0, "it is told as not used")  # type: ignore[misc]
    assert [line.rpartition(": ")[2] for line in outages(caplog)] == [
        "Redis refuses connections",
        "the socket of Redis does not exist",
    ]


@pytest.mark.parametrize(
    "refusal",
    [
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist on disk.\r\n",
        b"-NOPERM this user has no permissions to run the 'set' command\r\n",
    ],
)
async def test_a_redis_that_takes_no_writes_is_read_and_told_once(
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
    (line,) = outages(caplog)
    assert line.startswith("Redis takes no answers, and goes on to be read: Redis ")


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
        mine = replica(redis_url=f"{url}:{slow.port}/1")
        hits = [await mine.hit()]
        while not hits[-1] and len(hits) < 10:
            mine.predictor._memory.clear()
            hits.append(await mine.hit())
        assert hits[-1] == 1
    finally:
        slow.stop()
    assert outages(caplog) == []


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
    assert outages(caplog) == ["Redis is not used, replicas share nothing: Redis does not answer in time"]
