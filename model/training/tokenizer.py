"""Loads a model directory's tokenizer for training as transformers does, and saves it unchanged."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer

from model.errors import ModelError

MAX_TOKENS = 128


def load_tokenizer(directory: Path, vocab_size: int) -> Any:
    """The tokenizer of `directory`, from tokenizer.json or from vocab.txt alone.

    Raises:
        ModelError: there is none, it cannot be read, or it has more pieces than the embedding's `vocab_size` rows.
    """
    if not any((directory / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise ModelError(f"{directory} has neither tokenizer.json nor vocab.txt")
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        last = max(tokenizer.get_vocab().values())
    except Exception as error:  # noqa: BLE001  (tokenizers raises a bare Exception, transformers many kinds)
        line = str(error).strip().partition("\n")[0][:200]
        raise ModelError(f"{directory} has a tokenizer that cannot be read ({line or type(error).__name__})") from None
    if not tokenizer.is_fast:
        raise ModelError(f"{directory} has a tokenizer that is no tokenizer.json and no WordPiece vocab.txt")
    if last >= vocab_size:
        raise ModelError(f"{directory} has a tokenizer with {last + 1} pieces, but an embedding of {vocab_size} rows")
    return tokenizer


def encode(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids of each text, special tokens included, cut at 128 tokens or at what the model can take."""
    if not texts:
        return []
    ids = tokenizer(list(texts), truncation=True, max_length=min(MAX_TOKENS, max_tokens))["input_ids"]
    return [list(line) for line in ids]


def with_vocabulary(tokenizer: Any, vocabulary: Tokenizer) -> Any:
    """The same tokenizer with the pieces of `vocabulary`."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        vocabulary.save(str(Path(folder) / "tokenizer.json"))
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def save_tokenizer(tokenizer: Any, folder: Path, max_tokens: int) -> None:
    """Write tokenizer.json and tokenizer_config.json, with a limit of `max_tokens` and none of training's settings."""
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.model_max_length = max_tokens
    for how in ("local_files_only", "is_local"):  # options of loading, not of the tokenizer
        tokenizer.init_kwargs.pop(how, None)
    tokenizer.save_pretrained(folder)
