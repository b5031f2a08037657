"""Every setting, response header, metric, error type, exit code and make target stands in docs/reference."""

from __future__ import annotations

import ast
import re
import signal
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.models

from serve_app import haproxy, metrics
from serve_app.command_line import SIGNALS
from serve_app.errors import ServiceError
from serve_app.local.__main__ import Stopped, main
from serve_app.settings import Settings, variables
from serve_app.web import guard
from serve_app.web.request_parser import _MAX_EXPLAINED, LARGE_BYTES, MAX_FAULTS, RequestParser
from tests.cluster.__main__ import INTERRUPTED
from tests.support.fakes import FakeModel, answer
from tests.support.service import REPOSITORY
from tests.unit.web.test_api import connect, make_apps

REFERENCE = REPOSITORY / "docs" / "reference"
CODE = [*(REPOSITORY / "serve_app").rglob("*.py")]
LOCAL, COMMAND_LINE = "serve_app/local/__main__.py", "serve_app/command_line.py"
DRAIN, MODEL, SCORE = "serve_app/drain.py", "model/command.py", "serve_app/score/__main__.py"


def section(page: str, title: str = "") -> str:
    """A page, or what stands in it below a heading up to the next one."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    return re.split(rf"^#+ {re.escape(title)}$", text, flags=re.MULTILINE)[1].partition("\n## ")[0] if title else text


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables, without head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    heads = {number - 1 for number, line in enumerate(lines) if re.fullmatch(r"[|: -]+", line)}
    return [row for number, row in enumerate(cells) if number not in heads and number - 1 not in heads]


def names(cell: str) -> set[str]:
    """What stands between backticks."""
    return set(re.findall(r"`([^`]+)`", cell))


def test_every_setting_has_a_row() -> None:
    listed = {name for row in rows(section("settings.md")) for name in names(row[0])}
    settings = {variables(field)[0] for field in Settings.model_fields}
    hints = typing.get_type_hints(main, include_extras=True).values()
    options = [each for hint in hints for each in typing.get_args(hint) if isinstance(each, typer.models.OptionInfo)]
    of_make_run = {str(option.envvar) for option in options if option.envvar}
    assert len(of_make_run) >= 4
    assert listed == settings | of_make_run


def test_every_metric_has_a_row_with_its_kind_tags_and_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []

    def recorder(kind: str) -> Any:
        real = getattr(metrics, kind.capitalize())

        def make(name: str, description: str, *args: Any, **options: Any) -> Any:
            metric = real(name, description, *args, **options)
            full = f"`ray_{name}_total`" if kind == "counter" else f"`ray_{name}`"
            made.append([full, kind, ", ".join(f"`{tag}`" for tag in metric.info["tag_keys"]), description])
            return metric

        return make

    for kind in ("counter", "gauge", "histogram"):
        monkeypatch.setattr(metrics, kind.capitalize(), recorder(kind))
    metrics.Metrics()
    assert len(made) > 10
    assert rows(section("metrics.md")) == made


def error_types() -> set[str]:
    """The types of the service's errors, of the faults in a body, and of HAProxy's own answers."""

    def below(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from below(each)

    texts = [value for value in vars(haproxy).values() if isinstance(value, str)]
    of_haproxy = {kind for text in texts for kind in re.findall(r'"type": ?"(\w+)"', text)}
    of_haproxy |= {kind for kind, _ in haproxy.UNANSWERED.values()}
    assert {"starting", "headers_too_large"} <= of_haproxy
    return {kind.type for kind in below(ServiceError)} | set(RequestParser(Settings())._messages) | of_haproxy


def test_every_error_type_has_a_row() -> None:
    cells = [row[1] if row[0].isdigit() else row[0] for row in rows(section("http.md", "Errors"))]
    assert {name for cell in cells for name in names(cell)} == error_types()


def test_the_limits_of_the_faults_in_a_422_are_documented() -> None:
    text = " ".join(section("http.md", "Errors").split())
    assert "for each fault, at most ten," in text
    assert MAX_FAULTS == 10
    assert f"above {LARGE_BYTES >> 10} KiB, or with more than {_MAX_EXPLAINED:,} commas" in text


def headers_in_code() -> set[str]:
    """Names of headers as literals: first of a pair of bytes and a value, keys of `headers=`, what CORS exposes."""
    found = {name.lower() for name in guard._EXPOSED}
    for file in CODE:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[0], ast.Constant):
                name = node.elts[0].value
                if isinstance(name, bytes) and re.fullmatch(rb"[a-z]+(-[a-z]+)*", name):
                    found.add(name.decode())
            if isinstance(node, ast.keyword) and node.arg == "headers" and isinstance(node.value, ast.Dict):
                keys = [key.value for key in node.value.keys if isinstance(key, ast.Constant)]
                found |= {key.lower() for key in keys if isinstance(key, str)}
    return found


async def headers_seen(tmp_path: Path) -> set[str]:
    """Headers of real answers: predictions, errors, pages, redirects, with CORS and API keys."""
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef\n")
    settings = Settings(cors_origins="https://a.example", api_keys_file=keys)
    model = FakeModel()
    app = guard.guarded(make_apps(model, settings)["short path"], settings, metrics.Metrics())
    page = {"Origin": "https://a.example"}
    key = {"X-API-Key": "0123456789abcdef", **page}
    preflight = {**page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}
    seen: list[httpx.Response] = []
    async with connect(app) as client:
        seen.append(await client.post("/project/predict", json={"text": ["a"]}))
        seen.append(await client.post("/project/predict", json={"text": ["a"]}, headers=key))
        seen.append(await client.post("/project/predict", json={"text": [str(n) for n in range(200)]}, headers=key))
        model.refusals.append(answer(None, busy_s=9.0))
        seen.append(await client.post("/project/predict", json={"text": ["b"]}, headers=key))
        seen.append(await client.options("/project/predict", headers=preflight))
        seen += [
            await client.get(f"/project/{path}", headers=key) for path in ("", "docs", "predict", "model/", "none")
        ]
    assert {response.status_code for response in seen} >= {200, 307, 401, 404, 405, 429}
    return {name.lower() for response in seen for name in response.headers}


async def test_every_response_header_has_a_row(tmp_path: Path) -> None:
    responses = {name.lower() for row in rows(section("http.md", "Response headers")) for name in names(row[0])}
    requests = {name.lower() for row in rows(section("http.md", "Request headers")) for name in names(row[0])}
    in_code, seen = headers_in_code(), await headers_seen(tmp_path)
    assert {"x-cache", "x-truncated-count", "retry-after"} <= in_code
    assert (in_code - (requests - responses)) | seen == responses


def exit_codes(path: str) -> set[int]:
    """What a command's source ends with: constants that it exits with, returns as its status, or assigns to it."""
    found: set[int] = set()
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        constants: list[ast.expr] = []
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"sys.exit", "typer.Exit"}:
            constants = node.args
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"status", "code"}:
            constants = [node.value]
        if isinstance(node, ast.FunctionDef) and node.returns is not None and ast.unparse(node.returns) == "int":
            constants = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
        found |= {each.value for each in constants if isinstance(each, ast.Constant) and isinstance(each.value, int)}
    return found


def signals(path: str) -> set[int]:
    """The signals that a source names."""
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    return {int(getattr(signal, name)) for name in re.findall(r"signal\.(SIG(?:TERM|HUP|INT))\b", text)}


def documented_exit_codes() -> dict[str, set[int]]:
    """The codes of each command in the table, by its first name; an empty first cell is the command above."""
    found: dict[str, set[int]] = {}
    command = ""
    for first, code, _ in rows(section("commands.md", "Exit codes")):
        command = re.findall(r"`([^`]+)`", first)[0] if first else command
        found.setdefault(command, set()).update(map(int, re.findall(r"^\d+$", code)))
    return found


def test_every_exit_code_has_a_row() -> None:
    documented = documented_exit_codes()
    local = exit_codes(LOCAL) | exit_codes(COMMAND_LINE) | {Stopped(number).status for number in SIGNALS}
    assert documented["python -m serve_app.local"] == local
    score = exit_codes(SCORE) | exit_codes(COMMAND_LINE) | {128 + number for number in SIGNALS}
    assert documented["python -m serve_app.score INPUT OUTPUT"] == score
    assert documented["python -m serve_app.drain SECONDS"] == exit_codes(DRAIN) | {0}
    of_model = exit_codes(MODEL) | {128 + number for number in signals(MODEL) | {signal.SIGINT}}
    assert documented["python -m model.fetch"] == of_model | {0, 2}, "0 and 2 are typer's"
    audit = (REPOSITORY / "scripts" / "audit").read_text(encoding="utf-8")
    assert documented["scripts/audit"] >= {int(code) for code in re.findall(r"\bexit (\d+)", audit)}


def test_the_cluster_tests_exit_codes_are_documented() -> None:
    listed = set(map(int, re.findall(r"^\| (\d+) \|", section("cluster-test.md", "Exit codes"), re.MULTILINE)))
    assert listed == exit_codes("tests/cluster/__main__.py") | {INTERRUPTED, 2}, "2 is typer's"


def test_every_make_target_has_a_row_with_its_help() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = dict(re.findall(r"^([a-z-]+):.*?## (.+)$", makefile, re.MULTILINE))
    phony = {name for line in re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE) for name in line.split()}
    listed = dict(rows(section("commands.md", "make")))
    assert {name for name in phony if not name.startswith("$")} == set(targets), "each target has its help"
    assert listed == {f"`make {name}`": f"{text[0].upper()}{text[1:]}." for name, text in targets.items()}
