"""Repeated texts: remembers recent texts within a bound, so that each is computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from model.labels import Scores
from serve_app.prediction import text_key
from serve_app.score.rows import Part

TEXTS = 100_000


@dataclass(slots=True, eq=False)
class Answer:
    """The scores of a text; empty until they are computed."""

    scores: Scores = ()
    truncated: bool = False


@dataclass(slots=True)
class Plan:
    """An answer for each row of a part (None without a text), and the answers, keys and texts still to compute."""

    answers: list[Answer | None]
    new: list[Answer] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


class Memory:
    """The answers of the last `entries` different texts.

    Which texts of a part are new depends only on the rows before it, not on the order of computation. So a part is
    packed the same way in every run.
    """

    def __init__(self, entries: int = TEXTS) -> None:
        self._entries = entries
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()

    def plan(self, part: Part) -> Plan:
        """Plan the next part. Call it once for each part, in order."""
        plan = Plan([])
        for row in part.rows:
            if row.text is None:
                plan.answers.append(None)
                continue
            key = text_key(row.text)
            answer = self._answers.get(key)
            if answer is None:
                answer = self._answers[key] = Answer()
                plan.new.append(answer)
                plan.keys.append(key)
                plan.texts.append(row.text)
                if len(self._answers) > self._entries:
                    self._answers.popitem(last=False)
            else:
                self._answers.move_to_end(key)
            plan.answers.append(answer)
        return plan


def fill(answers: Sequence[Answer], scores: Sequence[Scores], truncated: Sequence[bool]) -> None:
    """Set the scores of new texts."""
    for answer, each, cut in zip(answers, scores, truncated, strict=True):
        answer.scores, answer.truncated = each, cut
