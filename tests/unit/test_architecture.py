"""Imports of serve_app's rooms point one way, from the upper layers to the lower ones."""

import importlib.util
from graphlib import CycleError
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.service import REPOSITORY

LAYERS = (
    {
        "command_line",
        "core_dumps",
        "errors",
        "haproxy",
        "identity",
        "idle_priority",
        "metrics",
        "prediction",
        "redis_address",
        "scaling",
    },
    {"drain", "messages", "settings"},
    {"cache", "overload"},
    {"classifier", "predict"},
    {"web"},
    {"ingress", "local"},
    {"app", "score"},
)
"""A room may import those of the layers before its own. A new room is to be added here."""


@pytest.fixture
def architecture() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architecture", REPOSITORY / "scripts" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def upwards(rooms: dict[str, set[str]]) -> list[str]:
    layer = {room: number for number, names in enumerate(LAYERS) for room in names}
    arrows = [(room, other) for room, others in rooms.items() for other in others]
    return [f"{room} imports {other}" for room, other in arrows if layer[other] >= layer[room]]


def test_no_room_imports_one_of_its_own_layer_or_above(architecture: ModuleType) -> None:
    rooms = architecture.arrows()
    assert set(rooms) == set().union(*LAYERS)
    assert upwards(rooms) == []


def test_an_import_against_the_layers_is_found(architecture: ModuleType, tmp_path: Path) -> None:
    package = tmp_path / "serve_app"
    (package / "cache").mkdir(parents=True)
    (package / "errors.py").write_text("")
    (package / "cache" / "redis.py").write_text("from serve_app.errors import ServiceError\nimport serve_app.web.api\n")
    (package / "web").mkdir()
    (package / "web" / "api.py").write_text("def late():\n    from serve_app import cache\n")
    rooms = architecture.arrows(package)
    assert rooms == {"errors": set(), "cache": {"errors", "web"}, "web": {"cache"}}
    assert upwards(rooms) == ["cache imports web"]
    with pytest.raises(CycleError):
        architecture.floors(rooms)
    assert architecture.floors({"errors": set(), "cache": {"errors"}, "web": {"cache"}}) == {
        "errors": 1,
        "cache": 2,
        "web": 3,
    }
