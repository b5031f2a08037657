"""A user of redis for each service: what each may do with a redis that the manifest's own command line started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from serve_app.cache.redis import RedisCache
from serve_app.cache.redis_store import PREFIX
from serve_app.metrics import Metrics
from serve_app.prediction import make_prediction, text_key
from serve_app.settings import Settings
from tests.integration.test_manifest_redis import PASSWORD, answers, container
from tests.support.wait import until, until_async

LABELS = ("NEGATIVE", "POSITIVE")
OURS = f"{PREFIX}0123456789abcdef:{text_key('a').hex()}"
PROJECTS, LABS = f"project's {PASSWORD}", f"lab's {PASSWORD}"
KEYS = {"PROJECT_PASSWORD": PROJECTS, "LAB_PASSWORD": LABS}
CLOSED = {**KEYS, "DEFAULT_USER": "closed"}


def client(port: int, user: str, password: str) -> redis.Redis:
    return redis.Redis(port=port, username=user, password=password, socket_timeout=5)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A redis with a user for each service and a default user that may do nothing."""
    with container(tmp_path, "Deployment", "redis-deployment", **CLOSED) as (_, port):
        with client(port, "default", PASSWORD) as default:
            until(lambda: answers(default), "redis answers to its probe")
        yield port


def refused(client: redis.Redis, *command: str) -> bool:
    try:
        client.execute_command(*command)  # type: ignore[no-untyped-call]
    except redis.exceptions.NoPermissionError:
        return True
    return False


def test_lab_has_its_own_keys_and_reaches_nothing_of_the_project(port: int) -> None:
    with client(port, "project", PROJECTS) as project, client(port, "lab", LABS) as lab:
        project.set(OURS, "an answer")
        for command in (
            ("GET", OURS),
            ("SET", OURS, "forged"),
            ("DEL", OURS),
            ("COPY", OURS, "lab:stolen"),
            ("MGET", "lab:1", OURS),
            ("EXPIRE", OURS, "1"),
            ("FLUSHALL",),
            ("FLUSHDB",),
            ("SWAPDB", "0", "1"),
            ("KEYS", "*"),
            ("SCAN", "0"),
            ("RANDOMKEY",),
            ("CLIENT", "TRACKING", "on", "BCAST"),
            ("CLIENT", "KILL", "ID", "1"),
            ("MONITOR",),
            ("CONFIG", "SET", "maxmemory", "1"),
            ("ACL", "SETUSER", "lab", "~*"),
            ("EVAL", "return 1", "0"),
            ("SUBSCRIBE", "__keyspace@0__:*"),
            ("SHUTDOWN",),
        ):
            assert refused(lab, *command), command
        assert lab.set("lab:1", "lab's own")
        assert lab.get("lab:1") == b"lab's own"
        with lab.pipeline(transaction=True) as pipeline:
            pipeline.incr("lab:2")
            pipeline.expire("lab:2", 60)
            assert pipeline.execute() == [1, True]
        assert project.mget(OURS) == [b"an answer"]


def test_the_project_may_read_and_write_its_answers_and_no_more(port: int) -> None:
    with client(port, "project", PROJECTS) as project:
        assert project.set(OURS, "an answer", px=1000)
        assert project.mget(OURS) == [b"an answer"]
        for command in (("MGET", "lab:1"), ("SET", "lab:1", "x"), ("GET", OURS), ("DEL", OURS), ("FLUSHALL",)):
            assert refused(project, *command), command


def test_the_password_that_both_had_is_good_for_the_probe_alone(port: int) -> None:
    with client(port, "default", PASSWORD) as default:
        assert default.ping()
        for command in (("GET", OURS), ("SET", OURS, "forged"), ("FLUSHALL",), ("INFO",)):
            assert refused(default, *command), command


async def test_the_service_works_as_the_projects_user(port: int) -> None:
    settings = Settings.model_validate(
        {
            "redis_url": f"redis://127.0.0.1:{port}/0",
            "redis_username": "project",
            "redis_password": PROJECTS,
            "redis_value_key": "a secret of the service",
        }
    )
    cache = RedisCache(settings, "0123456789abcdef", LABELS, Metrics())
    prediction = make_prediction((0.25, 0.75), LABELS, truncated=False)
    cache.start()
    try:
        with client(port, "project", PROJECTS) as project:

            def written() -> bool:
                # dropped while the cache does not know yet that it works
                cache.put_in_background({text_key("a"): prediction})
                return bool(project.mget(OURS) != [None])

            await until_async(written, "the answer is written")
        assert await cache.get_many([text_key("a")]) == {text_key("a"): prediction}
    finally:
        await cache.close()


def test_keys_alone_make_users_and_take_nothing_from_those_who_use_the_password(tmp_path: Path) -> None:
    with (
        container(tmp_path, "Deployment", "redis-deployment", **KEYS) as (_, port),
        client(port, "default", PASSWORD) as default,
        client(port, "lab", LABS) as lab,
    ):
        until(lambda: answers(default), "redis answers")
        assert default.set(OURS, "an answer")
        assert refused(lab, "GET", OURS)


@pytest.mark.parametrize("prefix", ["", "*", "fastapi", "fastapi-cache-project::", "fastapi-cache-project::x", "a ~*"])
def test_a_prefix_that_reaches_the_projects_keys_is_refused(tmp_path: Path, prefix: str) -> None:
    with container(tmp_path, "Deployment", "redis-deployment", **CLOSED, LAB_PREFIX=prefix) as (process, _):
        assert process.wait(20) == 1
        assert process.stderr is not None
        (line,) = process.stderr.readlines()
        assert line.startswith("error: LAB_PREFIX ")
