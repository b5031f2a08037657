"""Scoring files with a real Ray: kill -9, Ctrl-C, mistakes, and the same answers as the service."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from serve_app.score.source import PART_ROWS
from serve_app.settings import Settings
from tests.support.score_command import PATIENCE_S, PATTERNS, Command, write_reviews
from tests.support.sentences import ALL

ROWS = 6 * PART_ROWS
KILLS = int(os.environ.get("KILLS", "1"))
"""Number of kills for each kind of process; five take ten minutes."""
TOLERANCE = 0.005
"""How far a text's scores may differ with its neighbours (docs/reference/performance.md)."""


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("reviews") / "in.csv", ROWS)


@pytest.fixture(scope="module")
def undisturbed(reviews: Path) -> bytes:
    """The output of an undisturbed run with one worker on all CPUs."""
    output = reviews.with_name("undisturbed.csv")
    command = Command(reviews, output, "--threads", str(os.cpu_count()))
    assert command.wait() == 0, command.err
    assert not output.with_name("undisturbed.csv.parts").exists()
    return output.read_bytes()


def test_every_row_is_there_in_order(reviews: Path, undisturbed: bytes) -> None:
    with reviews.open(newline="") as file:
        _, *before = csv.reader(file)
    header, *rows = csv.reader(undisturbed.decode().splitlines())
    assert header == ["id", "text", "label", "score", "NEGATIVE", "POSITIVE", "truncated", "error", "raw"]
    assert [row[:2] for row in rows] == before


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", PATTERNS)
def test_a_kill_at_any_moment_costs_no_part_and_changes_no_byte(
    kind: str, reviews: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    output, rng = tmp_path / "out.csv", random.Random(kind)
    for _ in range(KILLS):
        command = Command(reviews, output)
        command.wait_for(kind)
        command.wait_for_parts(output, rng.randrange(3))
        for victim in command.find(kind)[:1]:
            victim.kill()
        status = command.wait()
        # another worker takes a dead one's parts; without the driver or Ray the command ends and says how to continue
        assert status == 0 if kind == "worker" else status in (0, 1), command.err
        if status:
            assert "run the same command again" in command.err
            again = Command(reviews, output)
            assert again.wait() == 0, again.err
        assert output.read_bytes() == undisturbed
        assert not output.with_name("out.csv.parts").exists()
        output.unlink()


def test_after_ctrl_c_the_same_command_continues(reviews: Path, undisturbed: bytes, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    command = Command(reviews, output)
    command.wait_for_parts(output, 1)
    command.process.send_signal(signal.SIGINT)
    assert command.wait() == 130
    assert command.err.splitlines()[-1] == (
        "SIGINT: stopped; finished parts are kept; run the same command again to continue"
    )
    again = Command(reviews, output)
    assert again.wait() == 0, again.err
    assert "from an earlier run" in again.err
    assert output.read_bytes() == undisturbed


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once_while_a_remote_place_does_not_answer(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        port = server.getsockname()[1]
        url = f"gs://anonymous@bucket/in.csv?scheme=http&endpoint_override=127.0.0.1:{port}"
        command = Command(url, tmp_path / "out.csv")
        with server.accept()[0]:
            began = time.monotonic()
            command.process.send_signal(number)
            assert command.wait() == status
            assert time.monotonic() - began < 5
    assert command.err.startswith(f"{number.name}: stopped; ")


def test_the_answers_are_those_of_the_service(client: httpx.Client, tmp_path: Path) -> None:
    texts = [text for text in ALL if len(text) <= Settings().max_text_chars]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    command = Command(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert command.wait() == 0, command.err
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    answer = client.post("/project/predict", json={"text": texts})
    assert [row["text"] for row in rows] == texts
    truncated = [int(index) for index in answer.headers["X-Truncated"].split(",")]
    assert [number for number, row in enumerate(rows) if row["truncated"]] == truncated
    for row, prediction in zip(rows, answer.json()["predictions"], strict=True):
        scores = {each["label"]: each["score"] for each in prediction}
        assert row["label"] == prediction[0]["label"]
        assert all(abs(row[label] - score) <= TOLERANCE for label, score in scores.items())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none.csv", "out.csv"], "none.csv: there is no such file"),
        (["in.csv", "out.docx"], "out.docx: its ending is no known format"),
        (["in.csv", "no/out.csv"], "there is no folder"),
        (["in.csv", "out.csv", "--column", "review"], "has no column review, only id, text"),
        (["in.csv", "out.csv", "--address", "ray://127.0.0.1:1"], "Ray cannot be reached at ray://127.0.0.1:1"),
        (["in.csv", "out.csv", "--write-cache"], "--write-cache needs REDIS_URL"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], line: str, tmp_path: Path) -> None:
    write_reviews(tmp_path / "in.csv", 3)
    places = [str(tmp_path / each) if "." in each and "//" not in each else each for each in arguments]
    command = Command(*places)
    assert command.wait() == 1
    (error,) = command.err.splitlines()
    assert error.startswith("error: ")
    assert line in error
    assert not (tmp_path / "out.csv").exists()


def test_more_threads_than_cpus_are_refused_once_ray_runs(tmp_path: Path) -> None:
    command = Command(write_reviews(tmp_path / "in.csv", 3), tmp_path / "out.csv", "--threads", "64")
    assert command.wait() == 1
    assert command.err.splitlines()[-1].startswith("error: --threads 64: Ray's largest node has ")
    assert not (tmp_path / "out.csv").exists()
