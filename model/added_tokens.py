"""The tokens that a tokenizer has besides its vocabulary, and the special ones, as transformers 5 adds them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer

from model.errors import ModelError

_USUAL = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_NEEDED = ("unk_token", "sep_token", "cls_token")
_OTHERS = ("bos_token", "eos_token")

Json = dict[str, Any]


@dataclass(frozen=True)
class AddedTokens:
    """Added tokens in the order of their numbers, special tokens by what they are for, and others that are special."""

    numbered: list[AddedToken]
    named: dict[str, AddedToken]
    extra: list[AddedToken]

    def name_of(self, key: str) -> str:
        """The text of a special token, such as cls_token."""
        return str(self.named[key].content)

    def add_to(self, tokenizer: Tokenizer) -> None:
        """Add them all; one that the vocabulary has keeps its number, and another gets the next one."""
        names = {token.content for token in self.named.values()}
        tokens = list(self.numbered)
        there = {token.content for token in [*tokenizer.get_added_tokens_decoder().values(), *tokens]}
        for token in [*self.named.values(), *self.extra]:
            if token.content not in there:
                there.add(token.content)
                tokens.append(token)
        for token in tokens:
            if token.content in names:
                token.special = True
        tokenizer.add_tokens(tokens)


def read_added_tokens(
    settings: Json, special_map: Json, by_content: Json, serialized: Iterable[Json], *, usual: bool, where: str
) -> AddedTokens:
    """Put together what tokenizer_config.json, special_tokens_map.json, added_tokens.json and tokenizer.json say.

    With `usual`, special tokens that no file names are BERT's. `where` is for errors.

    Raises:
        ModelError: a token is none, one that is needed is missing, or there is one that only other models have.
    """
    named: dict[str, AddedToken | None] = {key: _special(value) for key, value in _USUAL.items()} if usual else {}
    for source in (settings, special_map):
        for key, value in source.items():
            if not key.endswith("_token") or key.startswith("add_"):
                continue
            if key not in _USUAL and key not in _OTHERS:
                raise ModelError(f"{where} has a tokenizer with a {key}, which is not served")
            named[key] = None if value is None else _token(value, key, where)
    if usual and any(named[key] is None for key in _NEEDED):
        raise ModelError(f"{where} has a tokenizer that sets one of {', '.join(_NEEDED)} to null; each needs a token")
    extra = _extra(settings, where) + _extra(special_map, where)

    tokens: dict[int, AddedToken] = {}
    special = {token.content for token in [*named.values(), *extra] if token is not None}
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


def _extra(source: Json, where: str) -> list[AddedToken]:
    values = source.get("extra_special_tokens") or source.get("additional_special_tokens") or []
    if not isinstance(values, list):
        raise ModelError(f"{where} has a tokenizer with extra_special_tokens by name, which are not served")
    return [_token(value, "extra special token", where) for value in values]


def _token(value: Any, key: str, where: str) -> AddedToken:
    if isinstance(value, str):
        return _special(value)
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        options = {name: value[name] for name in ("lstrip", "rstrip", "single_word", "normalized") if name in value}
        return AddedToken(value["content"], **options, special=True)
    raise ModelError(f"{where} has a tokenizer whose {key} is no text")


def _special(content: str) -> AddedToken:
    return AddedToken(content, special=True)
