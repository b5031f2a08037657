"""`.ci/run` on machines that lack programs, with `make`, `apt-get` and `sudo` that only note how they were called."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from benchmarks.browser import ABSENT, NAMES, chromium, find_chromium
from tests.support.service import REPOSITORY

BASE = ("bash", "dirname", "env")
ALL = ("prometheus", "promtool", "chromium", "wget", "ab", "kubectl")
PROVIDES = {
    "prometheus": ("prometheus", "promtool"),
    "chromium": ("chromium",),
    "wget": ("wget",),
    "apache2-utils": ("ab",),
}
NO_PROMETHEUS = "error: Prometheus is missing and could not be installed here; on Debian: apt-get install prometheus"
NO_BROWSER = "error: a browser is missing and could not be installed here; on Debian: apt-get install chromium"


@dataclass
class Machine:
    """A machine of which a folder has all programs."""

    folder: Path

    def add(self, name: str, script: str = "") -> None:
        program = self.folder / name
        program.write_text(f"#!/usr/bin/env bash\n{script}\n")
        program.chmod(0o755)

    def run(self, **environment: str) -> tuple[int, list[str], list[str]]:
        """Status of `.ci/run` without a standard input, the calls that it made, and the lines of its standard error."""
        calls = self.folder / "calls.txt"
        done = subprocess.run(
            [REPOSITORY / ".ci" / "run"],
            env={"PATH": str(self.folder), "CALLS": str(calls), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        made = calls.read_text().splitlines() if calls.exists() else []
        return done.returncode, made, done.stderr.splitlines()


def machine(
    folder: Path, programs: Iterable[str], user: int = 0, packages: Collection[str] = tuple(PROVIDES)
) -> Machine:
    """A machine with these programs, for that user, whose apt-get knows these packages."""
    here = Machine(folder)
    for name in BASE:
        (folder / name).symlink_to(shutil.which(name) or "")
    here.add("make", 'echo "make $* PYTHON=$PYTHON CI=$CI" >> "$CALLS"')
    here.add("id", f"echo {user}")
    for name in programs:
        here.add(name)
    installs = "\n".join(f"{name}) add {' '.join(PROVIDES[name])};;" for name in packages)
    here.add(
        "apt-get",
        f"""echo "apt-get $*" >> "$CALLS"
[ -n "$AS_ROOT" ] || [ {user} = 0 ] || exit 100
add() {{ for name in "$@"; do echo '#!/bin/sh' > "{folder}/$name"; {shutil.which("chmod")} +x "{folder}/$name"; done; }}
case "$*" in *install*) shift 6;; *) exit 0;; esac
for package in "$@"; do case " {" ".join(packages)} " in *" $package "*) ;; *) exit 100;; esac; done
for package in "$@"; do case $package in
{installs}
esac; done""",
    )
    return here


def makes(calls: list[str]) -> list[str]:
    return [call.split(" PYTHON")[0] for call in calls if call.startswith("make ")]


def installed(calls: list[str]) -> list[str]:
    return [call.partition("--no-install-recommends ")[2] for call in calls if " install " in call]


def test_nothing_is_installed_where_nothing_is_missing(tmp_path: Path) -> None:
    status, calls, _ = machine(tmp_path, ALL, user=1000).run(PYTHON="python3.12")
    assert status == 0
    assert calls == ["make check PYTHON=python3.12 CI=true", "make test PYTHON=python3.12 CI=true"]


def test_what_is_missing_is_installed_in_one_call(tmp_path: Path) -> None:
    here = machine(tmp_path, ["kubectl"])
    status, calls, said = here.run()
    assert (status, said) == (0, [])
    assert installed(calls) == ["prometheus chromium wget apache2-utils"]
    assert makes(calls) == ["make check", "make test"]
    assert installed(here.run()[1]) == installed(calls), "the second time there is nothing to do"


def test_an_ordinary_user_installs_by_sudo(tmp_path: Path) -> None:
    here = machine(tmp_path, ["kubectl"], user=1000)
    here.add("sudo", '[ "$1" = -n ] && shift && AS_ROOT=1 exec "$@"')
    status, calls, _ = here.run()
    assert status == 0
    assert makes(calls) == ["make check", "make test"]


@pytest.mark.parametrize(
    ("absent", "line"),
    [
        (
            "prometheus",
            "error: Prometheus is missing and could not be installed here; on Debian: apt-get install prometheus",
        ),
        (
            "promtool",
            "error: Prometheus is missing and could not be installed here; on Debian: apt-get install prometheus",
        ),
        (
            "chromium",
            "error: a browser is missing and could not be installed here; on Debian: apt-get install chromium",
        ),
        ("kubectl", "error: kubectl, which renders the manifests, is missing"),
    ],
)
def test_it_ends_with_one_line_where_it_cannot_install(absent: str, line: str, tmp_path: Path) -> None:
    status, calls, said = machine(tmp_path, set(ALL) - {absent}, user=1000).run()
    assert status == 1
    assert len(said) == 1
    assert said[0].startswith(line)
    assert makes(calls) == []


def test_what_is_only_useful_may_be_missing(tmp_path: Path) -> None:
    status, calls, said = machine(tmp_path, set(ALL) - {"ab", "prometheus", "promtool"}, packages=["prometheus"]).run()
    assert (status, said) == (0, [])
    assert installed(calls) == ["prometheus apache2-utils", "prometheus"]
    assert makes(calls) == ["make check", "make test"]


@pytest.mark.parametrize("name", NAMES)
def test_every_browser_that_the_tests_find_will_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROME_BIN", raising=False)
    status, calls, _ = machine(tmp_path, {*ALL, name} - ({"chromium"} - {name})).run()
    assert status == 0
    assert installed(calls) == []
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_chromium() == str(tmp_path / name)


def test_a_browser_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(tmp_path, ALL, user=1000)
    here.add("my browser")
    named = str(tmp_path / "my browser")
    assert here.run(CHROME_BIN=named)[0] == 0
    monkeypatch.setenv("CHROME_BIN", named)
    assert find_chromium() == named


def test_a_named_browser_that_is_no_program_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, _, said = machine(tmp_path, ALL, user=1000).run(CHROME_BIN="/no/such")
    assert status == 1
    assert len(said) == 1
    assert said[0].startswith("error: CHROME_BIN=/no/such is no program")
    monkeypatch.setenv("CHROME_BIN", "/no/such")
    with pytest.raises(FileNotFoundError, match="CHROME_BIN=/no/such is no program"), chromium():
        pass


def test_without_a_browser_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CHROME_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="apt-get install chromium"), chromium():
        pass
    assert "apt-get install chromium" in ABSENT


@pytest.mark.slow
def test_without_prometheus_its_tests_are_skipped_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "test_needs.py").write_text(
        "from tests.support.prometheus import program\ndef test_needs():\n    program('prometheus')\n"
    )
    python = REPOSITORY / ".venv" / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "pytest", "-rs", "-p", "no:cacheprovider", tmp_path],
        env={"PATH": str(tmp_path), "PYTHONPATH": str(REPOSITORY), "CI": "true"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"SKIPPED.*prometheus is not installed; on Debian: apt-get install prometheus", done.stdout)


def test_the_workflow_runs_what_everybody_runs() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[0] == ".ci/run"
    assert not [command for command in commands if "make check" in command or "make test" in command]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


@pytest.mark.parametrize(("status", "wanted"), [(0, 0), (1, 1), (3, 0)])
def test_the_workflow_warns_where_the_database_of_vulnerabilities_cannot_be_asked(
    status: int, wanted: int, tmp_path: Path
) -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    audit = workflow["jobs"]["test"]["steps"][-1]["run"]
    (tmp_path / "scripts").mkdir()
    here = Machine(tmp_path / "scripts")
    here.add("audit", f"exit {status}")
    done = subprocess.run(
        ["bash", "-e", "-c", audit], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == wanted
    assert ("::warning::" in done.stdout) == (status == 3)
