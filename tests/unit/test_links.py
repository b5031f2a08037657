"""Links in documents, and the documents that code and manifests name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.service import REPOSITORY

FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
NAMED = re.compile(r"\bdocs/[\w./-]+\.(?:md|json)\b")
SKIPPED = {".git", ".venv", "build", "models", "__pycache__"}


def files(*suffixes: str) -> list[Path]:
    """The repository's files with these suffixes, committed or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listed.stdout.splitlines() if not listed.returncode else None
    found = [REPOSITORY / name for name in names] if names else list(REPOSITORY.rglob("*"))
    return [path for path in found if path.suffix in suffixes and not SKIPPED & set(path.parts) and path.is_file()]


def anchors(document: Path) -> set[str]:
    """The fragments that GitHub gives a document's headings."""
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(document: Path, known: set[Path]) -> list[str]:
    """The relative links of a document to anything but a known file, a folder, or a heading that is there."""
    broken = []
    for pair in LINK.findall(FENCED.sub("", document.read_text(encoding="utf-8"))):
        link = next(filter(None, pair))
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        there = target.is_dir() or target in known
        if not there or (fragment and fragment not in anchors(target)):
            broken.append(link)
    return broken


DOCUMENTS = files(".md")
KNOWN = set(files(".md", ".json", ".png", ".py", ".yaml", ".yml", ".js", "")) | set(DOCUMENTS)
"""Files that git ignores are not among them: nobody else has those."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    assert broken_links(document, KNOWN) == []


def test_every_document_that_code_names_exists() -> None:
    named = {
        (name, str(path.relative_to(REPOSITORY)))
        for path in files(".py", ".yaml", ".yml", ".md", ".js", ".toml")
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert {(name, where) for name, where in named if not (REPOSITORY / name).exists()} == set()


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("# One, `two`\n[here](#one-two), [there](#three), [gone](gone.md), [itself](page.md#one-two)\n")
    assert broken_links(document, {document.resolve()}) == ["#three", "gone.md"]
