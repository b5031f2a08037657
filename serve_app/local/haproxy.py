"""Run as a program in HAProxy's place: change the configuration that Serve wrote, then become HAProxy.

`haproxy.py BINARY ADDRESS -f FILE ...`: Serve has no option for any of these changes. One function is one change; each
leaves alone what it has changed before. The file is changed in place, since Serve knows its HAProxy by the file's name.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

LOOPBACK = "127.0.0.1"

_SECTION = re.compile(r"(?:global|defaults|frontend|listen|backend)\b.*")
_BIND = re.compile(r"(\s*bind )\S*:(\d+)(?=\s)")
# HAProxy's own, without the request's path: people put texts into URLs
_LOG_FORMAT = 'log-format "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %HM"'


def bind_to(config: str, address: str) -> str:
    """The service's port on `address`, and HAProxy's own ports, metrics and statistics, on loopback."""
    lines = []
    section = ""
    for line in config.splitlines(keepends=True):
        if found := _SECTION.match(line):
            section = found[0].strip()
        host = address if section == "frontend http_frontend" else LOOPBACK
        host = f"[{host}]" if ":" in host else host
        lines.append(_BIND.sub(rf"\g<1>{host}:\2", line))
    return "".join(lines)


def log_without_path(config: str) -> str:
    """HAProxy's log line for each request without what the caller wrote into the URL."""
    return re.sub(r"(?m)^(\s*)option httplog$", lambda found: found[1] + _LOG_FORMAT, config)


def main(binary: str, address: str, *arguments: str) -> None:
    """Change the file that follows `-f`, and become HAProxy."""
    if "-f" in arguments:
        file = Path(arguments[arguments.index("-f") + 1])
        changed = file.with_suffix(".changed")
        changed.write_text(log_without_path(bind_to(file.read_text(encoding="utf-8"), address)), encoding="utf-8")
        changed.replace(file)
    os.execv(binary, [binary, *arguments])  # noqa: S606  (Serve's own command)


if __name__ == "__main__":
    main(*sys.argv[1:])
