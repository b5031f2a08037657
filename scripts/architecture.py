"""Which room of serve_app imports which, lowest floor first, and how many rooms, arrows and floors there are.

A room is a folder of serve_app, or a file directly in it. A room's floor is one above the highest that it imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "serve_app"


def imported(file: Path) -> Iterator[str]:
    """The rooms that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [each.name for each in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        yield from (name.split(".")[1] for name in names if name.startswith(f"{PACKAGE.name}."))


def arrows(package: Path = PACKAGE) -> dict[str, set[str]]:
    """Each room with the other rooms that it imports."""
    rooms: dict[str, set[str]] = {}
    for file in sorted(package.rglob("*.py")):
        room = file.relative_to(package).parts[0].removesuffix(".py")
        if room != "__init__":
            rooms.setdefault(room, set()).update(set(imported(file)) - {room})
    return rooms


def floors(rooms: dict[str, set[str]]) -> dict[str, int]:
    """The floor of each room, from 1.

    Raises:
        graphlib.CycleError: rooms import each other in a ring.
    """
    found: dict[str, int] = {}
    for room in TopologicalSorter(rooms).static_order():
        found[room] = 1 + max((found[below] for below in rooms[room]), default=0)
    return found


if __name__ == "__main__":
    ROOMS = arrows()
    FLOORS = floors(ROOMS)
    for name in sorted(ROOMS, key=lambda each: (FLOORS[each], each)):
        print(f"{FLOORS[name]}  {name:<14} {' '.join(sorted(ROOMS[name]))}")
    print(f"{len(ROOMS)} rooms, {sum(map(len, ROOMS.values()))} arrows, {max(FLOORS.values())} floors")
