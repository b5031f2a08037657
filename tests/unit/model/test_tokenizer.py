from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from model.errors import ModelError
from model.tokenizer import TextTokenizer
from serve_app.settings import MINI_MODEL
from tests.support import sentences


@cache
def theirs() -> Any:
    return AutoTokenizer.from_pretrained(MINI_MODEL)


def words(count: int) -> str:
    return " ".join(["good"] * count)


def test_exactly_the_texts_that_are_cut_are_reported() -> None:
    tokenizer = TextTokenizer(MINI_MODEL, 512)
    lines = tokenizer.encode([words(509), words(510), words(511), "", words(5000)])
    assert [len(line.ids) for line in lines] == [511, 512, 512, 2, 512]
    assert [line.truncated for line in lines] == [False, False, True, False, True]


def test_a_shorter_limit_cuts_sooner() -> None:
    lines = TextTokenizer(MINI_MODEL, 8).encode([words(6), words(7)])
    assert [(len(line.ids), line.truncated) for line in lines] == [(8, False), (8, True)]


pieces = st.sampled_from(
    [
        *"\u00a0\u2028\u2014\u060c\u2260\u037e\u1fef\u166d\u3400\U0002f800",
        *"ab1!?.[]\u4e2d\u3002 \t\n\u0301\u0316\x1c\u00e9\u00df\U0001f600\u3000",
        " good",
        "[MASK]",
        "[SEP] ",
        "x" * 100,
        "y" * 101,
    ]
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(pieces, st.integers(1, 40)), max_size=30), st.sampled_from([3, 8, 20]))
def test_what_is_read_of_a_long_text_gives_the_ids_of_the_whole(parts: list[tuple[str, int]], limit: int) -> None:
    text = "".join(piece * times for piece, times in parts)
    ours = TextTokenizer(MINI_MODEL, limit).encode([text])[0]
    assert ours.ids == theirs()(text, truncation=True, max_length=limit)["input_ids"]
    assert ours.truncated == (len(theirs()(text)["input_ids"]) > limit)


SEPARATED = [
    "the film is a good one ",
    *("ab" * 45 + mark for mark in " \u00a0\u2028\u2014\u00ab\u060c\u2260\U0002f800"),
]


@pytest.mark.parametrize("unit", [*SEPARATED, "!", "\u597d", "\u3400", "[MASK]"])
def test_of_a_text_that_is_cut_off_little_more_is_read_than_is_kept(monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    tokenizer = TextTokenizer(MINI_MODEL, 512)
    read: list[int] = []
    encode = tokenizer._tokenizer.encode_batch_fast

    class Counting:
        def encode_batch_fast(self, parts: list[str], **options: bool) -> object:
            read.extend(map(len, parts))
            return encode(parts, **options)

    monkeypatch.setattr(tokenizer, "_tokenizer", Counting())
    assert tokenizer.encode([(unit * 100_000)[:100_000]])[0].truncated
    assert sum(read) <= 10_000


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
