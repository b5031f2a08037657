"""A tokenizer's added and special tokens, read as transformers 5 reads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer

from model.errors import ModelError

_USUAL: dict[str, str | None] = {
    "bos_token": None,
    "eos_token": None,
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
"""BERT's special tokens, in the order in which they are added."""

_NEEDED = ("unk_token", "sep_token", "cls_token")
_EXTRA = ("extra_special_tokens", "additional_special_tokens")
_OPTIONS = ("lstrip", "rstrip", "single_word", "normalized", "special")

Json = dict[str, Any]


@dataclass(frozen=True)
class AddedTokens:
    """Added tokens in the order of their ids, special tokens by purpose, and other special ones."""

    numbered: list[AddedToken]
    named: dict[str, AddedToken]
    extra: list[AddedToken]

    def name_of(self, key: str) -> str:
        """The text of a special token, such as cls_token."""
        return str(self.named[key].content)

    def add_to(self, tokenizer: Tokenizer) -> None:
        """Add them all; a token in the vocabulary keeps its id, any other gets the next one."""
        names = {token.content for token in self.named.values()}
        tokens = list(self.numbered)
        there = {token.content for token in [*tokenizer.get_added_tokens_decoder().values(), *tokens]}
        # of two with the same content the later one counts
        tokens += [token for token in [*self.named.values(), *self.extra] if token.content not in there]
        for token in tokens:
            if token.content in names:
                token.special = True
        tokenizer.add_tokens(tokens)


def read_added_tokens(
    settings: Json, special_map: Json, by_content: Json, serialized: Iterable[Json], *, usual: bool, where: str
) -> AddedTokens:
    """Merge the tokens of tokenizer_config.json, special_tokens_map.json, added_tokens.json and tokenizer.json.

    With `usual`, special tokens that no file names are BERT's. `where` is for errors.

    Raises:
        ModelError: a token is invalid, a needed one is missing, or there is one that only other models have.
    """
    if unknown := special_map.keys() - {*_USUAL, *_EXTRA}:
        raise ModelError(
            f"{where} has a special_tokens_map.json with {min(unknown)}, which is not served; leave it out"
        )
    if settings.get("model_specific_special_tokens"):
        raise ModelError(f"{where} has a tokenizer with model_specific_special_tokens, which are not served")
    given = _named(settings, where) | _named(special_map, where, special=True)
    named = {key: _special(value) if usual and value is not None else None for key, value in _USUAL.items()} | given
    if usual and any(named[key] is None for key in _NEEDED):
        raise ModelError(f"{where} has a tokenizer that sets one of {', '.join(_NEEDED)} to null; each needs a token")
    extra = _extra(settings, where) + _tokens(special_map, "extra_special_tokens", where, special=True)

    values = [*(settings.get(key) for key in _USUAL), *(value for key in _EXTRA for value in settings.get(key) or [])]
    objects = {value.get("content") for value in values if isinstance(value, dict)}
    if twice := by_content.keys() & objects:
        raise ModelError(
            f"{where} has the token {min(twice)!r} in added_tokens.json and as an object in tokenizer_config.json; save"
            " the tokenizer again with transformers 5"
        )

    tokens: dict[int, AddedToken] = {}
    # tokens that are special only by default do not count here
    special = {token.content for token in [*given.values(), *extra] if token is not None}
    # transformers 4 writes {} for none, and those of the older file then count
    if all(settings.get(key, {}) == {} for key in _EXTRA) and "extra_special_tokens" not in special_map:
        extra = _tokens(special_map, "additional_special_tokens", where)
    for content, number in by_content.items():
        tokens[number] = AddedToken(content, normalized=content not in special, special=content in special)
    for entry in serialized:
        tokens[entry["id"]] = AddedToken(**{key: value for key, value in entry.items() if key != "id"})
    for number, entry in settings.get("added_tokens_decoder", {}).items():
        tokens[int(number)] = AddedToken(**entry)

    known = {token.content: token for token in tokens.values()}
    return AddedTokens(
        [token for _, token in sorted(tokens.items())],
        {key: known.get(token.content, token) for key, token in named.items() if token is not None},
        extra,
    )


def _named(source: Json, where: str, *, special: bool = False) -> dict[str, AddedToken | None]:
    named: dict[str, AddedToken | None] = {}
    for key, value in source.items():
        if key in _USUAL:
            named[key] = None if value is None else _token(value, key, where, special=special)
        elif key.endswith("_token") and isinstance(value, str | dict):
            raise ModelError(f"{where} has a tokenizer with a {key}, which is not served")
    return named


def _extra(settings: Json, where: str) -> list[AddedToken]:
    return _tokens(settings, next((key for key in _EXTRA if settings.get(key)), _EXTRA[0]), where)


def _tokens(source: Json, key: str, where: str, *, special: bool = False) -> list[AddedToken]:
    values = source.get(key) or []
    if not isinstance(values, list):
        raise ModelError(f"{where} has a tokenizer with {key} by name, which are not served")
    return [_token(value, f"{key} entry", where, special=special) for value in values]


def _token(value: Any, key: str, where: str, *, special: bool) -> AddedToken:
    """A token in the form of tokenizer_config.json, or of special_tokens_map.json, in which each is special."""
    if isinstance(value, str):
        return _special(value)
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        options = {name: value[name] for name in _OPTIONS if name in value}
        return AddedToken(value["content"], **options | ({"special": True} if special else {}))
    raise ModelError(f"{where} has a tokenizer whose {key} is no text")


def _special(content: str) -> AddedToken:
    return AddedToken(content, special=True)
