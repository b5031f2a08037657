"""More connections wait for a busy ingress replica than uvicorn's default."""

from __future__ import annotations

import pytest
import uvicorn

from serve_app.web.backlog import BACKLOG, let_more_connections_wait


def test_servers_that_start_later_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn.Config, "__init__", uvicorn.Config.__init__)  # put back afterwards
    assert uvicorn.Config("app").backlog < BACKLOG
    let_more_connections_wait()
    let_more_connections_wait()
    assert uvicorn.Config("app").backlog == BACKLOG
    assert uvicorn.Config("app", backlog=5).backlog == 5
