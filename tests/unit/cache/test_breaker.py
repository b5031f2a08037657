from __future__ import annotations

from serve_app.cache.breaker import Breaker
from tests.support.wait import until_async

GONE = ConnectionError()


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
        breaker.failed("read", GONE)
        breaker.failed("read", GONE)
        breaker.succeeded("read")
    assert not breaker.open
    for _ in range(3):
        breaker.failed("read", GONE)
    assert breaker.open
    await breaker.close()


async def test_writes_that_succeed_do_not_hide_that_reads_fail() -> None:
    breaker = Breaker(3, 60, Resource().probe)
    for _ in range(3):
        breaker.failed("read", GONE)
        breaker.succeeded("write")
    assert breaker.open
    await breaker.close()


async def test_it_probes_until_the_resource_is_back_and_then_closes() -> None:
    resource = Resource()
    breaker = Breaker(1, 0.01, resource.probe)
    breaker.failed("read", GONE)
    await until_async(lambda: resource.probes >= 2, "two probes")
    assert breaker.open
    resource.gone = False
    await until_async(lambda: not breaker.open, "the breaker closed")
    probes = resource.probes
    breaker.failed("read", GONE)
    assert breaker.open
    await until_async(lambda: resource.probes > probes, "it probes again")
    await breaker.close()


async def test_each_outage_is_logged_once_with_its_reason_and_so_is_its_end() -> None:
    resource = Resource()
    told: list[Exception | None] = []
    breaker = Breaker(2, 0.01, resource.probe, told.append)
    for _ in range(4):
        breaker.failed("read", GONE)
    await until_async(lambda: resource.probes >= 3, "three probes")
    assert told == [GONE]
    resource.gone = False
    await until_async(lambda: not breaker.open, "the breaker closed")
    assert told == [GONE, None]


async def test_a_check_finds_a_resource_that_is_gone_before_it_is_needed() -> None:
    resource = Resource()
    told: list[Exception | None] = []
    breaker = Breaker(3, 0.01, resource.probe, told.append)
    breaker.check()
    await until_async(lambda: resource.probes >= 3, "three probes")
    assert breaker.open
    assert [type(each) for each in told] == [ConnectionError]
    resource.gone = False
    await until_async(lambda: not breaker.open, "the breaker closed")
    assert told[1:] == [None]
