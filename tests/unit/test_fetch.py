"""`python -m model.fetch` against a small hub of our own on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model.directory import open_directory
from model.manifest import read_manifest
from serve_app.local.ports import free_port
from tests.models import save_distilbert
from tests.service import REPOSITORY

REPO = "somebody/some-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Speaks as much of the hub's HTTP as huggingface_hub asks: model info, and files by commit."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.downloads: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        info = f"/api/models/{REPO}"
        if path in (info, f"{info}/revision/{COMMIT}", f"{info}/revision/main"):
            names = [{"rfilename": file.name} for file in sorted(self.server.folder.iterdir())]
            content = json.dumps({"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": names}).encode()
            self.reply(200, content, {"Content-Type": "application/json"}, body=body)
        elif path.startswith(f"/{REPO}/resolve/{COMMIT}/"):
            name = path.rpartition("/")[2]
            if body:
                self.server.downloads.append(name)
            self.reply(200, (self.server.folder / name).read_bytes(), {}, body=body)
        else:
            code = "RevisionNotFound" if f"{info}/revision/" in path else "RepoNotFound"
            self.reply(404, b"", {"X-Error-Code": code}, body=body)

    def reply(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        common = {
            "Content-Length": str(len(content)),
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
        }
        for name, value in {**common, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(save_distilbert(tmp_path / "upstream"))
    (hub.folder / "pytorch_model.bin").write_bytes(b"a pickle that must not be fetched")
    yield hub
    hub.shutdown()
    hub.server_close()


def fetch(endpoint: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "model.fetch", *map(str, arguments)]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_it_fetches_what_is_needed_and_records_revision_and_hashes(hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "fetched"
    done = fetch(hub.url, REPO, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"holds {REPO} at {COMMIT}" in done.stdout
    assert sorted(file.name for file in out.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.revision == COMMIT
    assert set(manifest.files) == {"config.json", "model.safetensors", "tokenizer.json"}
    opened = open_directory(out)
    assert (opened.name, opened.revision) == ("some-model", COMMIT)


def test_a_second_run_downloads_only_what_is_gone(hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "fetched"
    fetch(hub.url, REPO, "--out", out)
    (out / "tokenizer.json").unlink()
    hub.downloads.clear()
    done = fetch(hub.url, REPO, "--out", out)
    assert done.returncode == 0, done.stderr
    assert hub.downloads == ["tokenizer.json"]
    assert "model.safetensors: already here" in done.stdout


def test_a_file_that_does_not_match_its_hash_is_refused_and_nothing_is_changed(hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "fetched"
    fetch(hub.url, REPO, "--out", out)
    (out / "tokenizer.json").write_bytes(b"spoilt here")
    (hub.folder / "tokenizer.json").write_bytes(b"spoilt there")
    done = fetch(hub.url, REPO, "--out", out)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert line.startswith("error: tokenizer.json does not match the sha256")
    assert "without that file everything is fetched anew" in line
    assert (out / "tokenizer.json").read_bytes() == b"spoilt here"
    assert not list(out.glob(".fetch-*"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nobody/nothing",), "nobody/nothing is not on the hub"),
        ((REPO, "--revision", "gone"), f"{REPO} has no such revision"),
        (("not a name",), "not a name is not the name of a repository"),
    ],
)
def test_what_is_not_there_is_one_clear_line(
    hub: Hub, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    done = fetch(hub.url, *arguments, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.strip().startswith(f"error: {complaint}")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_model_without_safetensors_is_refused(hub: Hub, tmp_path: Path) -> None:
    (hub.folder / "model.safetensors").unlink()
    done = fetch(hub.url, REPO, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "has no model.safetensors" in done.stderr


def test_a_hub_that_cannot_be_reached_is_one_clear_line(tmp_path: Path) -> None:
    done = fetch(f"http://127.0.0.1:{free_port()}", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: the hub cannot be reached for winegarj/distilbert-base-uncased-finetuned-sst2; "
        "check the network, or name a mirror in HF_ENDPOINT"
    )
