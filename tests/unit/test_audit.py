"""`make sbom` without a network, and `make audit` where its database cannot be reached."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from tests.support.service import REPOSITORY


def make(target: str) -> subprocess.CompletedProcess[str]:
    """Run a target without a network, and without installing anything first."""
    nowhere = "http://127.0.0.1:1"
    return subprocess.run(
        ["make", "-o", ".venv/.dev", target],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "HTTP_PROXY": nowhere,
            "HTTPS_PROXY": nowhere,
            "https_proxy": nowhere,
            "http_proxy": nowhere,
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_the_bill_of_materials_has_every_locked_package() -> None:
    done = make("sbom")
    assert done.returncode == 0, done.stderr
    document = json.loads((REPOSITORY / "build" / "sbom.json").read_text(encoding="utf-8"))
    assert document["bomFormat"] == "CycloneDX"
    listed = {(each["name"], each["version"]) for each in document["components"]}
    requirements = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    assert listed == set(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+) ", requirements, re.MULTILINE))


@pytest.mark.parametrize("arguments", [[], ["pip-audit"], ["pip-audit", "a.txt", "b.txt"]])
def test_an_audit_with_other_arguments_prints_its_usage(arguments: list[str]) -> None:
    done = subprocess.run(
        ["scripts/audit", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "error: usage: scripts/audit PIP_AUDIT REQUIREMENTS\n"


def test_an_audit_without_its_database_says_so_and_does_not_pass() -> None:
    done = make("audit")
    assert "Error 3" in done.stderr, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: the database of vulnerabilities cannot be reached")
