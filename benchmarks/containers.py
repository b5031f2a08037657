"""Runs an image with only loopback, a read-only root and no capabilities, by docker, podman, or buildah as root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

MODELS = "/app/models"
# The part of a container engine, for buildah, whose chroot isolation has no network and no root of its own.
_ENTER = """set -e
root=$1; shift
ip link set lo up
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
exec chroot "$root" setpriv --reuid 1000 --regid 1000 --clear-groups --bounding-set=-all --inh-caps=-all \\
  --no-new-privs "$@"
"""


class ImageError(Exception):
    """An image is missing or does not run; the message names it and the reason."""


def find_builder() -> str:
    """The tool to run images with: BUILDER, or the first of docker, podman and buildah that works here."""
    for tool in [os.environ["BUILDER"]] if os.environ.get("BUILDER") else ["docker", "podman", "buildah"]:
        if shutil.which(tool) and _output([tool, "images"]) is not None:
            return tool
    raise ImageError("docker, podman or buildah is needed, and its engine has to run")


@contextmanager
def hardened(builder: str, image: str) -> Iterator[list[str]]:
    """The start of a command line: the command after it runs in the image, as its user, until the block ends.

    Raises ImageError if the image is missing.
    """
    if _output([builder, "inspect", "--type", "image", image]) is None:
        raise ImageError(f"{builder} has no image {image}; build it with make image")
    if builder != "buildah":
        yield [
            *(builder, "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL"),
            *("--security-opt", "no-new-privileges", "--tmpfs", "/tmp:exec", "--shm-size", "1g", image),  # noqa: S108
        ]
        return
    if os.geteuid() != 0:
        raise ImageError("buildah alone runs an image only for root; use podman or docker")
    config = json.loads(_output(["buildah", "inspect", "--type", "image", image]) or "{}")["OCIv1"]["config"]
    name = (_output(["buildah", "from", "--pull-never", image]) or "").strip()
    before = signal.signal(signal.SIGTERM, _exit)  # or a container would outlive this process
    try:
        root = (_output(["buildah", "mount", name]) or "").strip()
        yield [
            *("unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "enter"),
            *(root, "env", "-i", "-C", config["WorkingDir"], *config["Env"]),
        ]
    finally:
        signal.signal(signal.SIGTERM, before)
        _output(["buildah", "rm", name])


def sizes(inside: Sequence[str]) -> dict[str, float]:
    """Unpacked size in MB of 10^6 bytes: `total_mb`, and of it `models_mb`. `inside` comes from `hardened`."""
    found = {}
    for key, path in (("total_mb", "/"), ("models_mb", MODELS)):
        done = subprocess.run(  # noqa: S603  (our own command)
            [*inside, "du", "-sx", "--block-size=1", path], capture_output=True, text=True, check=False
        )
        if not done.stdout:
            raise ImageError(f"the image cannot be run: {done.stderr.strip()[-500:]}")
        found[key] = int(done.stdout.split()[0]) / 1e6  # a folder that its user may not read is left out
    return found


def _exit(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _output(command: Sequence[str]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own command)
    return done.stdout if done.returncode == 0 else None
