"""Renders an overlay's objects by `kubectl kustomize`, and never writes to the user's tree."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import yaml

from kuberay.errors import ClientError, ExitCode
from kuberay.names import COURSE_DEPLOYMENT, DEPLOYMENTS, RAY_SERVICE, Object, label
from kuberay.templates import own_container, templates

UNSET_TAG = "set-by-deploy"
"""The tag of an image that an overlay leaves open; `apply` must be given one."""
UNSET_DOMAIN = "example.com"
UNSET_GATEWAYS = ("project-gateway", "course-gateway")
"""A host below UNSET_DOMAIN, and these gateways of any namespace, are left open too."""
OVERLAYS = Path(__file__).resolve().parent / "overlays"
LAB = OVERLAYS.parent / "components" / "lab"


def render(
    overlay: str,
    image: str | None = None,
    lab_image: str | None = None,
    namespace: str | None = None,
    *,
    host: str | None = None,
    gateway: str | None = None,
) -> list[Object]:
    """The overlay's objects, in kustomize's order, with the given values put in.

    Args:
        overlay: the name of a folder in kuberay/overlays, or a path with a slash in it.
        image: image of the project's own containers, with a tag other than latest or a digest.
        lab_image: the same for lab, which is added if the overlay has none.
        namespace: instead of the overlay's own.
        host: that the VirtualService answers to.
        gateway: of Istio, as namespace/name, that the VirtualService belongs to.
    """
    folder = _folder(overlay)
    objects = _build(folder)
    over: Object = {}
    if namespace:
        over["namespace"] = namespace
    if lab_image and not _image_names(objects, (DEPLOYMENTS["lab"],)):
        over |= {"components": [LAB], "namespace": namespace or namespace_of(objects)}
    images = []
    for wanted, roles in ((image, (RAY_SERVICE, COURSE_DEPLOYMENT)), (lab_image, (DEPLOYMENTS["lab"],))):
        if wanted:
            names = _image_names(objects, roles) or ({"lab"} if "components" in over else set())
            if not names:
                raise ClientError(
                    ExitCode.RENDER, f"{folder} has no {' or '.join(roles)} to give the image {wanted} to"
                )
            images += [{"name": name, **_split(wanted)} for name in sorted(names)]
    if images:
        over["images"] = images
    if patches := _route(objects, host, gateway):
        over["patches"] = patches
    return _build_over(folder, over) if over else objects


def namespace_of(objects: list[Object]) -> str:
    """The one namespace that the objects are in."""
    found = {obj["metadata"]["namespace"] for obj in objects if "namespace" in obj["metadata"]}
    if len(found) != 1:
        names = ", ".join(sorted(found)) or "none"
        raise ClientError(ExitCode.RENDER, f"the overlay must set one namespace, and sets {names}; see --namespace")
    return str(found.pop())


def check_images(objects: list[Object]) -> None:
    """Refuse objects whose image the overlay leaves open: otherwise a pull fails minutes later."""
    for obj in objects:
        for image in _images(obj):
            if image.endswith(f":{UNSET_TAG}"):
                option = "--lab-image" if obj["metadata"]["name"] == DEPLOYMENTS["lab"] else "--image"
                unset = f"{label(obj)} has no image yet, only {image}"
                raise ClientError(ExitCode.USAGE, f"{unset}; give one with {option}, or in the overlay")


def check_route(objects: list[Object], host: str | None, gateway: str | None) -> str:
    """The host or gateway that the overlay leaves open, and how to give it; empty if there is none."""
    for obj in objects:
        if obj["kind"] != "VirtualService":
            continue
        for name in obj["spec"].get("hosts") or []:
            if host is None and (name == UNSET_DOMAIN or name.endswith(f".{UNSET_DOMAIN}")):
                return f"{label(obj)} has no host yet, only {name}; give one with --host, or in the overlay"
        for name in obj["spec"].get("gateways") or []:
            if gateway is None and name.rpartition("/")[2] in UNSET_GATEWAYS:
                return f"{label(obj)} has no gateway yet, only {name}; give one with --gateway namespace/name"
    return ""


def _route(objects: list[Object], host: str | None, gateway: str | None) -> list[Object]:
    values = {name: value for name, value in (("hosts", host), ("gateways", gateway)) if value}
    if not values:
        return []
    if not any(obj["kind"] == "VirtualService" for obj in objects):
        raise ClientError(ExitCode.RENDER, "the overlay has no VirtualService to give --host or --gateway to")
    operations = [{"op": "replace", "path": f"/spec/{name}", "value": [value]} for name, value in values.items()]
    return [{"target": {"kind": "VirtualService"}, "patch": json.dumps(operations)}]


def _build_over(folder: Path, kustomization: Object) -> list[Object]:
    """The folder's objects with a kustomization over it."""
    with tempfile.TemporaryDirectory(prefix="kuberay-") as over:
        place = Path(over).resolve()
        # kustomize takes no absolute paths
        components = [os.path.relpath(each, place) for each in kustomization.get("components", [])]
        kustomization = {**kustomization, "resources": [os.path.relpath(folder, place)], "components": components}
        (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        return _build(place)


def _folder(overlay: str) -> Path:
    folder = Path(overlay) if "/" in overlay else OVERLAYS / overlay
    if not folder.is_dir():
        known = ", ".join(sorted(path.name for path in OVERLAYS.glob("*/"))) or "none"
        raise ClientError(ExitCode.RENDER, f"there is no overlay {overlay}; there are: {known}; or give a path")
    return folder.resolve()


def _build(folder: Path) -> list[Object]:
    try:
        done = subprocess.run(  # noqa: S603  (our own arguments, no shell)
            ["kubectl", "kustomize", str(folder)],  # noqa: S607  (the user's kubectl)
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except FileNotFoundError:
        raise ClientError(ExitCode.RENDER, "kubectl is not installed; rendering needs `kubectl kustomize`") from None
    except subprocess.TimeoutExpired:
        raise ClientError(ExitCode.RENDER, f"`kubectl kustomize {folder}` did not end within 120 s") from None
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise ClientError(
            ExitCode.RENDER, f"`kubectl kustomize {folder}` failed: {reason[0].partition('err=')[2] or reason[0]}"
        )
    return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


def _image_names(objects: list[Object], roles: tuple[str, ...]) -> set[str]:
    """Names, without tag, of the images of those workloads' own containers."""
    named = [obj for obj in objects if obj["metadata"]["name"] in roles]
    return {_split(image, checked=False)["newName"] for obj in named for image in _images(obj)}


def _images(obj: Object) -> list[str]:
    """The image of the project's own container in each pod template."""
    return [own_container(template["spec"])["image"] for _, template, _ in templates([obj])]


def _split(image: str, *, checked: bool = True) -> dict[str, str]:
    """An image reference as kustomize's newName with newTag or digest."""
    name, _, digest = image.partition("@")
    if digest:
        return {"newName": name, "digest": digest}
    before, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # the colon of a registry's port
        before, tag = name, ""
    if checked and (not before or tag in {"", "latest"}):
        raise ClientError(ExitCode.USAGE, f"the image {image} needs a tag that is not latest, or a digest")
    return {"newName": before, "newTag": tag}
