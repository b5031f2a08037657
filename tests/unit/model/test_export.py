"""int8: prepared ahead, tested when it is loaded, and close enough to fp32 to be the default."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import openvino as ov
import pytest

from model.cpu import choose_precision, multiplies_bf16_tiles, multiplies_int8
from model.data import load_split
from model.directory import open_directory
from model.engine import Engine, load_engine
from model.errors import ModelError
from model.export import export, is_exported
from model.labels import Scores
from model.tokenizer import TextTokenizer
from serve_app.settings import MINI_MODEL
from tests.support import sentences
from tests.support.models import save_distilbert
from tests.support.service import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture
def random_model(tmp_path: Path) -> Path:
    return save_distilbert(tmp_path / "model")


@pytest.fixture(scope="module")
def engines() -> tuple[Engine, Engine]:
    directory = open_directory(MINI_MODEL)
    if not is_exported(directory):
        export(directory)
    return load_engine(directory, "fp32", threads=1), load_engine(directory, "int8", threads=1)


def score(engine: Engine, texts: list[str]) -> list[Scores]:
    return engine.score([line.ids for line in TextTokenizer(MINI_MODEL, 512).encode(texts)])


def flips(one: list[Scores], other: list[Scores]) -> int:
    return sum((a[1] > a[0]) != (b[1] > b[0]) for a, b in zip(one, other, strict=True))


def test_int8_flips_at_most_one_label_in_a_hundred(engines: tuple[Engine, Engine]) -> None:
    fp32, int8 = (score(engine, list(sentences.PLAIN)) for engine in engines)
    assert flips(fp32, int8) <= len(sentences.PLAIN) / 100
    assert sum(abs(a[1] - b[1]) for a, b in zip(fp32, int8, strict=True)) / len(fp32) < 0.01


def test_int8_keeps_the_accuracy_on_sst2(engines: tuple[Engine, Engine], sst2_dir: str) -> None:
    dev = load_split(sst2_dir, "dev")
    fp32, int8 = (score(engine, dev.texts) for engine in engines)
    right = [
        sum((s[1] > s[0]) == bool(label) for s, label in zip(each, dev.labels, strict=True)) for each in (fp32, int8)
    ]
    assert right[0] - right[1] <= 0.005 * len(dev.texts)
    assert flips(fp32, int8) <= 0.01 * len(dev.texts)


def test_a_texts_int8_scores_do_not_depend_on_its_batch(engines: tuple[Engine, Engine]) -> None:
    _, int8 = engines
    alone = {text: score(int8, [text])[0] for text in sentences.ALL}
    rng = random.Random(5)
    for _ in range(20):
        texts = rng.choices(sentences.ALL, k=rng.randint(1, 60))
        for text, got in zip(texts, score(int8, texts), strict=True):
            assert got == pytest.approx(alone[text], abs=0.005)


def test_the_command_prepares_and_a_second_time_too(random_model: Path) -> None:
    command = [sys.executable, "-m", "model.export", str(random_model)]
    for _ in range(2):
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{random_model / 'int8'}: ")
        assert done.stdout.endswith("; groups of 64, unsmoothed, since nothing was measured (--data)\n")
    names = sorted(file.name for file in (random_model / "int8").iterdir())
    assert names == ["golden.json", "model.bin", "model.xml", "quantization.json"]
    assert load_engine(open_directory(random_model), "int8", threads=1).precision == "int8"


def test_a_full_disk_is_one_line_and_leaves_nothing(random_model: Path) -> None:
    before = sorted(random_model.iterdir())
    command = ["prlimit", "--fsize=100000", sys.executable, "-m", "model.export", str(random_model)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().startswith(f"error: {random_model / 'int8'} cannot be written; ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(random_model.iterdir()) == before


def test_exports_at_once_and_a_start_meanwhile_do_not_disturb_each_other(random_model: Path) -> None:
    directory = open_directory(random_model)
    export(directory)
    command = [sys.executable, "-m", "model.export", str(random_model)]
    at_once = [subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    while any(process.poll() is None for process in at_once):
        assert is_exported(directory), "a replica that starts now finds no export"
    assert [(process.wait(), process.communicate()[1]) for process in at_once] == [(0, "")] * 3
    assert load_engine(directory, "int8", threads=1).precision == "int8"
    assert not list(random_model.glob(".export-*"))


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_export_that_is_interrupted_ends_without_a_word_and_leaves_nothing(
    random_model: Path, sent: signal.Signals, status: int
) -> None:
    before = sorted(random_model.iterdir())
    code = (
        "import os, sys, model.export\n"
        "from model.command import run\n"
        f"model.export.check_golden = lambda *_: os.kill(os.getpid(), {int(sent)})\n"
        "run(model.export.main)"
    )
    command = [sys.executable, "-c", code, str(random_model)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")
    assert sorted(random_model.iterdir()) == before


def test_without_an_export_the_way_out_is_named(random_model: Path) -> None:
    with pytest.raises(ModelError, match=f"not prepared for int8; run: python -m model.export {random_model}"):
        load_engine(open_directory(random_model), "int8", threads=1)


def test_an_export_of_other_weights_is_refused(random_model: Path) -> None:
    export(open_directory(random_model))
    with (random_model / "config.json").open("a") as file:
        file.write(" ")
    assert not is_exported(open_directory(random_model))
    with pytest.raises(ModelError, match="prepared from other weights"):
        load_engine(open_directory(random_model), "int8", threads=1)


def test_an_export_by_a_version_with_another_graph_is_made_again(random_model: Path) -> None:
    export(open_directory(random_model))
    file = random_model / "int8" / "golden.json"
    golden = json.loads(file.read_text())
    del golden["graph_format"]  # as the first version wrote it
    file.write_text(json.dumps(golden))
    assert not is_exported(open_directory(random_model))
    with pytest.raises(ModelError, match=f"by another version of this project; run: .* {random_model}"):
        load_engine(open_directory(random_model), "int8", threads=1)


def test_an_engine_that_computes_something_else_is_refused(random_model: Path) -> None:
    export(open_directory(random_model))
    file = random_model / "int8" / "golden.json"
    golden = json.loads(file.read_text())
    golden["scores"] = [[high, low] for low, high in golden["scores"]]
    file.write_text(json.dumps(golden))
    with pytest.raises(ModelError, match=r"off by 0\.\d+ on a golden text on this CPU; use precision fp32"):
        load_engine(open_directory(random_model), "int8", threads=1)


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "golden.json", "quantization.json"])
@pytest.mark.parametrize("keep", [None, 0, 40])
def test_a_damaged_export_is_one_line_and_made_again(random_model: Path, name: str, keep: int | None) -> None:
    export(open_directory(random_model))
    file = random_model / "int8" / name
    start = file.read_bytes()[:keep]
    file.unlink()
    if keep is not None:
        file.write_bytes(start)
    with pytest.raises(ModelError, match=f"run: python -m model.export {random_model}"):
        load_engine(open_directory(random_model), "int8", threads=1)
    assert not is_exported(open_directory(random_model))
    export(open_directory(random_model))
    assert load_engine(open_directory(random_model), "int8", threads=1).precision == "int8"


def test_another_export_is_another_fingerprint(random_model: Path) -> None:
    directory = open_directory(random_model)
    fp32 = directory.fingerprint("fp32", 512)
    export(directory)
    first = directory.fingerprint("int8", 512)
    export(directory)
    assert directory.fingerprint("int8", 512) == first, "an export is the same bytes each time"
    file = random_model / "int8" / "golden.json"
    golden = json.loads(file.read_text())
    golden["files"]["model.bin"] = "0" * 64
    file.write_text(json.dumps(golden))
    assert directory.fingerprint("int8", 512) != first
    assert directory.fingerprint("fp32", 512) == fp32
    file.write_text('{"files": 5}')
    with pytest.raises(ModelError, match=r"golden\.json is not what model\.export writes"):
        directory.fingerprint("int8", 512)


def test_golden_texts_that_name_no_files_are_none(random_model: Path) -> None:
    export(open_directory(random_model))
    file = random_model / "int8" / "golden.json"
    golden = json.loads(file.read_text())
    del golden["files"]["model.bin"]
    file.write_text(json.dumps(golden))
    with pytest.raises(ModelError, match=r"golden\.json is not what model\.export writes"):
        load_engine(open_directory(random_model), "int8", threads=1)


def test_a_file_in_the_place_of_the_export_is_one_line(random_model: Path) -> None:
    (random_model / "int8").write_text("")
    with pytest.raises(ModelError, match=r"int8 is no folder; remove it"):
        export(open_directory(random_model))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("flags : fpu sse2 avx2 avx512_vnni", "int8"),
        ("flags : fpu avx2 avx_vnni", "int8"),
        ("Features : fp asimd asimddp", "int8"),
        ("flags : fpu sse2 avx2 avx512f", "fp32"),
        ("Features : fp asimd", "fp32"),
        ("flags : fpu avx512_vnni avx512_bf16", "int8"),
        ("flags : fpu avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8", "bf16"),
    ],
)
def test_auto_is_what_the_cpu_multiplies_fastest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, wanted: str
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nmodel name : avx512_vnni amx_bf16 fan\n{line}\n")
    int8, bf16 = multiplies_int8(cpuinfo), multiplies_bf16_tiles(cpuinfo)
    assert (int8, bf16) == (wanted != "fp32", wanted == "bf16")
    monkeypatch.setattr("model.cpu.multiplies_int8", lambda: int8)
    monkeypatch.setattr("model.cpu.multiplies_bf16_tiles", lambda: bf16)
    assert choose_precision("auto") == wanted
    assert choose_precision("fp32") == "fp32"


def test_without_cpuinfo_there_is_no_bf16(tmp_path: Path) -> None:
    assert not multiplies_bf16_tiles(tmp_path / "cpuinfo")


def test_bf16_is_near_fp32_or_refused_where_the_cpu_has_none(engines: tuple[Engine, Engine]) -> None:
    fp32, _ = engines
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(ModelError, match=r"no bf16 arithmetic; use precision auto$"):
            load_engine(open_directory(MINI_MODEL), "bf16", threads=1)
        return
    bf16 = load_engine(open_directory(MINI_MODEL), "bf16", threads=1)
    wanted, got = (score(engine, list(sentences.PLAIN)) for engine in (fp32, bf16))
    assert flips(wanted, got) <= len(sentences.PLAIN) / 100
    alone = {text: score(bf16, [text])[0] for text in sentences.PLAIN}
    assert got == [pytest.approx(alone[text], abs=0.01) for text in sentences.PLAIN]


def test_bf16_is_tested_on_the_golden_texts_of_the_export(random_model: Path) -> None:
    with pytest.raises(ModelError, match=f"not prepared for bf16; run: python -m model.export {random_model}"):
        load_engine(open_directory(random_model), "bf16", threads=1)


def test_two_exports_are_the_same_bytes(random_model: Path) -> None:
    directory = open_directory(random_model)
    exports = []
    for _ in range(2):
        export(directory)
        exports.append({file.name: file.read_bytes() for file in (random_model / "int8").iterdir()})
    assert exports[0] == exports[1]
