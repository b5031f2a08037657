"""What the service promises, asked once each; a JSON object of the checks that do not hold, and why."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from http.client import HTTPException

from tests.cluster.inside.ask import PATH, Address, Caller, is_right
from tests.cluster.inside.load import new_text

BAD_BODIES = {
    "no text": b"{}",
    "text is null": b'{"text": null}',
    "text is a string": b'{"text": "a"}',
    "text is a number": b'{"text": 5}',
    "a number among the texts": b'{"text": ["a", 5]}',
    "a nested list": b'{"text": [["a"]]}',
    "an unknown field": b'{"text": ["a"], "more": 1}',
    "malformed JSON": b'{"text": [',
    "an empty body": b"",
}
CACHED_WITHIN_S = 10.0


class Broken(Exception):
    """A promise that does not hold."""


def expect(what: object, wanted: object) -> None:
    """Raise unless they are equal."""
    if what != wanted:
        raise Broken(f"{what!r} instead of {wanted!r}")


def predicts(caller: Caller) -> None:
    for path in (PATH, "/project/bulk-predict"):
        status, headers, body = caller.send("POST", path, json.dumps({"text": ["good", "bad", ""]}).encode())
        expect(status, 200)
        expect(is_right(body, 3), wanted=True)
        expect({"x-cache", "x-model", "x-request-id"} <= headers.keys(), wanted=True)


def empty_list(caller: Caller) -> None:
    status, _, body = caller.send("POST", PATH, b'{"text": []}')
    expect((status, json.loads(body)), (200, {"predictions": []}))


def second_is_a_hit(caller: Caller) -> None:
    """Within seconds, since the second may reach another replica, and the first is written to Redis afterwards."""
    body = json.dumps({"text": [new_text()]}).encode()
    _, headers, first = caller.send("POST", PATH, body)
    expect(headers.get("x-cache", "").split(",")[0], "hit=0")
    until = time.monotonic() + CACHED_WITHIN_S
    while time.monotonic() < until:
        _, headers, again = caller.send("POST", PATH, body)
        if headers.get("x-cache", "").startswith("hit=1"):
            return expect(again, first)
        time.sleep(0.1)
    raise Broken(f"no hit within {CACHED_WITHIN_S:.0f} s")


def health(caller: Caller) -> None:
    status, _, body = caller.send("GET", "/project/health")
    expect((status, json.loads(body)), (200, {"status": "healthy"}))


def model(caller: Caller) -> None:
    status, _, body = caller.send("GET", "/project/model")
    expect(status, 200)
    expect({"name", "fingerprint", "labels"} <= json.loads(body).keys(), wanted=True)


def documents(caller: Caller) -> None:
    status, _, body = caller.send("GET", "/project/docs")
    expect((status, b"<title>FastAPI - Swagger UI</title>" in body), (200, True))
    status, _, body = caller.send("GET", "/project/openapi.json")
    expect((status, json.loads(body)["openapi"]), (200, "3.1.0"))


def other_routes(caller: Caller) -> None:
    expect(caller.send("GET", "/")[0], 404)
    expect(caller.send("GET", PATH)[0], 405)


def refuses(body: bytes) -> Callable[[Caller], None]:
    return lambda caller: expect(caller.send("POST", PATH, body)[0], 422)


CHECKS: dict[str, Callable[[Caller], None]] = {
    "predict": predicts,
    "empty list": empty_list,
    "a hit the second time": second_is_a_hit,
    "health": health,
    "model": model,
    "documents": documents,
    "other routes": other_routes,
    **{f"422: {name}": refuses(body) for name, body in BAD_BODIES.items()},
}


def run(host: str, port: int, timeout_s: float) -> dict[str, str]:
    """The checks that do not hold, with the reason."""
    broken = {}
    for name, check in CHECKS.items():
        caller = Caller(Address(host), port, timeout_s, keep=True)
        try:
            check(caller)
        except (Broken, OSError, HTTPException, ValueError, KeyError) as error:
            broken[name] = f"{type(error).__name__}: {error}"
        finally:
            caller.close()
    return broken


def main() -> None:
    """Check the service given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--timeout-s", type=float, default=15)
    arguments = parser.parse_args()
    broken = run(arguments.host, arguments.port, arguments.timeout_s)
    sys.stdout.write(json.dumps({"checks": len(CHECKS), "broken": broken}) + "\n")


if __name__ == "__main__":
    main()
