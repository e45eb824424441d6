"""The rooms of the house: imports go down only, and nowhere in a circle; the roots hold what DESIGN lets them hold."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS: dict[str, tuple[set[str], ...]] = {
    "trainers": (
        {"contract"},
        {"runner", "sample", "text", "torchrun"},
        {"benchmarks", "conversations", "corpus"},
        {"training"},
        {"evaluation"},
        {"export"},
        {"__main__"},
    ),
    "korean_llm_assets": (
        {"home", "http"},
        {"partitions"},
        {"alerts", "landing"},
        {"compute"},
        {"serving"},
        {"costs"},
        {"assets", "resources"},
        {"triggers"},
        {"definitions"},
        {"commands"},
        {"__main__"},
    ),
}
"""From the ground up. On one floor arrows may go either way, but not in a circle."""


def modules(package: str, root: Path = ROOT) -> dict[str, Path]:
    """Dotted name -> file."""
    files = {path: path.relative_to(root).with_suffix("").parts for path in (root / package).rglob("*.py")}
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in files.items()}


def imports(path: Path) -> Iterator[str]:
    """Everything that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph(package: str, root: Path = ROOT) -> dict[str, set[str]]:
    """Module -> the modules of the same package that it imports."""
    there = modules(package, root)
    return {name: {one for one in imports(path) if one in there and one != name} for name, path in there.items()}


def climbs(package: str, arrows: dict[str, set[str]]) -> list[str]:
    """Arrows from a lower floor to a higher one."""
    floor = {room: number for number, rooms in enumerate(FLOORS[package]) for room in rooms}
    height = {name: floor[name.split(".")[1]] for name in arrows if "." in name}
    return sorted(
        f"{name} -> {other}"
        for name, others in arrows.items()
        for other in others
        if name in height and other in height and height[other] > height[name]
    )


@pytest.mark.parametrize("package", FLOORS)
def test_no_import_climbs_and_none_goes_in_a_circle(package: str) -> None:
    arrows = graph(package)
    rooms = {name.split(".")[1] for name in arrows if "." in name}
    assert rooms == set().union(*FLOORS[package]), "a room that no floor names, or a floor without its room"
    assert climbs(package, arrows) == []
    by_room: dict[str, set[str]] = {room: set() for room in rooms}
    for name, others in arrows.items():
        for other in others:
            if "." in name and "." in other and name.split(".")[1] != other.split(".")[1]:
                by_room[name.split(".")[1]].add(other.split(".")[1])
    tuple(TopologicalSorter(by_room).static_order())  # raises CycleError with the circle
    tuple(TopologicalSorter(arrows).static_order())


def test_the_page_shows_these_floors() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"\(`tests/test_rooms\.py`\):\n\n((?: {4}.+\n)+)", page)
    _, *shown = re.split(r"^ {4}(\w+) ", block, flags=re.MULTILINE)
    floors = [[{room.strip() for room in floor.split(",")} for floor in text.split("<")] for text in shown[1::2]]
    assert dict(zip(shown[::2], floors, strict=True)) == {package: [*rooms] for package, rooms in FLOORS.items()}


def test_a_climb_and_a_circle_are_seen(tmp_path: Path) -> None:
    for room, text in {"text": "def f():\n    from trainers.export import stage", "export": ""}.items():
        (tmp_path / "trainers" / room).mkdir(parents=True)
        (tmp_path / "trainers" / room / "__init__.py").write_text("")
        (tmp_path / "trainers" / room / "stage.py").write_text(text)
    assert climbs("trainers", graph("trainers", tmp_path)) == [
        "trainers.text.stage -> trainers.export",
        "trainers.text.stage -> trainers.export.stage",
    ]


def test_the_roots_hold_what_they_may() -> None:
    assert {path.name for path in (ROOT / "trainers").glob("*.py")} == {"__init__.py", "__main__.py", "torchrun.py"}
    assert len(list((ROOT / "korean_llm_assets").glob("*.py"))) <= 8


def test_tests_lie_in_the_rooms_of_what_they_test() -> None:
    for package in FLOORS:
        rooms = {path.name for path in (ROOT / package).iterdir() if path.is_dir()}
        folders = {path for path in (ROOT / "tests" / package).iterdir() if path.is_dir()}
        assert {path.name for path in folders} - {"__pycache__"} <= rooms
