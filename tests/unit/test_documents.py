"""What is written in several places must agree."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from benchmarks.texts import COURSE_FIXED, COURSE_POOL
from serve_app.app import build_app
from serve_app.settings import Settings, variables
from tests.support.service import REPOSITORY


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    return tomllib.loads(read("pyproject.toml"))


def locked() -> dict[str, str]:
    return {package["name"]: package["version"] for package in tomllib.loads(read("poetry.lock"))["package"]}


def test_the_settings_page_lists_every_setting_with_its_default() -> None:
    page = read("docs/reference/settings.md").partition("\n## ")[0]
    listed = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+) \|$", page, re.MULTILINE)
    wanted = []
    for name, field in Settings.model_fields.items():
        variable = variables(name)[0]
        default = {Settings.model_fields["model_dir"].default: "model/mini", None: "none"}.get(
            field.default, str(field.default)
        )
        wanted.append((variable, default, field.description))
    assert listed == wanted


def test_the_loads_document_lists_every_setting_and_scenario() -> None:
    script, document = read("load.js"), read("docs/reference/load.md")
    named = set(re.findall(r'__ENV\.([A-Z_]+)|number\("([A-Z_]+)"', script))
    wanted = {name for pair in named for name in pair if name} | {"REPORT", "SUMMARY", "METRICS_URL"}
    rows = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|", document, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"[A-Z_]+", row)} == wanted
    kinds = re.findall(r'"(\w+)"', re.findall(r"const KINDS = \[(.*)\]", script)[0])
    assert re.findall(r"^\| (\w+) \| (?!what)[^|]+ \|$", document, re.MULTILINE) == kinds


def test_the_decision_on_the_cache_quotes_the_measured_ratio() -> None:
    loads = json.loads(read("docs/reference/performance.json"))["loads"]
    (quoted,) = re.findall(
        r"course's load the service answers ([\d.]+) times", read("docs/decisions/one-entry-a-text.md")
    )
    assert float(quoted) == pytest.approx(loads["course load"]["requests_per_s"]["ratio"], abs=0.005)


def test_the_memory_on_kubernetes_adds_up_from_the_measured_replicas() -> None:
    performance = read("docs/reference/performance.md")
    measured = re.findall(r"classifier replica holds (\d+) MB.* ingress replica (\d+) MB", performance)
    page = read("docs/reference/kubernetes.md").partition("## Memory")[2].partition("## Upgrades")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    parts = {name: (worker, head) for name, worker, head in rows[2:]}
    (replicas,) = (
        re.findall(r"\d+", worker) for name, (worker, _) in parts.items() if name.startswith("one classifier")
    )
    assert measured == [tuple(replicas)]
    sums = [0, 0]
    for name, cells in parts.items():
        if name == "sum":
            break
        for column, cell in enumerate(cells):
            same = cells[0] if cell == "the same" else cell
            sums[column] += sum(map(int, re.findall(r"\d+", same)))
    assert parts["sum"] == tuple(f"{each:,} MB" for each in sums)
    (limit,) = (name for name in parts if name.startswith("limit"))
    assert [int(cell.partition(" ")[0]) for cell in parts[limit]] == [2147 - each for each in sums]
    text = " ".join(page.split())
    (quoted,) = re.findall(
        r"course` each .*?([\d,]+) \+ ([\d,]+) MB, less (\d+) MB .*?plus (\d+) MB .*?is ([\d,]+) MB", text
    )
    worker, head, shared, starters, whole = (int(each.replace(",", "")) for each in quoted)
    assert [worker, head] == sums
    assert whole == worker + head - shared + starters


def test_torch_has_one_version() -> None:
    version = project()["tool"]["poetry"]["group"]["torch"]["dependencies"]["torch"]
    assert locked()["torch"] == version
    assert f"TORCH := {version}\n" in read("Makefile")
    assert not re.search(r"^(torch|nvidia-\S+)==", read("requirements.txt"), re.MULTILINE)


def test_torch_is_installed_by_hash_and_brings_nothing_along() -> None:
    version = project()["tool"]["poetry"]["group"]["torch"]["dependencies"]["torch"]
    text = read(f"requirements-torch-{version}.txt")
    assert re.findall(r"^torch==(\S+) ; sys_platform == \"(\w+)\"", text, re.MULTILINE) == [
        (f"{version}+cpu", "linux"),
        (version, "darwin"),
    ]
    linux, darwin = (re.findall("--hash=sha256:([0-9a-f]{64})", part) for part in text.split("darwin"))
    assert len(linux) == 6, "for three versions of Python, on two kinds of machine"
    (torch,) = [each for each in tomllib.loads(read("poetry.lock"))["package"] if each["name"] == "torch"]
    for file in torch["files"]:
        for python in ("cp311-cp311", "cp312-cp312", "cp313-cp313"):
            if f"{python}-macosx" in file["file"]:
                darwin.remove(file["hash"].removeprefix("sha256:"))
    assert darwin == []
    (needed,) = [line for line in read("Makefile").splitlines() if "-r requirements-torch-" in line]
    assert "$(TORCH)" in needed
    for name in ("filelock", "fsspec", "jinja2", "networkx", "setuptools", "sympy", "typing-extensions"):
        assert re.search(rf"^{name}==", read("requirements-dev.txt"), re.MULTILINE), name


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="the files are in no git repository")
def test_files_with_secrets_are_not_committed_by_mistake() -> None:
    names = ["keys", "prod.keys", "api_keys.txt", "my-api-keys", "token", "ray.token", "auth_token", "tls.key", ".env"]
    names += ["redis-auth.yaml", "redis-password.txt", "tls.pem"]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *names], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == names
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=REPOSITORY,
        input=tracked,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    assert set(ignored) <= {"model/mini/model.safetensors"}, "git takes it by the rule of that folder"


def test_the_exported_requirements_are_the_locks_and_hashed() -> None:
    versions = locked()
    for name in ("requirements.txt", "requirements-dev.txt"):
        pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+) ", read(name), re.MULTILINE)
        assert len(pins) > 50
        packages = tomllib.loads(read("poetry.lock"))["package"]
        several = {package["name"] for package in packages if versions[package["name"]] != package["version"]}
        assert all(versions[pin] == version for pin, version in pins if pin not in several)
        assert read(name).count("--hash=sha256:") > len(pins)


def test_requirements_name_no_registry() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "poetry.lock", "pyproject.toml"):
        assert not re.search(r"--(extra-)?index-url|\[\[?tool\.poetry\.source|https?://", read(name)), name


def test_serve_config_names_what_the_code_has() -> None:
    (application,) = yaml.safe_load(read("serve_config.yaml"))["applications"]
    assert application["import_path"] == f"{build_app.__module__}:{build_app.__name__}"
    assert [deployment["name"] for deployment in application["deployments"]] == ["ingress", "classifier"]
    assert all("autoscaling_config" in deployment for deployment in application["deployments"])
    Settings.model_validate(application["args"])


def test_serve_config_gives_each_deployment_what_a_run_without_it_has() -> None:
    (configured,) = yaml.safe_load(read("serve_config.yaml"))["applications"]
    ingress: Any = build_app(Settings())
    bound = {
        each.name: each
        for each in (ingress._bound_deployment, ingress._bound_deployment.init_args[1]._bound_deployment)
    }
    for deployment in configured["deployments"]:
        code = bound[deployment["name"]]
        assert code.ray_actor_options["num_cpus"] == deployment["ray_actor_options"]["num_cpus"]
        assert code.max_ongoing_requests == deployment["max_ongoing_requests"]
        assert code.max_queued_requests == deployment.get("max_queued_requests", -1)


def test_load_js_asks_for_the_benchmarks_texts() -> None:
    (pool,) = re.findall(r"const POOL = \[(.*?)\];", read("load/texts.js"), re.DOTALL)
    assert re.findall(r'"(.+?)"', pool) == list(COURSE_POOL[len(COURSE_FIXED) :])


def test_serve_reads_serve_config_as_serve_deploy_does() -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load(read("serve_config.yaml")))
    assert config.proxy_location == "EveryNode"
    assert config.http_options.port == 8000
