from __future__ import annotations

from serve_app.cache.breaker import Breaker
from tests.wait import until_async


class Resource:
    def __init__(self) -> None:
        self.gone = True
        self.probes = 0

    async def probe(self) -> None:
        self.probes += 1
        if self.gone:
            raise ConnectionError


async def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(3, 60, Resource().probe)
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert not breaker.open
    for _ in range(3):
        breaker.failed()
    assert breaker.open
    await breaker.close()


async def test_it_probes_until_the_resource_is_back_and_then_closes() -> None:
    resource = Resource()
    breaker = Breaker(1, 0.01, resource.probe)
    breaker.failed()
    await until_async(lambda: resource.probes >= 2, "two probes")
    assert breaker.open
    resource.gone = False
    await until_async(lambda: not breaker.open, "the breaker closed")
    probes = resource.probes
    breaker.failed()
    assert breaker.open
    await until_async(lambda: resource.probes > probes, "it probes again")
    await breaker.close()
