"""Runs inside the container, with the image's packages: starts the service, predicts once, prints its findings."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import Request, urlopen

URL = "http://127.0.0.1:8000/project/predict"
BODY = json.dumps({"text": ["I love you.", "I hate you."]}).encode()
TIMEOUT_S = 120.0


def predict() -> tuple[float, dict[str, object]]:
    """The time of the first prediction, in seconds since the epoch, and its body."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            with urlopen(Request(URL, BODY), timeout=5) as answer:
                return time.time(), json.load(answer)
        except (URLError, OSError):
            time.sleep(0.1)
    sys.exit("no prediction")


def root_is_writable() -> bool:
    """Whether a file can be made in the image's own file system."""
    return not os.statvfs("/app").f_flag & os.ST_RDONLY


def capabilities() -> int:
    """Effective and bounding capabilities of this process, as one mask."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        return sum(int(line.split()[1], 16) for line in status if line.startswith(("CapEff", "CapBnd")))


service = subprocess.Popen(["python", "-m", "serve_app.local", "--log", "/tmp/serve.log"])  # noqa: S607, S108
try:
    when, body = predict()
finally:
    service.send_signal(signal.SIGTERM)
    code = service.wait(60)
seen = {
    "first_prediction_s": when - float(sys.argv[1]),
    "body": body,
    "stopped_with": code,
    "user": os.getuid(),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "root_is_writable": root_is_writable(),
    "capabilities": capabilities(),
}
sys.stdout.write(json.dumps(seen) + "\n")
