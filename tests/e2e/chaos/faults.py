"""The faults: what is done, how it is undone, and what it may cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.e2e.chaos.stage import CLASSIFIER, CONTROLLER, HAPROXY, INGRESS, Config, Stage
from tests.support.models import save_distilbert
from tests.support.wait import until

SLOW_S = 0.2
PASSWORD = "another"  # noqa: S105
GARBAGE = (b"", b"nonsense", b"\x80\x04pickle", b"[7,8,true]", b"[0.1,0.2,false]", b'{"score":1}', b"x" * 100_000)

Act = Callable[[Stage], None]


def nothing(_: Stage) -> None:
    """There is nothing to undo."""


@dataclass(frozen=True)
class Fault:
    """A fault that lasts `hold_s` seconds before it is undone. The bars: failed requests are allowed or not, and
    seconds for the slowest request and until no request fails any more."""

    name: str
    do: Act
    undo: Act = nothing
    hold_s: float = 5.0
    may_fail: bool = False
    most_slowest_s: float | None = None
    most_recovery_s: float | None = None


def _killed(name: str, command: str) -> Fault:
    return Fault(name, lambda stage: stage.kill(command), hold_s=3)


def _redis(name: str, do: Act, undo: Act = nothing) -> Fault:
    return Fault(f"Redis {name}", do, undo, most_slowest_s=1.0)


def _stop(stage: Stage) -> None:
    stage.redis.stop()


def _start(stage: Stage) -> None:
    stage.redis.start()


def _restart(stage: Stage) -> None:
    stage.redis.stop()
    stage.redis.start()


def _black_hole(stage: Stage) -> None:
    stage.proxy.swallow = True


def _open_again(stage: Stage) -> None:
    stage.proxy.swallow = False


def _slow(stage: Stage) -> None:
    stage.proxy.delay_s = SLOW_S


def _quick(stage: Stage) -> None:
    stage.proxy.delay_s = 0


def _fill(stage: Stage) -> None:
    stage.redis.client.config_set("maxmemory-policy", "noeviction")
    stage.redis.client.config_set("maxmemory", "1")


def _give_room(stage: Stage) -> None:
    stage.redis.client.config_set("maxmemory", "0")


def _flush(stage: Stage) -> None:
    stage.redis.client.flushall()


def _change_password(stage: Stage) -> None:
    stage.redis.client.config_set("requirepass", PASSWORD)
    stage.redis.client.client_kill_filter(_type="normal")


def _change_password_back(stage: Stage) -> None:
    with redis.Redis(port=stage.redis.port, password=PASSWORD) as client:
        client.config_set("requirepass", "")


def _spoil(stage: Stage) -> None:
    """Garbage for every text that is known, and for all that will be asked next."""
    names = [*stage.redis.names(), *(stage.key(text) for text in stage.texts)]
    with stage.redis.client.pipeline(transaction=False) as pipeline:
        for index, name in enumerate(names):
            pipeline.set(name, GARBAGE[index % len(GARBAGE)])
        pipeline.execute()


def _update(stage: Stage) -> None:
    def change(config: Config) -> None:
        for deployment in config["applications"][0]["deployments"]:
            number = deployment.pop("num_replicas")
            deployment["autoscaling_config"] = {"min_replicas": number, "max_replicas": number}
            deployment["max_ongoing_requests"] = 900

    stage.deploy(change)


def other_model(folder: Path) -> Path:
    """A model with answers of its own, made at the first call."""
    path = folder / "other"
    return path if path.is_dir() else save_distilbert(path)


def _roll(stage: Stage) -> None:
    old = {process.pid for command in (CLASSIFIER, INGRESS) for process in stage.running(command)}

    def change(config: Config) -> None:
        config["applications"][0]["args"]["model_dir"] = str(other_model(stage.folder))

    stage.deploy(change)

    def rolled() -> bool:
        return not old & {process.pid for command in (CLASSIFIER, INGRESS) for process in stage.running(command)}

    until(rolled, "no replica of the old model is left", 240)


FAULTS = (
    _killed("model replica killed", CLASSIFIER),
    _killed("ingress replica killed", INGRESS),
    Fault("HAProxy killed", lambda stage: stage.kill(HAPROXY), may_fail=True, most_recovery_s=5.0),
    Fault("controller killed", lambda stage: stage.kill(CONTROLLER), may_fail=True, most_recovery_s=5.0),
    _redis("stopped", _stop, _start),
    _redis("paused", lambda stage: stage.redis.freeze(), lambda stage: stage.redis.thaw()),
    _redis("black-holed", _black_hole, _open_again),
    _redis("full", _fill, _give_room),
    _redis("flushed", _flush),
    _redis("restarted", _restart),
    _redis("password changed", _change_password, _change_password_back),
    _redis("full of garbage", _spoil),
    _redis("slow", _slow, _quick),
    Fault("configuration updated", _update),
    Fault("rolled to another model", _roll, hold_s=2),  # the last, since the embedded model does not come back
)
