"""`python -m model.fetch` against a small hub of our own on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from transformers import DistilBertForSequenceClassification

from model.directory import open_directory
from model.fetch import PRODUCTION_MODEL
from model.manifest import read_manifest, write_manifest
from model.pin import PIN, read_pin
from serve_app.local.ports import free_port
from tests.support.models import save_distilbert
from tests.support.service import REPOSITORY

pytestmark = pytest.mark.slow

REPO = "somebody/some-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEWER = "f" * 40


class Hub(ThreadingHTTPServer):
    """Speaks as much of the hub's HTTP as huggingface_hub asks: model info, and files by commit."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.downloads: list[str] = []
        self.older: set[str] = set()
        """Commits that it still knows beside the newest, with the same files."""
        self.portal = False
        self.stuck = threading.Event()
        """Set once a file is asked for that never comes whole, whose name is `endless`."""
        self.endless = ""
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
        commit = next((old for old in self.server.older if old in path), COMMIT)
        if self.server.portal:
            self.reply(200, b"<html>Please log in</html>", {"Content-Type": "text/html"}, body=body)
            return
        if path in (info, f"{info}/revision/{commit}", f"{info}/revision/main"):
            names = [{"rfilename": file.name} for file in sorted(self.server.folder.iterdir())]
            content = json.dumps({"id": REPO, "modelId": REPO, "sha": commit, "siblings": names}).encode()
            self.reply(200, content, {"Content-Type": "application/json"}, body=body)
        elif path.startswith(f"/{REPO}/resolve/{commit}/"):
            name = path.rpartition("/")[2]
            if body:
                self.server.downloads.append(name)
            if body and name == self.server.endless:
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                self.wfile.write(b"the beginning")
                self.server.stuck.set()
                self.rfile.read()  # until the client goes
                return
            self.reply(200, (self.server.folder / name).read_bytes(), {}, body=body)
        else:
            code = "RevisionNotFound" if f"{info}/revision/" in path else "RepoNotFound"
            self.reply(404, b"", {"X-Error-Code": code}, body=body)

    def reply(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        common = {
            "Content-Length": str(len(content)),
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": next((old for old in self.server.older if old in self.path), COMMIT),
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


def fetch(endpoint: str, *arguments: str | Path, largest_file: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command; it can write no file with more than `largest_file` bytes, as on a disk that fills up."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "model.fetch", *map(str, arguments)]
    if largest_file:
        command = ["prlimit", f"--fsize={largest_file}", *command]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def error(done: subprocess.CompletedProcess[str]) -> str:
    """The only line that the command says of its failure."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


def release(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's main moves on: another commit, with another config.json."""
    monkeypatch.setattr(f"{__name__}.COMMIT", NEWER)
    config = hub.folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "note": NEWER}))


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


def test_a_folder_is_updated_to_another_revision(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (hub.folder / "vocab.txt").write_text("of the old tokenizer")
    out = tmp_path / "fetched"
    fetch(hub.url, REPO, "--out", out)
    (out / "README.md").write_text("notes of one's own")
    (hub.folder / "vocab.txt").unlink()
    release(hub, monkeypatch)
    for revision in ("main", NEWER):
        done = fetch(hub.url, REPO, "--out", out, "--revision", revision)
        assert done.returncode == 0, done.stderr
        assert open_directory(out).revision == NEWER
        assert not (out / "vocab.txt").exists(), "the new revision has none"
        assert (out / "README.md").exists()
    assert hub.downloads.count("model.safetensors") == 2, "what main is by now was there already"


def test_until_a_model_is_pinned_each_fetch_says_so(hub: Hub, tmp_path: Path) -> None:
    pin = tmp_path / "pin.json"
    done = fetch(hub.url, REPO, "--out", tmp_path / "fetched", "--pin-file", pin)
    assert done.stdout.splitlines()[-1].startswith("not pinned: another fetch may find another revision; --pin ")
    assert not pin.exists()


def test_a_pinned_model_is_fetched_as_it_was(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin = ("--pin-file", tmp_path / "pin.json")
    done = fetch(hub.url, REPO, "--out", tmp_path / "first", *pin, "--pin")
    assert done.returncode == 0, done.stderr
    written = json.loads(pin[1].read_text())
    assert (written["repo"], written["revision"]) == (REPO, COMMIT)
    manifest = read_manifest(tmp_path / "first")
    assert manifest is not None
    assert written["files"] == manifest.files
    old = COMMIT
    release(hub, monkeypatch)
    hub.older = {old}
    line = error(fetch(hub.url, REPO, "--out", tmp_path / "second", *pin))
    assert line.startswith(f"error: config.json does not match the sha256 in {pin[1]}; it was refused"), "spoilt there"
    line = error(fetch(hub.url, REPO, "--out", tmp_path / "second", *pin, "--revision", "main"))
    assert line == f"error: {pin[1]} pins {REPO} at {old}, not {NEWER}; --pin moves the pin"
    assert not (tmp_path / "second").exists()
    done = fetch(hub.url, REPO, "--out", tmp_path / "second", *pin, "--pin")
    assert done.returncode == 0, done.stderr
    assert json.loads(pin[1].read_text())["revision"] == NEWER
    done = fetch(hub.url, REPO, "--out", tmp_path / "third", *pin)
    assert done.returncode == 0, done.stderr
    assert "not pinned" not in done.stdout


def test_files_that_the_pin_does_not_have_are_refused(hub: Hub, tmp_path: Path) -> None:
    pin = ("--pin-file", tmp_path / "pin.json")
    assert fetch(hub.url, REPO, "--out", tmp_path / "first", *pin, "--pin").returncode == 0
    (hub.folder / "vocab.txt").write_text("another tokenizer")
    line = error(fetch(hub.url, REPO, "--out", tmp_path / "second", *pin))
    assert line == f"error: vocab.txt differ between {pin[1]} and the hub; the model was refused"


def test_a_fetch_that_fails_pins_nothing(hub: Hub, tmp_path: Path) -> None:
    (hub.folder / "model.safetensors").write_bytes(b"no weights")
    error(fetch(hub.url, REPO, "--out", tmp_path / "first", "--pin-file", tmp_path / "pin.json", "--pin"))
    assert not (tmp_path / "pin.json").exists()


def test_a_pin_that_cannot_be_written_is_reported_before_the_download(hub: Hub, tmp_path: Path) -> None:
    pin = tmp_path / "nowhere" / "pin.json"
    line = error(fetch(hub.url, REPO, "--out", tmp_path / "first", "--pin-file", pin, "--pin"))
    assert line == f"error: {pin} cannot be written; {pin.parent} is no folder"
    assert not hub.downloads
    assert not (tmp_path / "first").exists()


def test_a_pin_that_cannot_be_read_is_not_passed_over(hub: Hub, tmp_path: Path) -> None:
    pin = tmp_path / "pin.json"
    for broken in ("", "{}", '{"repo": 5}'):
        pin.write_text(broken)
        assert str(pin) in error(fetch(hub.url, REPO, "--out", tmp_path / "first", "--pin-file", pin))


def test_no_pin_is_made_up() -> None:
    """Whoever fetches the production model writes it; until then nothing may call it pinned."""
    assert PIN.exists() or "not pinned" in (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    pin = read_pin(PIN, PRODUCTION_MODEL)
    assert pin is None or len(pin.revision) == 40


def test_a_manifest_that_was_cut_off_is_fetched_anew(hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "fetched"
    fetch(hub.url, REPO, "--out", out)
    whole = (out / "manifest.json").read_text()
    for broken in (whole[:40], "", "[]", '{"name": "some-model", "revision": "a", "files": 5}'):
        (out / "manifest.json").write_text(broken)
        done = fetch(hub.url, REPO, "--out", out)
        assert done.returncode == 0, done.stderr
        assert (out / "manifest.json").read_text() == whole


def test_a_folder_that_holds_another_model_is_replaced(hub: Hub, tmp_path: Path) -> None:
    out = save_distilbert(tmp_path / "fetched")
    write_manifest(out, "another", "0" * 40, ["config.json", "model.safetensors"])
    done = fetch(hub.url, REPO, "--out", out)
    assert done.returncode == 0, done.stderr
    assert open_directory(out).name == "some-model"


def test_a_failed_update_leaves_the_old_model_whole(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "fetched"
    fetch(hub.url, REPO, "--out", out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    release(hub, monkeypatch)
    weights = (hub.folder / "model.safetensors").read_bytes()
    (hub.folder / "model.safetensors").write_bytes(weights[:1000])
    line = error(fetch(hub.url, REPO, "--out", out, "--revision", "main"))
    assert f"{REPO}/model.safetensors cannot be read as safetensors" in line
    (hub.folder / "model.safetensors").write_bytes(weights)
    config = json.loads((hub.folder / "config.json").read_text())
    (hub.folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    line = error(fetch(hub.url, REPO, "--out", out, "--revision", "main"))
    assert f"{REPO}/config.json says model_type 'bert'" in line
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_a_full_disk_is_reported_as_one_and_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "fetched"
    line = error(fetch(hub.url, REPO, "--out", out, largest_file=100_000))
    assert line == f"error: {out} cannot be written to (File too large)"
    assert not out.exists()


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_fetch_that_is_interrupted_leaves_nothing(
    hub: Hub, tmp_path: Path, sent: signal.Signals, status: int
) -> None:
    hub.endless = "model.safetensors"
    command = [sys.executable, "-m", "model.fetch", REPO, "--out", str(tmp_path / "fetched")]
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True)
    assert hub.stuck.wait(60)
    process.send_signal(sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in said
    assert not (tmp_path / "fetched").exists()


def test_a_folder_that_cannot_be_written_to_is_reported_as_one(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = error(fetch(hub.url, REPO, "--out", tmp_path / "file" / "model"))
    assert line == f"error: {tmp_path / 'file' / 'model'} is no folder, and cannot become one"
    line = error(fetch(hub.url, REPO, "--out", "/proc/model"))
    assert line.startswith("error: /proc/model cannot be written to (")


def test_weights_in_shards_are_fetched_with_their_index(hub: Hub, tmp_path: Path) -> None:
    weights = hub.folder / "model.safetensors"
    DistilBertForSequenceClassification.from_pretrained(hub.folder).save_pretrained(hub.folder, max_shard_size="500KB")
    weights.unlink(missing_ok=True)
    (hub.folder / "added_tokens.json").write_text("{}")
    out = tmp_path / "fetched"
    done = fetch(hub.url, REPO, "--out", out)
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(out)
    assert manifest is not None
    assert {"model.safetensors.index.json", "model-00001-of-00002.safetensors", "added_tokens.json"} <= set(
        manifest.files
    )
    assert open_directory(out).revision == COMMIT


def test_what_answers_and_is_no_hub_is_one_clear_line(hub: Hub, tmp_path: Path) -> None:
    hub.portal = True
    line = error(fetch(hub.url, REPO, "--out", tmp_path / "out"))
    assert line == f"error: what answers for {REPO} is no hub; check HF_ENDPOINT and proxies"
    line = error(fetch("hub.example", REPO, "--out", tmp_path / "out"))
    assert "HF_ENDPOINT" in line
