"""The options that several commands of `python -m kuberay` share."""

from __future__ import annotations

from typing import Annotated

import typer

Overlay = Annotated[str, typer.Option(help="Folder in kuberay/overlays, or a path with a slash.")]
Namespace = Annotated[str | None, typer.Option(help="Namespace, instead of the overlay's own.")]
Kubeconfig = Annotated[str | None, typer.Option(help="Kubeconfig file; default KUBECONFIG, then ~/.kube/config.")]
Context = Annotated[str | None, typer.Option(help="Context in it; default the current one.")]
Image = Annotated[str | None, typer.Option(help="Image of the project, with a tag other than latest or a digest.")]
LabImage = Annotated[str | None, typer.Option(help="Image of lab, likewise.")]
Host = Annotated[str | None, typer.Option(help="Host of the VirtualService.")]
Gateway = Annotated[str | None, typer.Option(help="Istio's gateway of the VirtualService, as namespace/name.")]
PinDigests = Annotated[
    bool,
    typer.Option("--pin-digests", envvar="KUBERAY_PIN_DIGESTS", help="Ask registries for the digests of other images."),
]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds until `wait` gives up.")]
ProblemFor = Annotated[float, typer.Option(min=0, help="Seconds that a problem may stay until `wait` gives up.")]
FORCE = typer.Option(help="Take over fields that people or controllers own.")
RESET_SCALE = typer.Option(help="Take the overlay's bounds, not those that `scale` set.")
