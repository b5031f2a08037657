"""The benchmark's texts have the lengths that its rows are named for."""

from __future__ import annotations

from benchmarks.loads import LENGTHS
from benchmarks.published import INFINITY
from benchmarks.texts import WORDS
from model.tokenizer import TextTokenizer
from serve_app.settings import MINI_MODEL


def test_every_word_is_one_token() -> None:
    lines = TextTokenizer(MINI_MODEL, 512).encode([*WORDS, " ".join(WORDS)])
    assert [len(line.ids) for line in lines] == [3] * len(WORDS) + [len(WORDS) + 2]


def test_each_length_has_a_published_figure() -> None:
    assert [load.name for load in LENGTHS] == list(INFINITY)
    assert all(load.name == f"1x{load.tokens}" and load.users == 1 for load in LENGTHS)
