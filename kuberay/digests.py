"""Resolves an image's tag, which may be moved to another image, to its digest, from its registry."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException

from kuberay.names import Object
from kuberay.templates import containers, templates

HUB = "registry-1.docker.io"
"""The registry of images whose name has none, such as redis:8."""
TIMEOUT_S = 10.0
_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def pin(objects: list[Object], but: Iterable[str] = ()) -> str:
    """Replace tags by digests, except of the images in `but`; returns a line on images that keep their tag."""
    pods = [each for _, template, _ in templates(objects) for each in containers(template)]
    tagged = {each["image"] for each in pods if "@" not in each["image"]}
    digests, unknown = resolve(sorted(tagged.difference(but)))
    for each in pods:
        if digest := digests.get(each["image"]):
            each["image"] = f"{each['image'].rpartition(':')[0]}@{digest}"
    return f"no registry says the digest of {', '.join(unknown)}, so the tag counts" if unknown else ""


def resolve(images: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The digest of each image by its name and tag, and the images whose registry gave none."""
    digests: dict[str, str] = {}
    unknown = []
    for image in images:
        try:
            digests[image] = _ask(image)
        except (OSError, HTTPException, ValueError, KeyError, TypeError):
            unknown.append(image)
    return digests, unknown


def _ask(image: str) -> str:
    """The registry's digest for the tag; for several platforms, that of their index."""
    registry, repository, tag = _parts(image)
    scheme = "http" if registry.partition(":")[0] in ("localhost", "127.0.0.1") else "https"  # as Docker does
    url = f"{scheme}://{registry}/v2/{repository}/manifests/{tag}"
    headers = {"Accept": ", ".join(_TYPES)}
    try:
        answered, _ = _send(url, headers, "HEAD")
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.UNAUTHORIZED:
            raise
        token = _token(error.headers["WWW-Authenticate"])
        answered, _ = _send(url, {**headers, "Authorization": f"Bearer {token}"}, "HEAD")
    digest = answered["Docker-Content-Digest"]
    if not _DIGEST.fullmatch(digest or ""):
        raise ValueError("the registry names no digest")
    return str(digest)


def _token(challenge: str | None) -> str:
    """An anonymous token, from the address in the registry's challenge."""
    values = dict(re.findall(r'(\w+)="([^"]*)"', challenge or ""))
    query = urllib.parse.urlencode({name: values[name] for name in ("service", "scope") if name in values})
    _, body = _send(f"{values['realm']}?{query}", {}, "GET")
    answer = json.loads(body)
    return str(answer.get("token") or answer["access_token"])


def _send(url: str, headers: dict[str, str], method: str) -> tuple[Message, bytes]:
    """Headers and body of the answer."""
    if not url.startswith(("http://", "https://")):  # the challenge may name anything
        raise ValueError("no address of the web")
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310  (checked above)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
        return response.headers, response.read()


def _parts(image: str) -> tuple[str, str, str]:
    """Registry, repository and tag of an image's name; without a registry it is the hub's."""
    name, _, tag = image.rpartition(":")
    registry, slash, repository = name.partition("/")
    if slash and (registry == "localhost" or "." in registry or ":" in registry):
        return registry, repository, tag
    return HUB, name if slash else f"library/{name}", tag
