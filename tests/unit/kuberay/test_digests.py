"""Digests of images, from a small registry of our own on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kuberay.digests import _parts, pin, resolve
from kuberay.render import render
from serve_app.local.ports import free_port
from tests.support.kuberay_commands import write_overlay
from tests.support.kubernetes_objects import Object

pytestmark = pytest.mark.slow

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


class Registry(ThreadingHTTPServer):
    """Has `library/redis:8.2.10`, and tells its digest to anybody, or to those with its token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.name = f"127.0.0.1:{self.server_port}"
        self.token = ""
        self.digest = DIGEST
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        assert self.path == "/token?service=a.registry&scope=repository%3Alibrary%2Fredis%3Apull"
        content = json.dumps({"token": self.server.token}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_HEAD(self) -> None:
        if self.server.token and self.headers["Authorization"] != f"Bearer {self.server.token}":
            realm = (
                f'realm="http://{self.server.name}/token",service="a.registry",scope="repository:library/redis:pull"'
            )
            self.send_response(401)
            self.send_header("WWW-Authenticate", f"Bearer {realm}")
        elif self.path == "/v2/library/redis/manifests/8.2.10" and "index" in self.headers["Accept"]:
            self.send_response(200)
            self.send_header("Docker-Content-Digest", self.server.digest)
        else:
            self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    yield registry
    registry.shutdown()
    registry.server_close()


@pytest.mark.parametrize("token", ["", "a-token"])
def test_a_registry_is_asked_with_a_token_if_it_wants_one(registry: Registry, token: str) -> None:
    registry.token = token
    image = f"{registry.name}/library/redis:8.2.10"
    assert resolve([image]) == ({image: DIGEST}, [])


def test_what_no_registry_knows_stays_as_it_is(registry: Registry) -> None:
    images = [f"{registry.name}/library/redis:9", f"127.0.0.1:{free_port()}/library/redis:8.2.10"]
    assert resolve(images) == ({}, images)
    registry.digest = "sha256:short"
    images = [f"{registry.name}/library/redis:8.2.10"]
    assert resolve(images) == ({}, images)


def test_an_image_without_a_registry_is_the_hubs() -> None:
    assert _parts("redis:8") == ("registry-1.docker.io", "library/redis", "8")
    assert _parts("team/redis:8") == ("registry-1.docker.io", "team/redis", "8")
    assert _parts("localhost/team/redis:8") == ("localhost", "team/redis", "8")
    assert _parts("a.example:5000/redis:8") == ("a.example:5000", "redis", "8")


def test_digests_take_the_place_of_tags_in_what_is_applied(registry: Registry, tmp_path: Path) -> None:
    overlay = write_overlay(tmp_path)
    manifests = overlay.parent / "base" / "manifests.yaml"
    manifests.write_text(manifests.read_text().replace("redis:7.4.2", f"{registry.name}/library/redis:8.2.10"))
    ours = {"registry.example/dev/project:0a1b2c3", "registry.example/dev/lab:v1"}
    objects = render(str(overlay))
    assert pin(objects, ours) == ""
    assert image(objects) == f"{registry.name}/library/redis@{DIGEST}"
    registry.digest = ""
    objects = render(str(overlay))
    assert pin(objects, ours) == (
        f"no registry says the digest of {registry.name}/library/redis:8.2.10, so the tag counts"
    )
    assert objects == render(str(overlay))


def image(objects: list[Object]) -> str:
    (redis,) = [each for each in objects if each["metadata"]["name"] == "redis-deployment"]
    return str(redis["spec"]["template"]["spec"]["containers"][0]["image"])
