"""The figures in README and docs are those of one run, and each table says on which CPU."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.figures import DOCUMENTS, FIGURES, lengths_table, loads_table, ratios, summary, written
from benchmarks.loads import Figures
from benchmarks.machine import cores, cpu, where
from benchmarks.report import too_few
from tests.support.service import REPOSITORY

TABLES = {
    "README.md": 2,
    "docs/reference/performance.md": 2,
    "docs/decisions/own-graph.md": 2,
    "docs/reference/overload.md": 1,
    "docs/reference/resilience.md": 2,
    "docs/how-to/image.md": 1,
}
"""How many places of each document name the CPU of their figures, at least."""

AMD = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC

processor\t: 1
model\t\t: 99
"""
ARM = """processor\t: 0
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd0c
"""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_document_has_the_figures_of_the_committed_run(document: Path) -> None:
    record = json.loads(FIGURES.read_text(encoding="utf-8"))
    text = document.read_text(encoding="utf-8")
    assert written(document, record) == text, "python -m benchmarks.figures writes them"
    record["loads"]["hits"]["requests_per_s"]["ratio"] = 7.77
    assert written(document, record) != text


def test_the_readme_quotes_the_ratios_of_the_table() -> None:
    table = (REPOSITORY / "docs" / "reference" / "performance.md").read_text(encoding="utf-8")
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    quoted = [float(times) for times in re.findall(r"([\d.]+) times (?:the|on)", readme.partition("## How fast")[2])]
    rows = re.findall(r"^\| ([^|]+) \| requests/s \|.* \| ([\d.]+) \|$", table, re.MULTILINE)
    published = {load.strip(): float(ratio) for load, ratio in rows}
    wanted = [published[load] for load in ("hits", "course load", "novel load", "no cache, 50 users")]
    assert quoted == pytest.approx(wanted, rel=0.03)
    assert len(quoted) == len(wanted)


def test_readme_and_table_name_the_runs_commit() -> None:
    commit = json.loads(FIGURES.read_text(encoding="utf-8"))["machine"]["commit"]
    for name in ("README.md", "docs/reference/performance.md"):
        assert f"commit {commit}" in (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TABLES)
def test_the_cpus_family_and_model_stand_beside_figures(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    named = re.findall(r"(?:AMD EPYC|Intel Xeon)(?! *\")[^.|;]*", text)
    assert len(named) >= TABLES[name]
    for words in named:
        assert "family" in words, words
        assert "model" in words, words


def test_medians_and_ratios_are_what_is_published() -> None:
    def run(rate: float) -> Figures:
        return Figures(requests_per_s=rate, p50=2.0, p90=3.0, p99=4.0, requests=100, wrong=0)

    rounds = {"hits": {"reference": [run(10.04), run(30.0), run(20.0)], "ours": [run(50.0), run(50.0), run(50.0)]}}
    record = summary(rounds, {"cpu": "a CPU"}, 8)
    assert (record["rounds"], record["seconds"]) == (3, 8)
    assert record["loads"]["hits"]["requests_per_s"] == {"reference": 20.0, "ours": 50.0, "ratio": 2.5}


def test_lean_server_and_lengths_are_published_too() -> None:
    def runs(*rates: float) -> list[Figures]:
        return [Figures(rate, p50=2.0, p90=3.0, p99=4.0, requests=100, wrong=0) for rate in rates]

    stacks = {"reference": runs(10.0, 12.0), "lean": runs(40.0, 40.0), "ours": runs(20.0, 30.0)}
    loads = (
        "hits",
        "course load",
        "novel load",
        *(f"no cache, {users}" for users in ("1 user", "10 users", "50 users")),
    )
    rounds = dict.fromkeys((*loads, "1x8", "1x512"), stacks)
    record = summary(rounds, json.loads(FIGURES.read_text(encoding="utf-8"))["machine"], 8)
    assert record["loads"]["hits"]["requests_per_s"] == {
        "reference": 11.0,
        "lean": 40.0,
        "ours": 25.0,
        "to_lean": 0.62,
        "ratio": 2.27,
    }
    assert "Of the lean server's requests a second: 0.62 on cached texts" in ratios(record)
    table, lengths = loads_table(record), lengths_table(record)
    assert "| hits | requests/s | 11.0 | 40.0 | 25.0 | 0.62 | 2.27 |" in table
    assert "1x8" not in table
    assert "| 1x8 | 11.0 | 40.0 | 25.0 | 0.62 | 2.27 | 248 |" in lengths
    assert "| 1x512 | 11.0 | 40.0 | 25.0 | 0.62 | 2.27 | 12 |" in lengths
    assert "family" in lengths, "the CPU stands beside each table"


def test_a_row_with_hardly_an_answer_is_named() -> None:
    runs = {name: [Figures(1.0, 2.0, 3.0, 4.0, requests=count, wrong=0)] for name, count in (("lean", 9), ("ours", 4))}
    assert too_few({"1x8": runs}, 5) == ["1x8 of this service"]
    assert too_few({"1x8": runs}, 4) == []


def test_the_cpu_is_named_by_vendor_family_and_model(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(AMD)
    assert cpu(file) == "AMD EPYC (AuthenticAMD, family 25, model 17)"
    assert cores(file) == 2
    file.write_text(ARM)
    assert "(0x41, family 8, model 0xd0c)" in cpu(file)
    assert cpu(tmp_path / "none"), "where the system does not tell, what Python knows"
    assert re.search(r", \d+ cores, commit", where())
