"""Characters after which a text can be split without a change of its tokens, for tokenizers of BERT's words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

_IDEOGRAPHS = (
    "\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff"
    "\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f"
)
"""What BertNormalizer takes for Chinese, in the syntax of a character class."""
_FIRST_IDEOGRAPH = "\u2e80"
_CANDIDATES = "PZSM"
"""Unicode categories to try, since Python and the tokenizer know different versions of Unicode."""
_END = 0x20000
"""All later ones are ideographs, letters, tags or not assigned."""


def word_boundary(normalizer: BertNormalizer, added: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern of white space and what BertPreTokenizer isolates, unless one of the `added` tokens may go on after it.

    None if there is none. A caller whose separators were missing here would have whole texts read that are truncated,
    which takes seconds a MiB.
    """
    inside = {char for token in added for form in (token, normalizer.normalize_str(token)) for char in form[:-1]}
    if any(char.isspace() for char in inside):
        return None
    settings = (normalizer.clean_text, normalizer.strip_accents, normalizer.lowercase)
    apart = normalizer.handle_chinese_chars and not any(char >= _FIRST_IDEOGRAPH for char in inside)
    found = [char for char, becomes in _separators(*settings).items() if inside.isdisjoint(char + becomes)]
    return re.compile(f"[{re.escape(''.join(found))}{_IDEOGRAPHS if apart else ''}]")


@cache
def _separators(clean_text: bool, strip_accents: bool | None, lowercase: bool) -> dict[str, str]:  # noqa: FBT001
    """All characters but ideographs that separate words, and what they are normalized to."""
    normalizer = BertNormalizer(clean_text, False, strip_accents, lowercase)  # noqa: FBT003  (it has no other way)
    words = BertPreTokenizer()
    separators = {}
    for char in map(chr, range(_END)):
        if char < "\x80" or unicodedata.category(char)[0] in _CANDIDATES:
            pieces = words.pre_tokenize_str(normalizer.normalize_str(f"a{char}a"))
            if len(pieces) > 1 and pieces[-1][0] == "a":
                separators[char] = normalizer.normalize_str(char)
    return separators
