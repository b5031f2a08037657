"""A few hundred texts written for the tests: plain opinions, and odd input."""

from __future__ import annotations

import itertools

_SUBJECTS = (
    "the soup", "my new bicycle", "this hotel", "the second season", "her violin concert", "our neighbour's garden",
    "the train ride", "that museum", "the camera", "his speech", "the beach at dawn", "the update",
)  # fmt: skip
_VERDICTS = (
    "was a joy from beginning to end.",
    "is the worst thing I have paid for this year",
    "left me cold, though others seemed to like it.",
    "exceeded every hope we had!",
    "broke after two days and nobody would help.",
    "is fine, nothing more and nothing less.",
    "made the children laugh until they cried",
    "smelled of wet socks and regret.",
    "could have been brilliant, but wasn't.",
    "is not bad at all, quite the contrary!",
    "deserves far more praise than it gets.",
    "wasted three hours of my life that I won't get back.",
    "somehow manages to be dull and loud at once...",
    "felt warm, honest and generous.",
    "may please those who never tasted anything better.",
    "was never once less than wonderful",
    "disappointed all of us.",
    "is what I shall recommend to everyone I know.",
    "just about works, if you are patient with it.",
    "had me smiling for a week.",
    "is an insult to anybody who can count to ten.",
    "turned a grey Monday into a small holiday.",
    "I love it, I hate it, I cannot decide.",
    "costs too much and does too little.",
    "should be seen, heard and cherished.",
)

ODD = (
    "", " ", "\t\n", ".", "?!", "I love you.", "I hate you.", "LOVED IT", "hAtEd It", "naïve café, très mauvais",
    "très bon, à bientôt", "NFC: é", "NFD: e\u0301", "好きです", "ужасно", "رائع", "😀😀😀", "👩‍👩‍👧‍👦 loved it", "🤮",
    "[CLS] good [SEP] bad [MASK]", "a" * 101, "a" * 5000, "good " * 600, "bad! " * 300, "\u200bzero\u200bwidth",
    "\u202eright to left", "x\u0301\u0302\u0303" * 50, "'; DROP TABLE reviews; --", "<script>alert('fine')</script>",
    "line\r\nbreaks: fine", "tabs\tand\x0bmore", "NUL \x00 inside", "1234567890", "3.14 out of 5", "http://example.org/?q=great",
    "meh", "ok", "no", "yes", "not good", "not bad", "not not good", "good", "bad",
)  # fmt: skip

PLAIN = tuple(f"{subject} {verdict}" for subject, verdict in itertools.product(_SUBJECTS, _VERDICTS))
ALL = PLAIN + ODD
