"""`python -m benchmarks.figures`: writes the figures of docs/reference/performance.json into README and docs.

A complete `make bench` writes that file, and then runs this too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.loads import LENGTHS, Figures
from benchmarks.published import INFINITY, INFINITY_SOURCE
from benchmarks.report import BASES, FIELDS, TITLES, Rounds, median, stacks_of

REPOSITORY = Path(__file__).resolve().parent.parent
FIGURES = REPOSITORY / "docs" / "reference" / "performance.json"
PACKAGES = {"ray": "Ray", "openvino": "OpenVINO", "transformers": "transformers", "torch": "torch"}
BLOCK = "<!-- {name}, by benchmarks.figures -->\n{text}\n<!-- end -->"


def summary(rounds: Rounds, machine: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Medians of every stack and this service's ratios, by load and field, as performance.json has them."""
    count = max(len(each) for stacks in rounds.values() for each in stacks.values())
    loads = {load: {field: _compared(stacks, field) for field in FIELDS} for load, stacks in rounds.items()}
    return {"machine": machine, "rounds": count, "seconds": seconds, "loads": loads}


def _compared(stacks: dict[str, list[Figures]], field: str) -> dict[str, float]:
    medians = {stack: median(runs, field) for stack, runs in stacks.items()}
    ratios = {name: round(medians["ours"] / medians[base], 2) for base, name in BASES.items() if base in medians}
    return {stack: round(value, 1) for stack, value in medians.items()} | ratios


def loads_table(record: dict[str, Any]) -> str:
    """The run's description, and requests a second and latencies of every stack, in Markdown."""
    loads = {load: fields for load, fields in record["loads"].items() if load not in INFINITY}
    columns, ratios = _columns(loads)
    lines = [f"{_caption(record)}.", "", *_head("load", "", *columns.values(), *ratios.values())]
    for load, fields in loads.items():
        for field, title in FIELDS.items():
            row = fields[field]
            values = [f"{row[stack]:,.1f}" for stack in columns] + [f"{row[ratio]:.2f}" for ratio in ratios]
            lines.append(_row(load if field == "requests_per_s" else "", title, *values))
    return "\n".join(lines)


def lengths_table(record: dict[str, Any]) -> str:
    """Requests a second of one user by a text's length, beside published figures of others, in Markdown."""
    loads = {load.name: record["loads"][load.name] for load in LENGTHS if load.name in record["loads"]}
    if not loads:
        return "The run above had no rows by length; `make bench` has them."
    columns, ratios = _columns(loads)
    lines = [
        f"{_caption(record)}. {INFINITY_SOURCE}.",
        "",
        *_head("texts x tokens", *columns.values(), *ratios.values(), "HF Infinity, published"),
    ]
    for load, fields in loads.items():
        row = fields["requests_per_s"]
        values = [f"{row[stack]:,.1f}" for stack in columns] + [f"{row[ratio]:.2f}" for ratio in ratios]
        lines.append(_row(load, *values, f"{INFINITY[load]:,}"))
    return "\n".join(lines)


def _columns(loads: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The stacks and the ratios that these rows have, each with its title."""
    stacks = {
        stack: TITLES[stack] for stack in stacks_of({name: load["requests_per_s"] for name, load in loads.items()})
    }
    ratios = {name: f"to {TITLES[base]}" for base, name in BASES.items() if base in stacks}
    return stacks, ratios


def _caption(record: dict[str, Any]) -> str:
    machine = record["machine"]
    versions = ", ".join(f"{title} {machine[package]}" for package, title in PACKAGES.items())
    command = f'make bench ARGS="--rounds {record["rounds"]} --seconds {record["seconds"]}"'
    run = f"median of {record['rounds']} rounds of {record['seconds']} seconds a load (`{command}`)"
    return f"{machine['cpu']}, {machine['cores']} cores; commit {machine['commit']}; {versions}; {run}"


def _head(*titles: str) -> list[str]:
    return [_row(*titles), "|" + "---|" * len(titles)]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def ratios(record: dict[str, Any]) -> str:
    """Requests a second as times the plain stack's, and as shares of the lean server's, in sentences for the README."""
    machine = record["machine"]

    def ratio(load: str, name: str) -> str:
        found = record["loads"][load]["requests_per_s"][name]
        return f"{found:.0f}" if found >= 10 else f"{found:.1f}" if name == "ratio" else f"{found:.2f}"  # noqa: PLR2004

    plain = (
        f"{ratio('hits', 'ratio')} times the requests a second on cached texts, "
        f"{ratio('course load', 'ratio')} times on the course's load,\n"
        f"{ratio('novel load', 'ratio')} times on the novel load and "
        f"{ratio('no cache, 50 users', 'ratio')} times on texts that are all new"
    )
    measured = f"(commit {machine['commit']}, `make bench`, {machine['cpu']}, {machine['cores']} cores)."
    if "to_lean" not in record["loads"]["hits"]["requests_per_s"]:
        return f"{plain} {measured}"
    lean = (
        f"{ratio('hits', 'to_lean')} on cached texts, {ratio('novel load', 'to_lean')} on the novel load, and "
        f"{ratio('no cache, 1 user', 'to_lean')}, {ratio('no cache, 10 users', 'to_lean')} and "
        f"{ratio('no cache, 50 users', 'to_lean')}\non new texts of 1, 10 and 50 users"
    )
    return f"{plain}.\nOf the lean server's requests a second: {lean} {measured}"


DOCUMENTS: dict[Path, dict[str, Callable[[dict[str, Any]], str]]] = {
    REPOSITORY / "docs" / "reference" / "performance.md": {"loads": loads_table, "lengths": lengths_table},
    REPOSITORY / "README.md": {"ratios": ratios},
}


def written(document: Path, record: dict[str, Any]) -> str:
    """The document's text with those figures.

    Raises:
        ValueError: it does not have one block for each.
    """
    text = document.read_text(encoding="utf-8")
    for name, render in DOCUMENTS[document].items():
        pattern = re.escape(BLOCK.format(name=name, text="\0")).replace("\0", ".*?")
        block = BLOCK.format(name=name, text=render(record)).replace("\\", r"\\")
        text, found = re.subn(pattern, block, text, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"{document} has {found} places for {name}, and should have one")
    return text


def publish(record: dict[str, Any]) -> None:
    """Write figures into docs/reference/performance.json and the documents."""
    FIGURES.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for document in DOCUMENTS:
        document.write_text(written(document, record), encoding="utf-8")


if __name__ == "__main__":
    publish(json.loads(FIGURES.read_text(encoding="utf-8")))
