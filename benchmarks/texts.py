"""Texts for the loads: the course's few, and any number of new ones, in the lengths of film-review sentences."""

from __future__ import annotations

COURSE_FIXED = (
    "I love this service, it is quick and kind.",
    "The train was late again and nobody said a word.",
    "It is fine, nothing more and nothing less.",
)
COURSE_POOL = (
    *COURSE_FIXED,
    "Best soup I have had in years!",
    "My umbrella broke on its first rainy day.",
    "They painted the old bridge a cheerful green.",
    "Never again will I stay at that hotel.",
    "The concert made the whole street dance.",
    "Half the lamps in the museum were out.",
    "A long queue, a short temper and cold coffee.",
)

WORD_QUANTILES = (2, 6, 9, 10, 11, 13, 14, 15, 16, 18, 19, 20, 21, 23, 24, 26, 27, 29, 32, 35)
"""Words a sentence, at each twentieth of SST-2's dev set; its longest has 47."""

WORDS = tuple(
    """
    a the this that our her one no never always quite rather film story actor scene hour joke song end plot voice
    hero night city mother street river train music camera silence sound heart idea moment world child friend good
    bad great dull funny sad warm cold bright empty honest clumsy gentle loud slow brilliant tired fresh loves hates
    makes takes finds loses tells shows wants feels turns leaves brings breaks keeps opens and but or with without
    about against for from into over under again almost hardly truly simply only perhaps
    """.split()  # noqa: SIM905  (a list of strings would be a line a word)
)
