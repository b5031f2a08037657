"""Labelled data as people bring it: it is read, or one line names the file, the line and the way out."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data import MIN_TEXTS, Split, length_grouped, load_split, weakness
from model.errors import ModelError

TABLE = "sentence\tlabel\nI love it\t1\nm\u00fcde und \u00f6de\t0\n"
TEXTS = ["I love it", "m\u00fcde und \u00f6de"]


def save(folder: Path, content: bytes | str) -> str:
    (folder / "dev.tsv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(folder)


def complaint(folder: Path, content: bytes | str, labels: tuple[str, ...] = ("NEGATIVE", "POSITIVE")) -> str:
    with pytest.raises(ModelError) as caught:
        load_split(save(folder, content), "dev", labels)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(folder / "dev.tsv"))
    return line.removeprefix(str(folder / "dev.tsv"))


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode("utf-8-sig"),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        TABLE.replace("\n", "\n\n"),
        TABLE.rstrip(),
        TABLE + "\t\n \n",
        TABLE.replace("sentence\tlabel", " Sentence \tLABEL"),
        "label\tid\tsentence\n1\t7\tI love it\n0\t8\tm\u00fcde und \u00f6de\n",
        "sentence\tlabel\tnote\nI love it\t1\nm\u00fcde und \u00f6de\t0\t\t\n",
        TABLE.replace("\t1", "\t positive ").replace("\t0", "\tNegative"),
    ],
)
def test_data_is_read_however_it_was_saved(tmp_path: Path, content: bytes | str) -> None:
    split = load_split(save(tmp_path, content), "dev")
    assert split.texts == TEXTS
    assert split.labels == [1, 0]


def test_a_text_is_kept_to_the_letter(tmp_path: Path) -> None:
    texts = ['"Good", he said', "it's \u2028 one\x0bline\x85 still", "x" * 200_000, "", "a\ufeffb"]
    split = load_split(save(tmp_path, "sentence\tlabel\n" + "".join(f"{text}\t1\n" for text in texts)), "dev")
    assert split.texts == texts


@given(content=st.binary() | st.text(alphabet="\ufeff\t\r\n\0 01a\u00fc\u2028").map(str.encode), header=st.booleans())
def test_any_bytes_are_read_or_are_one_line(
    tmp_path_factory: pytest.TempPathFactory, *, content: bytes, header: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    source = save(folder, b"sentence\tlabel\n" + content if header else content)
    told = ""
    try:
        split = load_split(source, "dev")
    except ModelError as error:
        told = str(error)
    if told:
        assert told.startswith(str(folder / "dev.tsv"))
        assert len(told.splitlines()) == 1
    else:
        assert len(split.texts) == len(split.labels) > 0


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_encoding_that_says_so_is_named_with_the_way_out(tmp_path: Path, encoding: str) -> None:
    name = encoding.upper()
    wanted = f", line 1: {name}, not UTF-8; save it as UTF-8, or run: iconv -f {name} -t UTF-8 dev.tsv > utf-8.tsv"
    assert complaint(tmp_path, TABLE.encode(encoding)) == wanted


def test_another_encoding_that_is_not_declared_is_reported_with_its_line(tmp_path: Path) -> None:
    for newline in ("\n", "\r\n", "\r"):
        line = complaint(tmp_path, TABLE.replace("\n", newline).encode("cp1252"))
        assert line.startswith(", line 3: not UTF-8; if it is Windows-1252: save it as UTF-8")
    assert complaint(tmp_path, TABLE.encode("utf-8-sig") + b"\xff\t1\n").startswith(", line 4: not UTF-8")
    assert complaint(tmp_path, TABLE.encode("utf-16-le")).startswith(", line 1: a zero byte, so it is not UTF-8 text")
    assert complaint(tmp_path, TABLE.encode() + b"a\0b\t1\n").startswith(", line 4: a zero byte")


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("", "needs a header line with the columns sentence and label"),
        ("\n\n", "needs a header line with the columns sentence and label"),
        ("sentence\tlabel\n", "and rows under it"),
        ("text\tlabel\na\t1\n", "needs a header line with the columns sentence and label"),
        ("sentence,label\na,1\n", "separated by a tab"),
        ("sentence\tlabel\tLabel\na\t1\t0\n", "has 2 columns of the name label"),
        ("label\tsentence\n1\tgood\n0\n", ", line 3: 1 fields, but the header has 2"),
        ("sentence\tlabel\na\t1\n\nb\n", ", line 4: 1 fields, but the header has 2"),
        ("sentence\tlabel\na\tb\t1\n", ", line 2: 3 fields, but the header has 2"),
        ("sentence\tlabel\na\t1\nb\t\n", ", line 3: the label is none of the model's"),
    ],
)
def test_a_table_that_is_not_what_it_should_be_is_one_line(tmp_path: Path, content: str, wanted: str) -> None:
    assert wanted in complaint(tmp_path, content)


def test_an_unknown_label_is_reported_with_both_sides(tmp_path: Path) -> None:
    line = complaint(tmp_path, "sentence\tlabel\na\tgood\nb\tmixed\nc\tmixed\n", ("Bad", "Good"))
    assert line == ', line 3: the label is none of the model\'s, which are "Bad", "Good"; the data has "good", "mixed"'


def test_texts_in_the_column_of_labels_are_not_repeated(tmp_path: Path) -> None:
    rows = [f"secret {number}\t1" for number in range(30)]
    assert "secret" not in complaint(tmp_path, "\n".join(["label\tsentence", *rows]))
    assert "secret" not in complaint(tmp_path, "label\tsentence\nsecret words of a review that is long\t1\n")


def test_files_that_are_not_there_or_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"train\.tsv is missing; --data takes a folder"):
        load_split(str(tmp_path), "train")
    (tmp_path / "train.tsv").mkdir()
    with pytest.raises(ModelError, match=r"train\.tsv is a folder, not a file"):
        load_split(str(tmp_path), "train")
    save(tmp_path, TABLE)
    for path in (tmp_path / "dev.tsv", tmp_path / "nowhere"):
        with pytest.raises(ModelError, match=f"{path} is no folder; --data takes a folder"):
            load_split(str(path), "dev")
    with pytest.raises(ModelError, match="cannot be read"):
        load_split("x" * 5000, "dev")


def from_hub(monkeypatch: pytest.MonkeyPatch, labels: list[Any], kind: Any = None, **columns: list[Any]) -> None:
    columns = columns or {"sentence": [f"text {number} " for number in range(len(labels))]}
    data = datasets.Dataset.from_dict({**columns, "label": labels})
    if kind is not None:
        data = data.cast_column("label", kind)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: data)  # noqa: ARG005  (the hub's own names)


def test_labels_of_the_hub_go_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from_hub(monkeypatch, [0, 1], datasets.ClassLabel(names=["positive", "negative"]))
    split = load_split("somebody/some-set", "dev")
    assert (split.texts, split.labels) == (["text 0", "text 1"], [1, 0])
    from_hub(monkeypatch, [0, 1])
    assert load_split("somebody/some-set", "dev").labels == [0, 1]
    from_hub(monkeypatch, ["Neutral", "positive"])
    assert load_split("somebody/some-set", "dev", ("negative", "neutral", "positive")).labels == [1, 2]


def test_a_set_of_the_hub_that_does_not_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from_hub(monkeypatch, [1, -1], datasets.ClassLabel(names=["negative", "positive"]))
    with pytest.raises(ModelError, match=r'somebody/some-set, text 2 of dev: .* the data has "positive", "-1"'):
        load_split("somebody/some-set", "dev")
    from_hub(monkeypatch, [0], datasets.ClassLabel(names=["neg", "pos"]))
    with pytest.raises(ModelError, match=r'which are "NEGATIVE", "POSITIVE"; the data has "neg"'):
        load_split("somebody/some-set", "dev")
    from_hub(monkeypatch, [1], text=["a"])
    with pytest.raises(ModelError, match="needs the columns sentence and label; it has text, label"):
        load_split("somebody/some-set", "dev")
    from_hub(monkeypatch, [1, 0], sentence=["a", None])
    with pytest.raises(ModelError, match="somebody/some-set, text 2 of validation: the sentence is null"):
        load_split("somebody/some-set", "dev")
    from_hub(monkeypatch, [])
    with pytest.raises(ModelError, match="has no texts in validation"):
        load_split("somebody/some-set", "dev")


def test_few_texts_or_one_label_are_no_measure() -> None:
    texts = ["a"] * MIN_TEXTS
    assert weakness(Split(texts, [0, *[1] * (MIN_TEXTS - 1)])) is None
    assert weakness(Split(texts, [1] * MIN_TEXTS)) == "texts of one label only"
    assert weakness(Split(texts[1:], [0, *[1] * (MIN_TEXTS - 2)])) == f"{MIN_TEXTS - 1} texts, fewer than {MIN_TEXTS}"
    assert weakness(Split(["a"], [1])) == f"1 text, fewer than {MIN_TEXTS}"


def test_batches_are_of_alike_lengths_and_complete() -> None:
    rng = random.Random(1)
    lengths = [rng.randint(3, 60) for _ in range(5000)]
    batches = list(length_grouped(lengths, 32, rng))
    assert sorted(index for batch in batches for index in batch) == list(range(5000))
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    assert sum(lengths) / padded > 0.9
