"""Tokenizers: which files there are, what they say, and where they disagree."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.zoo.specimen import LETTERS, SPECIAL, VOCABULARY, Json, Specimen

Change = Callable[[Json], Json]
BERT = {"tokenizer_class": "DistilBertTokenizer"}
GENERAL = {"tokenizer_class": "PreTrainedTokenizerFast"}
FLAGS: list[tuple[str, Json]] = [
    ("lower case", {"do_lower_case": True}),
    ("cased", {"do_lower_case": False}),
    ("accents kept", {"strip_accents": False}),
    ("cased, accents stripped", {"do_lower_case": False, "strip_accents": True}),
    ("Chinese kept together", {"tokenize_chinese_chars": False}),
]


def state(**changes: Any) -> Change:
    return lambda plain: {**plain, **changes}


def model(**changes: Any) -> Change:
    return lambda plain: {**plain, "model": {**plain["model"], **changes}}


def token(content: str, **options: Any) -> Json:
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, **options}


def added(content: str, number: int, **options: Any) -> Change:
    entry = {**token(content, special=False), "id": number, **options}
    return lambda plain: {**plain, "added_tokens": [*plain["added_tokens"], entry]}


def truncation(direction: str) -> Json:
    return {"direction": direction, "max_length": 20, "strategy": "LongestFirst", "stride": 2}


USER = VOCABULARY.index("user")
DECODER = {str(number): token(content, special=True) for number, content in enumerate(SPECIAL)}
MORE = [*VOCABULARY, "[URL]", "<smile>"]
MULTILINGUAL = [*VOCABULARY, *(f"##piece{number}" for number in range(119_547 - len(VOCABULARY)))]
CASED: Json = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": False,
    "lowercase": False,
}

BPE: Json = {
    "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
    "fuse_unk": False, "byte_fallback": False, "merges": [],
    "vocab": {word: number for number, word in enumerate(VOCABULARY) if word in SPECIAL or word in LETTERS[1:]},
}  # fmt: skip
UNIGRAM: Json = {
    "type": "Unigram",
    "unk_id": None,
    "byte_fallback": False,
    "vocab": [[word, -1] for word in VOCABULARY],
}
A_IS_FIRST: Json = {"type": "BertProcessing", "cls": ["a", VOCABULARY.index("a")], "sep": ["[SEP]", 3]}

SERVED = [
    Specimen("BPE that knows neither a nor unknown letters", settings=GENERAL, fast=state(model=BPE)),
    Specimen("a token of texts before each text", settings=GENERAL, fast=state(post_processor=A_IS_FIRST)),
    Specimen(
        "unknown letters are [CLS]",
        settings=GENERAL,
        fast=model(unk_token="[CLS]"),  # noqa: S106
        vocabulary=[word for word in VOCABULARY if word != "a"],
    ),
    Specimen("Unigram", settings=GENERAL, fast=state(model={**UNIGRAM, "unk_id": 1})),
    *(Specimen(f"tokenizer.json, {name}", settings={**BERT, **flags}) for name, flags in FLAGS),
    *(Specimen(f"vocab.txt alone, {name}", settings={**BERT, **flags}, fast=None) for name, flags in FLAGS),
    *(Specimen(f"general class, {name}", settings={**GENERAL, **flags}) for name, flags in FLAGS[:2]),
    Specimen("vocab.txt and nothing else", fast=None),
    Specimen("vocab.txt with CRLF", fast=None, files={"vocab.txt": "\r\n".join(VOCABULARY) + "\r\n"}),
    Specimen("BertTokenizer", settings={"tokenizer_class": "BertTokenizer"}),
    Specimen("DistilBertTokenizerFast", settings={"tokenizer_class": "DistilBertTokenizerFast"}),
    Specimen("class in config.json", {"tokenizer_class": "BertTokenizer"}, settings={"do_lower_case": False}),
    Specimen("tokenizer.json cased, settings silent", settings=BERT, fast=state(normalizer=CASED)),
    Specimen("tokenizer.json cased, general class", settings=GENERAL, fast=state(normalizer=CASED)),
    Specimen("short words only, ignored", settings=BERT, fast=model(max_input_chars_per_word=3)),
    Specimen("short words only, general class", settings=GENERAL, fast=model(max_input_chars_per_word=3)),
    Specimen("cut on the left", settings={**BERT, "truncation_side": "left"}),
    Specimen("cut on the left by tokenizer.json", settings=BERT, fast=state(truncation=truncation("Left"))),
    Specimen(
        "left in one, right in the other",
        settings={**BERT, "truncation_side": "right"},
        fast=state(truncation=truncation("Left")),
    ),
    Specimen("left, general class", settings=GENERAL, fast=state(truncation=truncation("Left"))),
    Specimen("model_max_length 16", settings={**BERT, "model_max_length": 16}),
    Specimen("model_max_length 1e30", settings={**BERT, "model_max_length": 10**30}),
    Specimen("model_max_length as a float", settings={**BERT, "model_max_length": 1e30}),
    Specimen("max_len of old tokenizers", settings={**BERT, "max_len": 12}),
    Specimen("model_max_length 512, 40 positions", settings={**BERT, "model_max_length": 512}),
    Specimen(
        "padding in tokenizer.json",
        settings=BERT,
        fast=state(
            padding={
                "strategy": {"Fixed": 30},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "[PAD]",
            }
        ),
    ),
    Specimen("no post-processor", fast=state(post_processor=None)),
    Specimen("no post-processor, DistilBertTokenizer", settings=BERT, fast=state(post_processor=None)),
    Specimen("an added token in the vocabulary", settings=BERT, fast=added("user", USER)),
    Specimen(
        "an added token with a row",
        settings=BERT,
        vocabulary=MORE[:-1],
        fast=added("[URL]", len(MORE) - 2, single_word=True),
    ),
    Specimen(
        "added_tokens_decoder",
        settings={**BERT, "added_tokens_decoder": {**DECODER, str(USER): token("user", lstrip=True)}},
    ),
    Specimen(
        "added_tokens.json",
        settings=BERT,
        fast=None,
        vocabulary=MORE,
        files={"added_tokens.json": json.dumps({"<smile>": len(MORE) - 1})},
    ),
    Specimen(
        "special_tokens_map.json",
        settings=BERT,
        fast=None,
        files={
            "special_tokens_map.json": json.dumps(
                {"cls_token": "[CLS]", "mask_token": {**token("[MASK]"), "lstrip": True}}
            )
        },
    ),
    Specimen(
        "special tokens in special_tokens_map.json alone",
        settings=BERT,
        fast=None,
        files={"special_tokens_map.json": json.dumps({"additional_special_tokens": ["user", "film"]})},
    ),
    Specimen(
        "extra special tokens in special_tokens_map.json",
        settings=BERT,
        files={"special_tokens_map.json": json.dumps({"extra_special_tokens": ["user", "film"]})},
    ),
    Specimen("extra special tokens", settings={**BERT, "extra_special_tokens": ["user"]}),
    Specimen(
        "added in tokenizer.json, not in the settings",
        settings={**BERT, "added_tokens_decoder": DECODER},
        fast=added("user", USER),
    ),
    Specimen(
        "added in the settings, general class",
        settings={**GENERAL, "added_tokens_decoder": {str(USER): token("user", special=False)}},
    ),
    Specimen(
        "added, normalized",
        settings=BERT,
        fast=added("GOOD", VOCABULARY.index("Good"), normalized=True),
        vocabulary=[*VOCABULARY, "GOOD"],
    ),
    Specimen("vocab.txt says otherwise", settings=BERT, files={"vocab.txt": "\n".join(reversed(VOCABULARY))}),
    Specimen(
        "decoder in another order",
        vocabulary=MORE,
        fast=None,
        settings={
            **BERT,
            "added_tokens_decoder": {str(len(MORE) - 1): token("<smile>"), str(len(MORE) - 2): token("[URL]")},
        },
    ),
    Specimen(
        "named special tokens with options",
        settings={**BERT, "mask_token": {"__type": "AddedToken", **token("[MASK]", lstrip=True)}},
    ),
    Specimen(
        "bos and eos", settings={**BERT, "bos_token": "[CLS]", "eos_token": "[SEP]", "add_bos_token": True}, fast=None
    ),
    Specimen("unknown words by another token", settings={**BERT, "unk_token": "[MASK]"}),
    Specimen("special tokens of another kind", settings={**BERT, "cls_token": "good", "sep_token": "bad"}),
    Specimen("additional special tokens", settings={**BERT, "additional_special_tokens": ["user", "film"]}),
    Specimen("special tokens as texts to split", settings={**BERT, "split_special_tokens": True}),
    Specimen(
        "a usual special token in added_tokens.json",
        settings=BERT,
        fast=None,
        files={"added_tokens.json": json.dumps({"[MASK]": VOCABULARY.index("[MASK]")})},
    ),
    Specimen(
        "two special tokens that the vocabulary lacks",
        settings={**BERT, "eos_token": "user film"},
        fast=None,
        vocabulary=MORE,
        files={"vocab.txt": "\n".join(word for word in VOCABULARY if word != "[MASK]")},
    ),
    Specimen(
        "an extra token that is not special",
        settings={
            **BERT,
            "split_special_tokens": True,
            "additional_special_tokens": [{"__type": "AddedToken", "content": "[URL]", "normalized": True}],
        },
        vocabulary=MORE[:-1],
    ),
    Specimen(
        "extra tokens in both files",
        settings={**BERT, "extra_special_tokens": ["user"]},
        fast=None,
        files={"special_tokens_map.json": json.dumps({"additional_special_tokens": ["film"]})},
    ),
    Specimen(
        "a special token twice",
        settings={
            **BERT,
            "pad_token": {"__type": "AddedToken", **token("user", normalized=True)},
            "mask_token": "user",
        },
        fast=None,
    ),
    Specimen("null for a token of other models", settings={**BERT, "use_auth_token": None}),
    Specimen("no mask token", settings={**BERT, "mask_token": None}),
    Specimen("a multilingual vocabulary", vocabulary=MULTILINGUAL, settings={**BERT, "do_lower_case": False}),
    Specimen("a multilingual vocabulary, general class", vocabulary=MULTILINGUAL, settings=GENERAL),
    Specimen(
        "model_type missing in tokenizer.json",
        fast=lambda plain: {**plain, "model": {k: v for k, v in plain["model"].items() if k != "type"}},
    ),
]

REFUSED = [
    Specimen(
        "general class without post-processor",
        settings=GENERAL,
        fast=state(post_processor=None),
        refused="no token at all",
    ),
    Specimen(
        "an id beyond the embedding",
        settings=BERT,
        fast=added("[NEW]", len(VOCABULARY)),
        refused=r"\[NEW\].*word embeddings for",
    ),
    Specimen(
        "a special token without a row",
        settings=BERT,
        vocabulary=[word for word in VOCABULARY if word != "[MASK]"],
        refused=r"\[MASK\].*word embeddings",
    ),
    Specimen(
        "no unknown token",
        fast=None,
        vocabulary=[word for word in VOCABULARY if word != "[UNK]"],
        refused="unknown token",
    ),
    Specimen(
        "no unknown token, general class",
        settings=GENERAL,
        fast=model(unk_token=LETTERS),
        refused="unknown token",
    ),
    Specimen(
        "a post-processor beyond the embedding",
        settings=GENERAL,
        fast=state(post_processor={"type": "BertProcessing", "cls": ["[CLS]", 999], "sep": ["[SEP]", 3]}),
        refused=r"\[CLS\]' has number 999",
    ),
    Specimen(
        "added tokens that are equal in lower case",
        settings={
            **BERT,
            "added_tokens_decoder": {str(VOCABULARY.index(word)): {"content": word} for word in ("good", "Good")},
        },
        refused="'good' and 'Good'|'Good' and 'good'",
    ),
    Specimen(
        "an option in special_tokens_map.json",
        settings=BERT,
        files={"special_tokens_map.json": json.dumps({"do_lower_case": False})},
        refused="with do_lower_case",
    ),
    Specimen(
        "tokens by name",
        settings={**BERT, "model_specific_special_tokens": {"url_token": "user"}},
        refused="model_specific_special_tokens",
    ),
    Specimen(
        "a token as an object and in added_tokens.json",
        settings={**BERT, "mask_token": {"__type": "AddedToken", "content": "user"}},
        fast=None,
        files={"added_tokens.json": json.dumps({"user": USER})},
        refused="'user' in added_tokens.json",
    ),
    Specimen("truncation that is a number", settings=BERT, fast=state(truncation=5), refused="cannot be read"),
    Specimen("a negative id", fast=model(vocab={"[UNK]": -1}), refused="cannot be read"),
    Specimen(
        "another tokenizer class",
        settings={"tokenizer_class": "RobertaTokenizer"},
        refused="tokenizer_class 'RobertaTokenizer'",
    ),
    Specimen("code of its own", settings={**BERT, "auto_map": {"AutoTokenizer": ["x.Y", None]}}, refused="auto_map"),
    Specimen("a vocabulary in the settings", settings={**BERT, "vocab": {"[UNK]": 0}}, refused="has vocab, which"),
    Specimen("cls_token null", settings={**BERT, "cls_token": None}, refused="each needs a token"),
    Specimen("a flag that is text", settings={**BERT, "do_lower_case": "yes"}, refused="do_lower_case 'yes'"),
    Specimen("a side that is none", settings={**BERT, "truncation_side": "both"}, refused="truncation_side 'both'"),
    Specimen("model_max_length 2", settings={**BERT, "model_max_length": 2}, refused="special tokens alone are 2"),
    Specimen("model_max_length 0", settings={**BERT, "model_max_length": 0}, refused="positive whole number"),
    Specimen("a token of other models", settings={**BERT, "image_token": "<image>"}, refused="image_token"),
    Specimen("no tokenizer", gone=("tokenizer.json",), refused=r"neither tokenizer\.json nor vocab\.txt"),
    Specimen(
        "tokenizer.json of git-lfs",
        files={"tokenizer.json": "version https://git-lfs.github.com/spec/v1\n"},
        refused="git lfs pull",
    ),
    Specimen("truncation that is text", fast=state(truncation="left"), refused="cannot be read"),
    Specimen("tokenizer.json cut off", files={"tokenizer.json": '{"version": "1.0", '}, refused="not JSON"),
    Specimen("tokenizer_config.json cut off", settings=BERT, files={"tokenizer_config.json": "{"}, refused="not JSON"),
    Specimen(
        "vocab.txt in Latin-1",
        fast=None,
        files={"vocab.txt": "\n".join(SPECIAL).encode() + b"\nm\xfcde\n"},
        refused="cannot be read",
    ),
    Specimen("BPE", fast=model(type="BPE", merges=[]), refused="no WordPiece"),
    Specimen("Unigram without unknown", settings=GENERAL, fast=state(model=UNIGRAM), refused="without unk_id"),
]

TOKENIZERS = [*SERVED, *REFUSED]
