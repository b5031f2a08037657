"""The API server to use, and the credentials."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from kuberay.errors import ClientError, ExitCode
from kuberay.redact import redact_text


def configuration(kubeconfig: str | None, context: str | None) -> Any:
    """The configuration by kubectl's rules: the option, KUBECONFIG, ~/.kube/config, or, in a pod, its account."""
    found = client.Configuration()
    found.retries = False
    try:
        files = kubeconfig or os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
        if (
            not any(Path(file).is_file() for file in files.split(os.pathsep))
            and "KUBERNETES_SERVICE_HOST" in os.environ
        ):
            config.load_incluster_config(client_configuration=found)
        else:
            config.load_kube_config(files, context, client_configuration=found, persist_config=False)
    except (config.ConfigException, OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        reason = (
            redact_text(str(error).splitlines()[0]) if isinstance(error, config.ConfigException) else "it is damaged"
        )
        message = f"no usable kubeconfig ({reason}); name one with --kubeconfig or KUBECONFIG"
        raise ClientError(ExitCode.NO_CLUSTER, message) from None
    return found
