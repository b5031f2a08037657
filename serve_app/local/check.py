"""Checks settings, model, address and port before anything is started."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pydantic import ValidationError

from model.cpu import choose_precision
from model.directory import open_directory
from model.errors import ModelError
from model.golden import StaleExport, check_export
from serve_app.haproxy import LOOPBACK
from serve_app.local.ports import free_port, holder, is_free, is_own, needs_rights, own_address
from serve_app.settings import Settings, explain
from serve_app.web.api_keys import BadKeysFile, read_keys

DASHBOARD_PORT = 8265
"""Ray opens it before HAProxy opens the service's port."""


def check(port: int, bind: str = LOOPBACK) -> list[str]:
    """The faults that keep the service from starting, one line each."""
    return [*_settings(), *(_address(bind) or _port(port, bind))]


def _settings() -> list[str]:
    try:
        settings = Settings()
        if settings.api_keys_file is not None:
            read_keys(settings.api_keys_file)
        if settings.drain_file is not None and (fault := _drain_file(settings.drain_file)):
            return [fault]
        directory = open_directory(settings.model_dir)
        directory.check_weights()
        if (precision := choose_precision(settings.precision)) != "fp32":
            # a stale export is made again; one that was changed by hand must be neither served nor overwritten
            with contextlib.suppress(StaleExport):
                check_export(directory, precision)
    except ValidationError as error:
        return explain(error)
    except (BadKeysFile, ModelError) as error:
        return [str(error)]
    return []


def _drain_file(file: Path) -> str | None:
    try:
        if not file.absolute().parent.is_dir():
            return f"SENTIMENT_DRAIN_FILE is in {file.parent}, which is not a folder"
        file.exists()
    except OSError as error:
        return f"SENTIMENT_DRAIN_FILE cannot be used ({error.strerror}); choose another path"
    return None


def _address(bind: str) -> list[str]:
    meant = "127.0.0.1 is this machine alone, 0.0.0.0 is all its addresses"
    try:
        own_address(bind)
    except ValueError:
        return [f"BIND is not an IP address; {meant}"]
    return [] if is_own(bind) else [f"BIND is not an address of this machine; {meant}"]


def _port(port: int, bind: str) -> list[str]:
    if port == DASHBOARD_PORT:
        return [f"port {port} is that of Ray's dashboard; choose another: make run PORT={free_port()}"]
    if needs_rights(port):
        return [f"port {port} may be opened by root alone; choose one from 1024 on: make run PORT={free_port()}"]
    if not is_free(port, bind):
        return [f"port {port} is taken by {holder(port)}; stop that, or choose another: make run PORT={free_port()}"]
    return []
