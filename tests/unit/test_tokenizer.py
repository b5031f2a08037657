from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.errors import ModelError
from model.tokenizer import TextTokenizer
from serve_app.settings import MINI_MODEL
from tests import sentences


def words(count: int) -> str:
    return " ".join(["good"] * count)


def test_exactly_what_is_cut_is_told() -> None:
    tokenizer = TextTokenizer(MINI_MODEL, 512)
    lines = tokenizer.encode([words(509), words(510), words(511), "", words(5000)])
    assert [len(line.ids) for line in lines] == [511, 512, 512, 2, 512]
    assert [line.truncated for line in lines] == [False, False, True, False, True]


def test_a_shorter_limit_cuts_sooner() -> None:
    lines = TextTokenizer(MINI_MODEL, 8).encode([words(6), words(7)])
    assert [(len(line.ids), line.truncated) for line in lines] == [(8, False), (8, True)]


def test_a_vocabulary_alone_gives_the_same_ids(tmp_path: Path) -> None:
    state = json.loads((MINI_MODEL / "tokenizer.json").read_text())
    vocabulary = sorted(state["model"]["vocab"], key=state["model"]["vocab"].__getitem__)
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    texts = [text for text in sentences.ALL if "[" not in text]
    assert TextTokenizer(tmp_path, 512).encode(texts) == TextTokenizer(MINI_MODEL, 512).encode(texts)


def test_a_missing_or_broken_tokenizer_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"neither tokenizer\.json nor vocab\.txt"):
        TextTokenizer(tmp_path, 512)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "WordPiece", "vocab": {"[UNK]": "first"}}}')
    with pytest.raises(ModelError, match="cannot be read"):
        TextTokenizer(tmp_path, 512)
