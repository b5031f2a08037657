"""`python -m benchmarks.figures`: the figures that README and docs quote, written there from docs/performance.json.

That file is written by a whole `make bench`, which then does this too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.loads import Figures
from benchmarks.report import Rounds, median

REPOSITORY = Path(__file__).resolve().parent.parent
FIGURES = REPOSITORY / "docs" / "performance.json"
FIELDS = {"requests_per_s": "requests/s", "p50": "p50 ms", "p99": "p99 ms"}
PACKAGES = {"ray": "Ray", "openvino": "OpenVINO", "transformers": "transformers", "torch": "torch"}
BLOCK = "<!-- {name}, by benchmarks.figures -->\n{text}\n<!-- end -->"


def summary(rounds: Rounds, machine: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Medians of both stacks and their ratios, by load and field, as docs/performance.json has them."""
    count = max(len(each) for stacks in rounds.values() for each in stacks.values())
    loads = {load: {field: _compared(stacks, field) for field in FIELDS} for load, stacks in rounds.items()}
    return {"machine": machine, "rounds": count, "seconds": seconds, "loads": loads}


def _compared(stacks: dict[str, list[Figures]], field: str) -> dict[str, float]:
    reference, ours = median(stacks["reference"], field), median(stacks["ours"], field)
    return {"reference": round(reference, 1), "ours": round(ours, 1), "ratio": round(ours / reference, 2)}


def loads_table(record: dict[str, Any]) -> str:
    """What was measured where, and requests a second and latencies of both stacks, in Markdown."""
    machine = record["machine"]
    versions = ", ".join(f"{title} {machine[package]}" for package, title in PACKAGES.items())
    command = f'make bench ARGS="--rounds {record["rounds"]} --seconds {record["seconds"]}"'
    run = f"median of {record['rounds']} rounds of {record['seconds']} seconds a load (`{command}`)"
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores; commit {machine['commit']}; {versions}; {run}.",
        "",
        "| load | | FastAPI + transformers | this service | ratio |",
        "|---|---|---|---|---|",
    ]
    for load, fields in record["loads"].items():
        for field, title in FIELDS.items():
            name = load if field == "requests_per_s" else ""
            row = fields[field]
            lines.append(f"| {name} | {title} | {row['reference']:,.1f} | {row['ours']:,.1f} | {row['ratio']:.2f} |")
    return "\n".join(lines)


def ratios(record: dict[str, Any]) -> str:
    """How often more requests a second this service does, in a sentence for the README."""
    machine = record["machine"]

    def times(load: str) -> str:
        ratio = record["loads"][load]["requests_per_s"]["ratio"]
        return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"  # noqa: PLR2004

    return (
        f"{times('hits')} the requests a second on cached texts, {times('course load')} on the course's load,\n"
        f"{times('novel load')} on the novel load and {times('no cache, 50 users')} on texts that are all new "
        f"(commit {machine['commit']}, `make bench`,\n{machine['cpu']}, {machine['cores']} cores)."
    )


DOCUMENTS = {
    REPOSITORY / "docs" / "performance.md": ("loads", loads_table),
    REPOSITORY / "README.md": ("ratios", ratios),
}


def written(document: Path, record: dict[str, Any]) -> str:
    """The document's text with those figures.

    Raises:
        ValueError: it has no place for them.
    """
    name, render = DOCUMENTS[document]
    pattern = re.escape(BLOCK.format(name=name, text="\0")).replace("\0", ".*?")
    block = BLOCK.format(name=name, text=render(record))
    text, found = re.subn(pattern, lambda _: block, document.read_text(encoding="utf-8"), flags=re.DOTALL)
    if found != 1:
        raise ValueError(f"{document} has {found} places for {name}, and should have one")
    return text


def publish(record: dict[str, Any]) -> None:
    """Write figures into docs/performance.json and the documents."""
    FIGURES.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for document in DOCUMENTS:
        document.write_text(written(document, record), encoding="utf-8")


if __name__ == "__main__":
    publish(json.loads(FIGURES.read_text(encoding="utf-8")))
