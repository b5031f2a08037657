"""Inputs and outputs of `python -m kuberay score` that go with the job's pod."""

from __future__ import annotations

import pytest

from kuberay.errors import ClientError, ExitCode
from kuberay.score import check_place


@pytest.mark.parametrize(
    ("place", "claim", "line"),
    [
        ("/root/out.csv", None, "is a path in a pod that is removed; use a URL, or --claim and /data/..."),
        ("/data/out.csv", None, "is a path in a pod that is removed; use a URL, or --claim and /data/..."),
        ("out.csv", None, "is a path in a pod that is removed; use a URL, or --claim and /data/..."),
        ("file:///data/out.csv", "", "is a path in a pod that is removed; use a URL, or --claim and /data/..."),
        ("/root/out.csv", "a", "is not on the volume of --claim, which is mounted at /data"),
        ("data/out.csv", "a", "is not on the volume of --claim, which is mounted at /data"),
        ("/database/out.csv", "a", "is not on the volume of --claim, which is mounted at /data"),
        ("/data/../out.csv", "a", "is not on the volume of --claim, which is mounted at /data"),
        ("file:///out.csv", "a", "is not on the volume of --claim, which is mounted at /data"),
    ],
)
def test_a_place_that_goes_with_the_pod_is_refused(place: str, claim: str | None, line: str) -> None:
    with pytest.raises(ClientError) as refused:
        check_place("OUTPUT", place, claim)
    assert refused.value.code is ExitCode.USAGE
    assert str(refused.value) == f"OUTPUT {place} {line}"


@pytest.mark.parametrize("place", ["/data/out.csv", "/data/more/../out.csv", "file:///data/out.csv", "s3://a/out.csv"])
def test_a_place_that_stays_is_accepted(place: str) -> None:
    check_place("OUTPUT", place, "claim")


def test_a_url_needs_no_claim() -> None:
    check_place("OUTPUT", "s3://a/out.csv", None)
