"""What a run makes is its own: its folder, its ports, its log, its drain file; and it asks itself without a proxy."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from serve_app.local import run_folder as module
from serve_app.local.environment import DRAIN_FILE, serve_environment
from serve_app.local.log_file import NoLog, open_log
from serve_app.local.loopback import ask, no_proxy
from serve_app.local.run_folder import NoPlace, reserve, run_folder

NODE = "0" * 56
"""As long as the name of a Ray node, of which Serve makes a folder below."""
LEAVE = "import os, signal; from serve_app.local import run_folder; from pathlib import Path\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "PLACE", tmp_path)
    return tmp_path


def folders(place: Path) -> list[Path]:
    return sorted(place.glob("sentiment-*"))


def test_it_is_this_users_alone_and_gone_at_the_end(place: Path) -> None:
    with run_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "below").mkdir()
    assert folders(place) == []


def test_what_a_run_that_died_has_left_is_removed_and_nothing_else(place: Path) -> None:
    script = f"{LEAVE}run_folder.PLACE = Path({str(place)!r})\nwith run_folder.run_folder():\n os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    (left,) = folders(place)
    (place / "sentiment-of-somebody").mkdir()
    (place / "sentiment-written-to-afterwards" / "ray").mkdir(parents=True)
    with run_folder() as first:
        assert not left.exists()
        with run_folder() as second:
            assert folders(place) == sorted([first, second, place / "sentiment-of-somebody"])
        assert first.exists()


def test_runs_that_take_turns_leave_no_lock(place: Path) -> None:
    def start() -> None:
        for _ in range(20):
            with run_folder() as folder:
                assert reserve(folder, [8404]) in ({8404}, set())

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(place.iterdir()) == []


def test_a_lock_that_somebody_else_has_made_is_one_line(place: Path) -> None:
    lock = place / f".sentiment-{os.getuid()}.lock"
    lock.symlink_to(place / "elsewhere")
    with pytest.raises(NoPlace, match=f"{lock} cannot be opened "), run_folder():
        pass
    assert not (place / "elsewhere").exists()


def test_a_full_disk_is_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_folder() as folder, monkeypatch.context() as patched:

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patched.setattr(Path, "write_text", full)
        with pytest.raises(NoPlace, match=f"{place} is full"):
            reserve(folder, [8404])
        patched.setattr(tempfile, "mkdtemp", full)
        with pytest.raises(NoPlace, match=f"{place} is full"), run_folder():
            pass


def test_a_place_where_nothing_can_be_executed_is_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_NOEXEC))
    with pytest.raises(NoPlace, match=f"{place} is mounted noexec"), run_folder():
        pass


def test_no_two_runs_have_one_port(place: Path) -> None:
    with run_folder() as first, run_folder() as second:
        assert reserve(first, [8404, 9101]) == {8404, 9101}
        assert reserve(second, [8404, 8500]) == {8500}
        assert reserve(first, [8404]) == set(), "it has it already"
    with run_folder() as third:
        assert reserve(third, [8404, 8500]) == {8404, 8500}
    assert folders(place) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's folder")
def test_another_user_can_take_no_port_away_by_a_folder(place: Path) -> None:
    foreign = place / "sentiment-foreign"
    foreign.mkdir()
    (foreign / "ports").write_text("8404")
    os.chown(foreign, 65534, 65534)
    with run_folder() as folder:
        assert reserve(folder, [8404]) == {8404}


def test_runs_that_start_at_the_same_time_have_ports_of_their_own(place: Path) -> None:
    found = []

    def start() -> None:
        with run_folder() as folder:
            found.append(serve_environment(folder, "127.0.0.1", {}))
            gate.wait(10)

    gate = threading.Barrier(4)
    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for variable in ("RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_TMPDIR", DRAIN_FILE):
        assert len({environment[variable] for environment in found}) == 4
    assert folders(place) == []


def test_the_paths_of_sockets_are_short_enough() -> None:
    with run_folder() as folder:
        environment = serve_environment(folder, "127.0.0.1", {})
    socket = Path(environment["RAY_SERVE_HAPROXY_SOCKET_PATH"])
    assert len(str(socket.parent / NODE / socket.name)) <= 97
    session = "session_2026-11-26_08-33-20_619137_4194304"
    assert len(f"{environment['RAY_TMPDIR']}/ray/{session}/sockets/plasma_store") <= 107


def test_a_place_that_cannot_be_written_to_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLACE", Path("/no/such/place"))
    with pytest.raises(NoPlace, match="cannot be written to"), run_folder():
        pass


def test_the_users_own_drain_file_is_the_one_that_is_used(place: Path) -> None:
    with run_folder() as folder:
        assert serve_environment(folder, "127.0.0.1", {DRAIN_FILE: "mine"})[DRAIN_FILE] == str(Path("mine").absolute())
    with run_folder() as folder:
        assert serve_environment(folder, "127.0.0.1", {DRAIN_FILE: ""})[DRAIN_FILE] == str(folder / "draining")
    assert folders(place) == []


def test_a_log_that_another_run_writes_to_is_left_to_it(tmp_path: Path) -> None:
    first, output = open_log(tmp_path / "build" / "serve.log", 8000)
    output.write(b"first\n")
    output.flush()
    second, other = open_log(tmp_path / "build" / "serve.log", 8001)
    assert (first.name, second.name) == ("serve.log", "serve-8001.log")
    assert first.read_bytes() == b"first\n"
    assert stat.S_IMODE(second.stat().st_mode) == 0o600
    output.close()
    other.close()
    again, output = open_log(tmp_path / "build" / "serve.log", 8001)
    assert (again, again.read_bytes()) == (first, b"")
    output.close()


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "build").write_text("no folder")
    with pytest.raises(NoLog, match=r"build/serve\.log cannot be written \(.*\); name another with --log"):
        open_log(tmp_path / "build" / "serve.log", 8000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """Something on loopback that answers, beside a proxy that does not."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.0/8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_no_proxy_stands_between_us_and_loopback(server: ThreadingHTTPServer) -> None:
    with ask(f"http://127.0.0.1:{server.server_port}/project/health", 2) as answer:
        assert answer.status == 200


def test_children_ask_loopback_without_a_proxy_too() -> None:
    value = "a.example,b.example,127.0.0.1,localhost,::1"
    said = {"no_proxy": "a.example", "NO_PROXY": "b.example,127.0.0.1"}
    assert no_proxy(said) == {"no_proxy": value, "NO_PROXY": value}
    assert no_proxy({"no_proxy": ""})["NO_PROXY"] == "127.0.0.1,localhost,::1"
