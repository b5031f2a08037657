"""Text to token ids exactly as transformers does it, with the `tokenizers` package alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import ModelError
from model.tokenizer_files import FILES as TOKENIZER_FILES
from model.tokenizer_files import read_tokenizer

__all__ = ["TOKENIZER_FILES", "Encoding", "TextTokenizer"]


_CHARS_PER_TOKEN = 6
_ANY = "a"


@dataclass(frozen=True, slots=True)
class Encoding:
    """Token ids with [CLS] and [SEP], and whether the text was truncated."""

    ids: list[int]
    truncated: bool


class TextTokenizer:
    """The tokenizer of a model directory.

    It truncates at `max_tokens`, special tokens included, or at the directory's `model_max_length` if that is less.
    """

    def __init__(self, directory: Path, max_tokens: int) -> None:
        """Read the tokenizer's files.

        Raises:
            ModelError: a file is missing or cannot be read, or needs a feature that is not supported.
        """
        files = read_tokenizer(directory)
        self._directory = directory
        self._tokenizer = files.tokenizer
        self.max_tokens = max_tokens if files.max_length is None else min(max_tokens, files.max_length)
        special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        if special < 1:
            raise ModelError(
                f"{directory} has a tokenizer that adds no [CLS], so an empty text has no token at all; set a"
                " post_processor in tokenizer.json, or tokenizer_class to DistilBertTokenizer in tokenizer_config.json"
            )
        if self.max_tokens <= special:
            raise ModelError(f"{directory} allows {self.max_tokens} tokens, and special tokens alone are {special}")
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._left = files.truncation_side == "left"
        self._boundary = None if self._left else files.boundary
        self._before, self._after = self._around()
        self._room = self.max_tokens - special

    def _around(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text's own."""
        try:
            special = set(self._tokenizer.encode("").ids)
            for text in itertools.chain([_ANY], self._tokenizer.get_vocab()):
                own = self._tokenizer.encode(text, add_special_tokens=False).ids
                if own and special.isdisjoint(own):  # otherwise one could be taken for the other
                    whole = self._tokenizer.encode(text).ids
                    start = next(at for at in range(len(whole)) if whole[at : at + len(own)] == own)
                    return whole[:start], whole[start + len(own) :]
        except Exception as error:  # noqa: BLE001  (tokenizers raises a bare Exception)
            raise ModelError(f"{self._directory} has a tokenizer that fails ({error}); save it again") from None
        raise ModelError(f"{self._directory} has a tokenizer whose vocabulary has special tokens alone")

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode each text, in order. Takes about 20 µs for a short sentence and releases the GIL.

        Of a text to truncate only about the kept part is read, if the tokenizer's files allow that.
        """
        encodings: list[Encoding | None] = [None] * len(texts)
        rest = dict.fromkeys(range(len(texts)), _CHARS_PER_TOKEN * self.max_tokens)
        while rest:
            ends = [self._end(texts[index], chars) for index, chars in rest.items()]
            parts = [texts[index][:end] for index, end in zip(rest, ends, strict=True)]
            lines = self._tokenizer.encode_batch_fast(parts, add_special_tokens=False)
            for index, end, line in zip(list(rest), ends, lines, strict=True):
                ids = line.ids
                if len(ids) > self._room or end == len(texts[index]):
                    encodings[index] = self._cut(ids)
                    del rest[index]
                else:
                    rest[index] *= 2
        return [encoding for encoding in encodings if encoding is not None]

    def _end(self, text: str, chars: int) -> int:
        """The end of a part of about `chars` characters whose tokens are the first of the text's."""
        if self._boundary is None or len(text) <= chars:
            return len(text)
        found = self._boundary.search(text, chars)
        return found.end() if found else len(text)

    def _cut(self, ids: list[int]) -> Encoding:
        kept = ids[-self._room :] if self._left else ids[: self._room]
        return Encoding([*self._before, *kept, *self._after], len(ids) > self._room)

    def check_ids(self, rows: int) -> None:
        """Compare with the `rows` of the model's word embedding.

        Raises:
            ModelError: a token has no row, so the engine would read memory past the table.
        """
        special = self._tokenizer.encode("")  # a post-processor has its own ids
        numbers = [*self._tokenizer.get_vocab().items(), *zip(special.tokens, special.ids, strict=True)]
        token, number = max(numbers, key=lambda item: item[1])
        if number >= rows:
            raise ModelError(
                f"{self._directory} has a tokenizer whose token {token!r} has number {number}, and word embeddings for"
                f" {rows} tokens; resize them (resize_token_embeddings), or take the tokenizer of its training"
            )
