"""What we add to the HAProxy configuration that Serve writes, and the process that then takes it."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest
from jinja2 import ChainableUndefined, Environment
from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

from serve_app.errors import ServiceError
from serve_app.haproxy import (
    CONNECTIONS_VARIABLE,
    DEFAULTS,
    DIRECTIVES,
    EARLY,
    ERRORFILE,
    FRONTEND,
    LOG_TARGET,
    MAX_CONNECTIONS,
    METRICS_LINE,
    NO_LOG,
    NO_PATH,
    NO_WATCH,
    NOT_FOUND,
    NOT_YET,
    UNANSWERED,
    connections,
    with_our_directives,
    without_request_log,
)
from serve_app.local.processes import haproxy_of_ours

CONFIG = """global
    maxconn 10
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend http_frontend
    bind 127.0.0.1:{port}
    http-request return status 404 content-type text/plain lf-string "Path '%[path]' not found."
"""


def test_serves_template_has_the_place_where_ours_go() -> None:
    assert HAPROXY_CONFIG_TEMPLATE.count(DEFAULTS) == 1
    assert HAPROXY_CONFIG_TEMPLATE.count(FRONTEND) == 1
    assert METRICS_LINE in HAPROXY_CONFIG_TEMPLATE
    assert len(NOT_FOUND.findall(HAPROXY_CONFIG_TEMPLATE)) == 1
    assert len(ERRORFILE.findall(HAPROXY_CONFIG_TEMPLATE)) == len(UNANSWERED)
    assert "errorfile" not in with_our_directives(HAPROXY_CONFIG_TEMPLATE)


def test_they_are_added_once() -> None:
    changed = with_our_directives(CONFIG)
    assert changed.count(DIRECTIVES) == 1
    assert changed.count(NO_WATCH) == 1
    assert with_our_directives(changed) == changed


def test_haproxy_takes_the_file_though_the_variable_names_our_script(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(CONFIG.format(port=8000))
    environment = haproxy_of_ours(tmp_path)
    done = subprocess.run(
        [environment["RAY_SERVE_HAPROXY_BINARY_PATH"], "-c", "-f", str(file)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "valid" in done.stdout + done.stderr
    assert DIRECTIVES in file.read_text()
    assert NOT_YET in file.read_text()


def test_serves_own_configuration_without_a_replica_says_that_there_is_none_yet() -> None:
    environment = Environment(undefined=ChainableUndefined)  # noqa: S701  (as Serve renders it)
    environment.filters["haproxy_fmt"] = str
    config = environment.from_string(HAPROXY_CONFIG_TEMPLATE).render(config={}, backends=[])
    assert "use_backend" in config, "it speaks of routes, though it has none"
    assert NOT_FOUND.search(config)
    assert not NOT_FOUND.search(with_our_directives(config))
    assert NOT_YET in with_our_directives(config)


def test_an_unknown_path_is_404_as_soon_as_there_is_a_replica() -> None:
    config = CONFIG + "    use_backend sentiment\n"
    assert NO_PATH in with_our_directives(config)
    assert "%[path]" not in with_our_directives(config), "it repeats nothing"


def test_requests_are_logged_only_where_somebody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOG_TARGET, raising=False)
    assert without_request_log(CONFIG).count(NO_LOG) == 1
    assert without_request_log(without_request_log(CONFIG)).count(NO_LOG) == 1
    metrics = f"{CONFIG}    {METRICS_LINE} something\n"
    assert without_request_log(metrics) == metrics, "Serve counts requests by these lines"
    monkeypatch.setenv(LOG_TARGET, "127.0.0.1:514")
    assert without_request_log(CONFIG) == CONFIG


def test_haproxy_takes_no_more_connections_than_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connections(-1) == connections(65536) == MAX_CONNECTIONS
    assert 300 < connections(1024) < 1024 / 2.5
    assert f"maxconn {connections(resource.getrlimit(resource.RLIMIT_NOFILE)[1])}\n" in with_our_directives(CONFIG)
    monkeypatch.setenv(CONNECTIONS_VARIABLE, "10")
    assert "maxconn 10\n" in with_our_directives(CONFIG), "somebody has chosen"


def test_the_answers_that_it_gives_for_the_service_are_the_services() -> None:
    table = {error.status: (error.type, error.title) for error in ServiceError.__subclasses__()}
    for status, (kind, message) in EARLY.items():
        assert table[status][0] == kind
        assert table[status][1].startswith(message.removesuffix(".").replace("The Content", "The body's Content"))
