"""scripts/release: what it would run, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.service import REPOSITORY

ECR = "123456789012.dkr.ecr.us-west-2.amazonaws.com"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git repository with the script and one commit."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(REPOSITORY / "scripts" / "release", tmp_path / "scripts" / "release")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def release(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/release", *arguments],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin", "BUILDER": "docker", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_dry_push_prints_login_tag_and_push_of_the_commit(checkout: Path) -> None:
    sha = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, check=True, capture_output=True, text=True).stdout
    done = release(checkout, "push", "--dry-run", ECR=ECR, NAMESPACE="jane")
    image = f"{ECR}/jane/project:{sha.strip()}"
    assert done.stdout.splitlines() == [
        f"+ aws ecr get-login-password --region us-west-2 | docker login --username AWS --password-stdin {ECR}",
        f"+ docker tag project:dev {image}",
        f"+ docker push {image}",
    ]
    assert done.returncode == 0
    (line,) = release(checkout, "deploy", "--dry-run", ECR=ECR, NAMESPACE="jane", OVERLAY="course").stdout.splitlines()
    assert line == f"+ .venv/bin/python -m kuberay apply --overlay course --image {image} --wait"


def test_a_dry_build_prints_the_build(checkout: Path) -> None:
    sha = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, check=True, capture_output=True, text=True).stdout
    label = f"--label org.opencontainers.image.revision={sha.strip()}"
    done = release(checkout, "build", "--dry-run", MODEL="mini", KUBECONFIG="/dev/null")
    assert done.stdout == f"+ docker build --build-arg MODEL=mini {label} -t project:dev .\n"
    done = release(checkout, "build", "--dry-run", MODEL="mini", PLATFORM="linux/amd64")
    assert done.stdout == f"+ docker build --platform linux/amd64 --build-arg MODEL=mini {label} -t project:dev .\n"


def test_the_platform_is_that_of_the_clusters_nodes(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    tools = tmp_path_factory.mktemp("tools")
    kubectl = tools / "kubectl"
    for nodes, wanted in (
        ("linux/arm64", "--platform linux/arm64"),
        ("linux/arm64\nlinux/amd64", "error: the cluster"),
    ):
        kubectl.write_text(f"#!/bin/sh\nprintf '{nodes}\\n'\n")
        kubectl.chmod(0o755)
        done = release(checkout, "build", "--dry-run", MODEL="mini", PATH=f"{tools}:/usr/bin:/bin")
        assert wanted in done.stdout + done.stderr


def test_an_image_of_another_commit_is_not_pushed(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    tools = tmp_path_factory.mktemp("tools")
    docker = tools / "docker"
    docker.write_text("#!/bin/sh\necho 0a1b2c3\n")
    docker.chmod(0o755)
    done = release(checkout, "push", ECR=ECR, PATH=f"{tools}:/usr/bin:/bin")
    assert done.returncode == 1
    assert done.stderr.startswith("error: project:dev was built from 0a1b2c3, not from HEAD; make image again")


def test_a_laptops_cluster_needs_no_registry(checkout: Path) -> None:
    (checkout / "more").touch()
    done = release(checkout, "deploy", "--dry-run", OVERLAY="local")
    assert done.stdout == "+ .venv/bin/python -m kuberay apply --overlay local --image project:dev --wait\n"


def test_a_deploy_has_the_client_ask_for_digests(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$KUBERAY_PIN_DIGESTS $*"\n')
    python.chmod(0o755)
    done = release(checkout, "deploy", OVERLAY="local")
    assert done.stdout.splitlines()[1] == "1 -m kuberay apply --overlay local --image project:dev --wait"


def test_a_dirty_tree_is_refused(checkout: Path) -> None:
    (checkout / "more").touch()
    done = release(checkout, "push", "--dry-run", ECR=ECR)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the tree has changes")


@pytest.mark.parametrize(
    ("ecr", "message"),
    [
        (f"https://{ECR}", "give the registry's host alone"),
        (f"{ECR}/", "give the registry's host alone"),
        (f" {ECR}", "give the registry's host alone"),
        ("123456789012.dkr.ecr.amazonaws.com", "which names no region"),
        ("localhost:5000", "which names no region"),
    ],
)
def test_a_registry_that_is_no_ecr_host_is_refused_in_one_line(checkout: Path, ecr: str, message: str) -> None:
    done = release(checkout, "push", "--dry-run", ECR=ecr)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: ECR is {ecr}")
    assert message in line


@pytest.mark.parametrize("host", ["dkr.ecr-fips.us-gov-west-1.amazonaws.com", "dkr.ecr.cn-north-1.amazonaws.com.cn"])
def test_the_region_of_other_partitions_is_found(checkout: Path, host: str) -> None:
    done = release(checkout, "push", "--dry-run", ECR=f"123456789012.{host}")
    assert f"--region {host.split('.')[2]} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"), [(["push"], "ECR is not set"), (["pusch"], "usage:"), ([], "usage:")]
)
def test_what_is_missing_is_reported_in_one_line(checkout: Path, arguments: list[str], message: str) -> None:
    done = release(checkout, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 1
