from __future__ import annotations

import pytest

from serve_app.backlog import Backlog


def test_it_is_full_past_twice_what_an_ingress_lets_in() -> None:
    backlog = Backlog(tokens_per_s=1000, batch_tokens=512, max_wait_s=1)
    with backlog.hold(5511):
        assert not backlog.full
        assert backlog.wait_s == pytest.approx(5.511)
        with backlog.hold(1):
            assert backlog.full
    assert backlog.tokens == 0


def test_what_fails_or_is_cancelled_is_not_held_for_ever() -> None:
    backlog = Backlog(tokens_per_s=1000, batch_tokens=512, max_wait_s=1)
    with pytest.raises(LookupError), backlog.hold(100):
        raise LookupError
    assert backlog.tokens == 0


def test_it_learns_its_rate_from_batches_that_are_worth_it() -> None:
    backlog = Backlog(tokens_per_s=1000, batch_tokens=512, max_wait_s=1)
    for _ in range(100):
        backlog.ran(10, 1.0)
        backlog.ran(512, 0.0)
    assert backlog.tokens_per_s == 1000
    for _ in range(100):
        backlog.ran(512, 0.1)
    assert backlog.tokens_per_s == pytest.approx(5120, rel=0.01)
