"""The API server on a port of loopback, and what a test may ask and tell it."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.kubernetes_api.answers import respond
from tests.kubernetes_api.state import Refusal, Request, State, failure
from tests.support.kubernetes_objects import Object


class KubernetesApi(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = State()
        self.lock = threading.RLock()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(kubeconfig(f"http://127.0.0.1:{self.server_port}")))
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def put(self, *objects: Object) -> None:
        """Store objects as they are, as a controller would."""
        with self.lock:
            for obj in objects:
                plural = next(
                    plural
                    for kinds in self.state.kinds.values()
                    for plural, (kind, _) in kinds.items()
                    if kind == obj["kind"]
                )
                obj.setdefault("apiVersion", "v1")
                self.state.version += 1
                obj["metadata"].setdefault("resourceVersion", str(self.state.version))
                self.state.objects[plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]] = obj

    def get(self, plural: str, name: str, namespace: str = "dev") -> Object | None:
        return self.state.objects.get((plural, namespace, name))

    def refuse(self, matches: Callable[[Request], bool], status: int, **body: Any) -> None:
        self.state.refusals.append(Refusal(matches, status, failure(status, **body)))

    def sent(self, method: str, content_type: str = "") -> list[Request]:
        return [item for item in self.state.requests if item.method == method and content_type in item.content_type]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no matter."""


def kubeconfig(server: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "dev"}}],
        "users": [{"name": "dev", "user": {"token": "a-token-of-the-tests"}}],
    }


class Handler(BaseHTTPRequestHandler):
    server: KubernetesApi
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        self.answer()

    def do_PATCH(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_DELETE(self) -> None:
        self.answer()

    def answer(self) -> None:
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        request = Request(
            self.command,
            url.path,
            query,
            self.headers.get("Content-Type", ""),
            json.loads(raw) if raw else None,
        )
        state = self.server.state
        with self.server.lock:
            state.requests.append(request)
            dropped = state.drop > 0
            state.drop -= dropped
            code, body = (0, None) if dropped else copy.deepcopy(respond(state, request))
        if dropped:
            self.close_connection = True
        else:
            self.reply(code, body)

    def reply(self, code: int, body: object) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
