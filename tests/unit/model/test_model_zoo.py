"""Each model directory of the zoo equals transformers' pipeline within 1e-5, or is refused by its line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import logging

from model.directory import open_directory
from model.engine import load_engine
from model.errors import ModelError
from model.tokenizer import TextTokenizer
from serve_app.prediction import make_prediction
from tests.support.reference import reference
from tests.zoo.models import MODELS
from tests.zoo.specimen import Specimen
from tests.zoo.tokenizers import TOKENIZERS

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5
TEXTS = [
    "I love the film, it is great!",
    "",
    " \t\n",
    "Good SCHÖN schon gut",
    "好好 は好",
    "good " * 60 + "awful",
    "awful " + "good " * 37,
    "[CLS] user [MASK] [SEP] film[URL]<smile> [UNK]",
    "Zzz\u0301 \u200b\u0000 unhappiness lovers' hated",
    "x" * 120,
    "<b>user</b> 😀",
]


def served(folder: Path) -> list[list[dict[str, float]]]:
    """What the service answers for TEXTS."""
    directory = open_directory(folder)
    directory.check_weights()
    lines = TextTokenizer(directory.path, directory.max_tokens).encode(TEXTS)
    scores = load_engine(directory, "fp32", threads=1).score([line.ids for line in lines])
    return [json.loads(make_prediction(each, directory.labels, truncated=False).json) for each in scores]


def differences(specimen: Specimen, folder: Path) -> Iterable[str]:
    answers = served(folder)
    for text, answer, wanted in zip(TEXTS, answers, reference(folder)(TEXTS), strict=True):
        expected = {specimen.renamed.get(label, label): score for label, score in wanted.items()}
        found = {str(entry["label"]): float(entry["score"]) for entry in answer}
        if found.keys() != expected.keys():
            yield f"the labels {list(found)} instead of {list(expected)}"
            return
        worst = max(abs(found[label] - expected[label]) for label in expected)
        if worst > TOLERANCE:
            yield f"{text[:20]!r} is off by {worst:.2g}"
        if list(found.values()) != sorted(found.values(), reverse=True):
            yield "the highest score is not the first"
    if len({tuple(entry["score"] for entry in answer) for answer in answers}) < len(TEXTS) // 2:
        yield "the model says nothing"


def complaint(specimen: Specimen, folder: Path) -> str | None:
    """What is wrong with how the specimen is treated."""
    try:
        found = list(differences(specimen, folder))
    except ModelError as error:
        line = str(error)
        if specimen.refused is None:
            return f"refused: {line}"
        return None if re.search(specimen.refused, line) and "\n" not in line else f"refused by another line: {line}"
    except Exception as error:  # noqa: BLE001  (a specimen of which nothing is known must not hide the others)
        return f"{type(error).__name__}: {error}"
    return "served, where it is to be refused" if specimen.refused is not None else "; ".join(found) or None


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: on models this small, several only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_each_equals_the_pipeline_or_is_refused_by_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logging.set_verbosity_error()
    specimens = [*MODELS, *TOKENIZERS]
    complaints = {}
    for number, specimen in enumerate(specimens):
        folder = specimen.make(tmp_path / str(number))
        if (found := complaint(specimen, folder)) is not None:
            complaints[specimen.name] = found
    refused = sum(specimen.refused is not None for specimen in specimens)
    with capsys.disabled():
        sys.stdout.write(
            f"\nmodel zoo: {len(specimens) - refused} served, {refused} refused, {len(complaints)} wrong\n"
        )
    assert not complaints, "\n".join(f"{name}: {what}" for name, what in complaints.items())
    assert len({specimen.name for specimen in specimens}) == len(specimens) >= 60
    assert len(specimens) - refused >= 40
