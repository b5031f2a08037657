"""Builds a tokenizer from its files, as AutoTokenizer of transformers 5 does.

AutoTokenizer decides by `tokenizer_class`. DistilBERT's classes use only the vocabulary and the added tokens of
tokenizer.json; everything else comes from tokenizer_config.json and from defaults. The general class uses
tokenizer.json unchanged. Both then add the tokens of the other files. Rare options are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from model.added_tokens import AddedTokens, read_added_tokens
from model.errors import ModelError
from model.files import is_file, read_json, refuse_pointer
from model.word_boundaries import word_boundary

FAST, SETTINGS, WORDS = "tokenizer.json", "tokenizer_config.json", "vocab.txt"
SPECIAL, ADDED = "special_tokens_map.json", "added_tokens.json"
FILES = (FAST, SETTINGS, WORDS, SPECIAL, ADDED)
"""The files that determine token ids; some may be missing."""

_BERT = ("BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast")
_GENERAL = ("PreTrainedTokenizerFast", "TokenizersBackend")
_NOT_SERVED = ("auto_map", "fast_tokenizer_files", "vocab", "tokenizer_truncation", "_json_truncation")
_FLAGS: dict[str, bool | None] = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer without truncation, the side that it truncates, and its maximum of tokens."""

    tokenizer: Tokenizer
    truncation_side: Literal["left", "right"]
    max_length: int | None
    boundary: re.Pattern[str] | None
    """A character after which a text can be split without a change of its tokens; None if that is not known."""


def read_tokenizer(directory: Path) -> TokenizerFiles:
    """The tokenizer of a model directory.

    Raises:
        ModelError: a file is missing or cannot be read, or needs a feature that is not supported.
    """
    file = directory / SETTINGS
    settings = _optional(file)
    kind = settings.get("tokenizer_class") or _optional(directory / "config.json").get("tokenizer_class")
    if kind is not None and kind not in (*_BERT, *_GENERAL):
        raise ModelError(f"{file} says tokenizer_class {kind!r}; there are {', '.join((*_BERT, *_GENERAL))}")
    for key in _NOT_SERVED:
        if settings.get(key):
            raise ModelError(f"{file} has {key}, which is not served; save the tokenizer without it")
    state = _optional(directory / FAST)
    try:
        build = _general if kind in _GENERAL else _bert
        tokenizer = build(directory, state, settings)
        _refuse_ambiguous(tokenizer, directory)
        side, max_length = _side(state, settings, file), _max_length(settings, file)
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001  (tokenizers raises a bare Exception for a bad file)
        raise ModelError(f"{directory} has a tokenizer that cannot be read ({error}); save it again") from None
    tokenizer.encode_special_tokens = bool(settings.get("split_special_tokens", False))
    return TokenizerFiles(tokenizer, side, max_length, None if build is _general else _boundary(tokenizer))


def _bert(directory: Path, state: dict[str, Any], settings: dict[str, Any]) -> Tokenizer:
    """A tokenizer of the vocabulary, otherwise like BertTokenizer."""
    tokens = _tokens(directory, state, settings, usual=True)
    unknown = tokens.name_of("unk_token")
    vocabulary = _vocabulary(directory, state)
    if unknown not in vocabulary:
        raise ModelError(
            f"{directory} has a tokenizer whose unknown token {unknown!r} is not in its vocabulary; add it"
        )
    flags: dict[str, Any] = {name: settings.get(name, usual) for name, usual in _FLAGS.items()}
    for name, value in flags.items():
        if not isinstance(value, bool) and value is not _FLAGS[name]:
            raise ModelError(f"{directory / SETTINGS} says {name} {value!r}; there are true and false")
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=flags["tokenize_chinese_chars"],
        strip_accents=flags["strip_accents"],
        lowercase=flags["do_lower_case"],
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokens.add_to(tokenizer)
    first, last = tokens.name_of("cls_token"), tokens.name_of("sep_token")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {last}:0",
        pair=f"{first}:0 $A:0 {last}:0 $B:1 {last}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in {first, last}],
    )
    return tokenizer


def _boundary(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    return word_boundary(tokenizer.normalizer, added)


def _general(directory: Path, state: dict[str, Any], settings: dict[str, Any]) -> Tokenizer:
    """The tokenizer of an unchanged tokenizer.json."""
    if not state:
        raise ModelError(f"{directory} has no {FAST}, which its tokenizer_class needs; save the tokenizer again")
    tokenizer = Tokenizer.from_file(str(directory / FAST))
    tokenizer.no_truncation()
    unknown = getattr(tokenizer.model, "unk_token", None)
    if unknown is not None and tokenizer.model.token_to_id(unknown) is None:
        raise ModelError(f"{directory} has a tokenizer whose unknown token {unknown!r} is not in its vocabulary")
    model = state.get("model") or {}
    if model.get("type") == "Unigram" and model.get("unk_id") is None and not model.get("byte_fallback"):
        raise ModelError(
            f"{directory / FAST} has a Unigram model without unk_id, which fails at unknown letters; set it"
        )
    _tokens(directory, state, settings, usual=False).add_to(tokenizer)
    return tokenizer


def _vocabulary(directory: Path, state: dict[str, Any]) -> dict[str, int]:
    if not state:
        words = directory / WORDS
        if not is_file(words):
            raise ModelError(f"{directory} has neither {FAST} nor {WORDS}; save the model's tokenizer there too")
        refuse_pointer(words)
        return dict(WordPiece.read_file(str(words)))
    model = state.get("model")
    if not isinstance(model, dict) or model.get("type", "WordPiece") != "WordPiece":
        raise ModelError(
            f"{directory / FAST} holds no WordPiece vocabulary; where it is to be used as it is, {SETTINGS} must say"
            " tokenizer_class PreTrainedTokenizerFast"
        )
    return dict(model["vocab"])


def _tokens(directory: Path, state: dict[str, Any], settings: dict[str, Any], *, usual: bool) -> AddedTokens:
    # tokenizer_config.json has all added tokens or none; only if none, the older files count
    whole = "added_tokens_decoder" in settings
    return read_added_tokens(
        settings,
        {} if whole else _optional(directory / SPECIAL),
        {} if whole else _optional(directory / ADDED),
        [] if whole else state.get("added_tokens", []),
        usual=usual,
        where=str(directory),
    )


def _refuse_ambiguous(tokenizer: Tokenizer, directory: Path) -> None:
    """Refuse added tokens that the normalizer makes equal: a text's token would change from load to load."""
    seen: dict[str, str] = {}
    for token in tokenizer.get_added_tokens_decoder().values():
        if tokenizer.normalizer is None or not token.normalized:
            continue
        other = seen.setdefault(tokenizer.normalizer.normalize_str(token.content), token.content)
        if other != token.content:
            raise ModelError(
                f"{directory} has the added tokens {other!r} and {token.content!r}, which its normalizer makes equal;"
                " remove one, or set its normalized to false"
            )


def _side(state: dict[str, Any], settings: dict[str, Any], file: Path) -> Literal["left", "right"]:
    own = (state.get("truncation") or {}).get("direction", "right")
    side = settings.get("truncation_side", str(own).lower())
    if side == "left":
        return "left"
    if side == "right":
        return "right"
    raise ModelError(f"{file} says truncation_side {side!r}; there are left and right")


def _max_length(settings: dict[str, Any], file: Path) -> int | None:
    """The limit of tokens; None if there is none, which transformers writes as 1e30."""
    length = settings.get("model_max_length", settings.get("max_len"))
    if length is None:
        return None
    if isinstance(length, float) and length >= 1e9:  # noqa: PLR2004  (no text has as many tokens)
        return None
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise ModelError(f"{file} must give model_max_length as a positive whole number")
    return length


def _optional(file: Path) -> dict[str, Any]:
    return read_json(file) if is_file(file) else {}
