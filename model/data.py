"""Labelled texts for training and evaluation, from a folder of TSV files or from the hub."""

from __future__ import annotations

import codecs
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import ModelError
from model.label_names import UnknownLabel, numbered
from model.labels import DEFAULT_LABELS

_COLUMNS = ("sentence", "label")
_MARKS = {
    # UTF-32's little-endian mark begins with UTF-16's, so it is checked first
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True)
class Split:
    """Texts, and in the same order the index of each one's label among the requested labels."""

    texts: list[str]
    labels: list[int]


MIN_TEXTS = 100
"""One of fewer texts is more than 1 %, the share whose labels int8 may change."""


def weakness(split: Split) -> str | None:
    """Why figures on these labelled texts would say little, in words, or None."""
    if len(split.texts) < MIN_TEXTS:
        return f"{len(split.texts)} text{'s' if len(split.texts) > 1 else ''}, fewer than {MIN_TEXTS}"
    return "texts of one label only" if len(set(split.labels)) == 1 else None


def load_split(source: str, split: str, labels: Sequence[str] = DEFAULT_LABELS) -> Split:
    """Load `train` or `dev` from `source`: a folder with `<split>.tsv` files, or a hub data set.

    A TSV file is UTF-8, with or without a byte-order mark. Its header line names the columns `sentence` and `label`,
    in any order and among others; quotes mean nothing. A hub data set has the same columns, and its `validation`
    split is used as `dev`. A label is one of `labels` in any case, or 0 or 1 for NEGATIVE or POSITIVE.

    Raises:
        ModelError: the data is missing, does not match its header, or has a label that is not one of `labels`.
    """
    try:
        is_folder = Path(source).is_dir()
    except OSError as error:
        raise ModelError(f"--data {source} cannot be read ({error.strerror})") from None
    if is_folder:
        path = Path(source) / f"{split}.tsv"
        texts, names, lines = _from_file(path)
    else:
        texts, names = _from_hub(source, "validation" if split == "dev" else split)
    try:
        return Split(texts, numbered(names, labels))
    except UnknownLabel as error:
        where = f"{path}, line {lines[error.index]}" if is_folder else f"{source}, text {error.index + 1} of {split}"
        raise ModelError(f"{where}: {error}") from None


def _from_file(path: Path) -> tuple[list[str], list[str], list[int]]:
    """The sentences of a TSV file, their labels as written, and their line numbers."""
    rows = _rows(path)
    header = [name.strip().casefold() for name in rows[0][1]] if rows else []
    if not set(_COLUMNS) <= set(header) or len(rows) == 1:
        raise ModelError(
            f"{path} needs a header line with the columns sentence and label, separated by a tab and without quotes, "
            "and rows under it"
        )
    for name in _COLUMNS:
        if header.count(name) > 1:
            raise ModelError(f"{path} has {header.count(name)} columns of the name {name}")
    sentence, label = (header.index(name) for name in _COLUMNS)
    for number, row in rows[1:]:
        # a spreadsheet drops empty fields at the end of a line, or adds some
        if len(row) <= max(sentence, label) or any(field.strip() for field in row[len(header) :]):
            raise ModelError(f"{path}, line {number}: {len(row)} fields, but the header has {len(header)}")
    texts = [row[sentence].strip() for _, row in rows[1:]]
    return texts, [row[label].strip() for _, row in rows[1:]], [number for number, _ in rows[1:]]


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The fields of each line that is not blank, with the line's number."""
    # not str.splitlines, which splits at characters within texts too; not csv, which limits fields
    lines = re.split(r"\r\n|\n|\r", _text(path))
    return [(number, line.split("\t")) for number, line in enumerate(lines, start=1) if line.strip()]


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a folder, not a file")
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path} is missing; --data takes a folder with train.tsv and dev.tsv") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})") from None
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            raise ModelError(f"{path}, line 1: {encoding}, not UTF-8; {_convert(path, encoding)}")
    if (zero := content.find(0)) >= 0:
        raise ModelError(
            f"{path}, line {_line(content, zero)}: a zero byte, so it is not UTF-8 text; "
            f"if it is UTF-16: {_convert(path, 'UTF-16LE')}"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # the error's position does not count a skipped mark
        at = error.start + (len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0)
        raise ModelError(
            f"{path}, line {_line(content, at)}: not UTF-8; if it is Windows-1252: {_convert(path, 'WINDOWS-1252')}"
        ) from None


def _line(content: bytes, at: int) -> int:
    return len(re.split(rb"\r\n|\n|\r", content[:at]))


def _convert(path: Path, encoding: str) -> str:
    return f"save it as UTF-8, or run: iconv -f {encoding} -t UTF-8 {path.name} > utf-8.tsv"


def _from_hub(name: str, split: str) -> tuple[list[str], list[str]]:
    path = Path(name)
    if path.exists() or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"{name} is no folder; --data takes a folder with train.tsv and dev.tsv, or a hub data set")
    try:
        from datasets import ClassLabel, load_dataset  # noqa: PLC0415  (a folder of files does not need it)
    except ImportError:
        raise ModelError(f"{name} is no folder, and a hub data set needs `pip install datasets`") from None
    try:
        rows = load_dataset(name, split=split)
    except Exception as error:
        raise ModelError(
            f"{name} is no folder, and no data set of this name can be loaded from the hub ({type(error).__name__})"
        ) from error
    if not set(_COLUMNS) <= set(rows.column_names):
        raise ModelError(f"data set {name} needs the columns sentence and label; it has {', '.join(rows.column_names)}")
    if not len(rows):
        raise ModelError(f"data set {name} has no texts in {split}")
    kind, labels = rows.features["label"], list(rows["label"])
    if isinstance(kind, ClassLabel):  # numbers with names; -1 is a label that is not published
        labels = [
            kind.names[label] if label is not None and 0 <= label < len(kind.names) else label for label in labels
        ]
    texts = list(rows["sentence"])
    if None in texts:
        raise ModelError(f"{name}, text {texts.index(None) + 1} of {split}: the sentence is null")
    return [str(text).strip() for text in texts], [str(label).strip() for label in labels]


def length_grouped(lengths: Sequence[int], batch_size: int, rng: random.Random) -> Iterator[list[int]]:
    """Yield shuffled batches of indices whose lengths are alike, so that little is padding.

    Indices are shuffled, cut into pools of 50 batches, and sorted by length inside each pool.
    """
    order = list(range(len(lengths)))
    rng.shuffle(order)
    pool = batch_size * 50
    batches = []
    for start in range(0, len(order), pool):
        ranked = sorted(order[start : start + pool], key=lambda index: lengths[index])
        batches += [ranked[at : at + batch_size] for at in range(0, len(ranked), batch_size)]
    rng.shuffle(batches)
    yield from batches
