"""The run's namespace with the service and the load in it, and what steps do with them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.cluster import objects
from tests.cluster.api import Api, Object
from tests.cluster.client import Client, Result
from tests.cluster.endpoints import Watcher
from tests.cluster.errors import StepFailed, SuiteError
from tests.cluster.overlays import Overlays
from tests.cluster.records import Records
from tests.cluster.state import is_ready, name_of, of_role, unsettled

WORKERS = 2
"""The overlay's minimum."""
POLL_S = 1.0
SILENT_S = 30.0
"""The load writes a line a second; without one for so long it has ended, or its log cannot be read."""
LOAD_STARTS_S = 180.0
WARM_UP_S = 10.0


@dataclass
class Stage:
    """What a step acts on."""

    api: Api
    client: Client
    overlays: Overlays
    image: str
    """What serves now, and what a way back goes back to."""
    next_image: str
    say: Callable[[str], None]
    """Called with a line for whoever watches."""
    preflight: bool = True
    records: Records = field(default_factory=Records)
    _end: threading.Event = field(default_factory=threading.Event, repr=False)
    watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        self.watcher = Watcher(self.api, objects.SERVICE)

    def apply(self, overlay: str, image: str, timeout_s: float, problem_s: float = 300.0) -> Result:
        """`apply --wait`, whatever it ends with."""
        more = [] if self.preflight else ["--no-preflight"]
        waits = ["--wait", f"--timeout={timeout_s:.0f}", f"--problem-for={problem_s:.0f}"]
        arguments = ["apply", "--overlay", overlay, "--image", image, *waits, *more]
        return self.client.run(*arguments, timeout_s=timeout_s + 180)

    def apply_well(self, overlay: str, image: str, timeout_s: float = 600.0) -> float:
        """`apply --wait` that has to succeed; seconds that it took."""
        result = self.apply(overlay, image, timeout_s)
        if result.code:
            raise StepFailed(f"`{result.command}` ended with {result.code}: {result.last_line}")
        return result.seconds

    def start_load(self, hits_per_s: float, new_per_s: float) -> None:
        """Start the load's pod, follow its log and the Service's endpoints, and wait until the load is warm."""
        load = objects.pod(self.image, hits_per_s, new_per_s)
        for obj in [objects.code(), *objects.policies(), load]:
            self.api.create(obj)
        self.watcher.start()
        threading.Thread(target=self._follow, name="load", daemon=True).start()
        self.until("the load runs", lambda: "" if self.records.last_arrival else self._load_state(), LOAD_STARTS_S)
        self.hold(WARM_UP_S)

    def stop_load(self) -> None:
        """End the load."""
        self._end.set()
        self.api.delete_pod(objects.NAME, grace_s=1)

    def close(self) -> None:
        """Stop the threads; the pods end with the namespace."""
        self._end.set()
        self.watcher.stop()

    def pods(self, role: str, cluster: str = "") -> list[Object]:
        """Pods of a role: `head`, `worker`, `redis` or `gcs-redis`."""
        return of_role(self.api.items("Pod"), role, cluster)

    def ready_workers(self) -> list[Object]:
        """Workers that are ready."""
        return [pod for pod in self.pods("worker") if is_ready(pod)]

    def one(self, role: str) -> str:
        """Name of the ready pod of a role, the first if there are several."""
        ready = [name_of(pod) for pod in self.pods(role) if is_ready(pod)]
        if not ready:
            raise StepFailed(f"there is no ready {role} pod")
        return ready[0]

    def ray_service(self) -> Object:
        """The RayService."""
        found = self.api.items("RayService")
        if not found:
            raise StepFailed("there is no RayService")
        return found[0]

    def settle(self, *, workers: int = WORKERS, hold_s: float = 5.0, timeout_s: float = 300.0) -> float:
        """Wait until the service is up with so many workers and stays so; seconds until it was."""

        def why() -> str:
            return unsettled(self.ray_service(), self.api.items("Pod"), workers)

        return self.until("the service is up", why, timeout_s, hold_s)

    def one_cluster(self, timeout_s: float = 420.0) -> None:
        """Wait until the RayClusters that do not serve are gone, with their pods."""

        def why() -> str:
            clusters = len(self.api.items("RayCluster"))
            heads = len(self.pods("head"))
            return "" if clusters == heads == 1 else f"there are {clusters} RayClusters and {heads} heads"

        self.until("one RayCluster is left", why, timeout_s)

    def until(self, what: str, why_not: Callable[[], str], timeout_s: float, hold_s: float = 0.0) -> float:
        """Poll until it holds, and goes on for `hold_s`; seconds until it began to.

        Args:
            what: what is waited for, for the message.
            why_not: returns why it does not hold yet, empty if it does; an API server that is away is a reason.
            timeout_s: until it has to begin.
            hold_s: how long it has to go on.

        Raises:
            StepFailed: it did not hold in time.
        """
        began = time.monotonic()
        since: float | None = None
        while True:
            try:
                reason = why_not()
            except StepFailed as error:
                reason = str(error)
            now = time.monotonic()
            since = None if reason else (now if since is None else since)
            if since is not None and now - since >= hold_s:
                return since - began
            if since is None and now - began >= timeout_s:
                raise StepFailed(f"waited {timeout_s:.0f} s in vain until {what}: {reason}")
            time.sleep(POLL_S)

    def hold(self, seconds: float) -> None:
        """Let the load go on for so long; an error if it does not."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check_load()
            time.sleep(min(POLL_S, left))

    def check_load(self) -> None:
        """Raise if the load is silent."""
        silent_s = time.time() - self.records.last_arrival
        if silent_s > SILENT_S and not self._end.is_set():
            raise SuiteError(f"nothing was heard of the load for {silent_s:.0f} s: {self._load_state()}")

    def _follow(self) -> None:
        """Read the load's log; a connection that ends is opened again, and lines that came before are dropped."""
        began = time.time()
        while not self._end.is_set():
            last = self.records.last_arrival or began
            with contextlib.suppress(StepFailed):
                for line in self.api.follow_log(objects.NAME, since_s=int(time.time() - last) + 30):
                    self.records.add(line, time.time())
            self._end.wait(POLL_S)

    def _load_state(self) -> str:
        try:
            found = self.api.items("Pod", f"app={objects.NAME}")
            if not found:
                return "its pod is gone"
            status = found[0].get("status") or {}
            waiting = [each.get("state", {}).get("waiting", {}) for each in status.get("containerStatuses") or []]
            reasons = [str(each.get("reason")) for each in waiting if each]
            messages = [str(each["message"]) for each in status.get("conditions") or [] if each.get("message")]
            state = ", ".join([f"its pod is {status.get('phase', 'Unknown')}", *reasons, *messages])
            if status.get("phase") == "Failed":
                state += f"; its log ends: {' | '.join(self.api.log(objects.NAME, 3).splitlines())}"
        except StepFailed as error:
            return str(error)
        return state
