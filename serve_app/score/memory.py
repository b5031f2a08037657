"""Repeated texts: which rows of a part have a text that was not met lately, in a bounded memory."""

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
    """The scores of a text, once they are known."""

    scores: Scores = ()
    truncated: bool = False


@dataclass(slots=True)
class Plan:
    """What a part needs: an answer for each row that has a text, of which these texts are to be computed."""

    answers: list[Answer | None]
    new: list[Answer] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


class Memory:
    """The answers of the last `entries` different texts.

    Which texts of a part are new depends on the rows before it alone, not on who computed what when. So a part is
    packed alike whenever it is computed.
    """

    def __init__(self, entries: int = TEXTS) -> None:
        self._entries = entries
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()

    def plan(self, part: Part) -> Plan:
        """The plan of the next part; parts come in order, each once."""
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
    """Note the scores of new texts."""
    for answer, each, cut in zip(answers, scores, truncated, strict=True):
        answer.scores, answer.truncated = each, cut
