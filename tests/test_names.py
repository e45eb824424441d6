"""Names: one word, one thing; a value is named by a noun that tells its type or its part, not by a participle."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("korean_llm_assets", "trainers")
PARTICIPLES = {"asked", "found", "said", "told"}
KEYS_ON_DISK = {("trainers/contract/manifest.py", "asked")}
"""GpuSeconds: what manifests are written with stays as it is."""
ROOMS_FOR_ANYTHING = {"common", "helpers", "misc", "utils"}


def trees(*folders: str, root: Path = ROOT) -> Iterator[tuple[str, ast.Module]]:
    """(path below the root, syntax tree) of every Python file below these folders."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def values(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of every value that a file names: variables, loop variables, parameters, attributes, functions."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.FunctionDef(name=name):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield node.lineno, name


def participles(*folders: str, root: Path = ROOT) -> list[str]:
    """Values that are named by a participle, each as path:line name."""
    return [
        f"{path}:{line} {name}"
        for path, tree in trees(*folders, root=root)
        for line, name in values(tree)
        if name.lstrip("_") in PARTICIPLES and (path, name) not in KEYS_ON_DISK
    ]


def shared_class_names(package: str, root: Path = ROOT) -> dict[str, list[str]]:
    """Class name -> its files, for names that more than one class of a package has."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees(package, root=root):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path)
    return {name: paths for name, paths in places.items() if len(paths) > 1}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_classes_of_a_package_share_a_name(package: str) -> None:
    assert shared_class_names(package) == {}


def test_values_are_named_by_nouns() -> None:
    assert participles(*PACKAGES, "tests") == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_a_room_for_anything(package: str) -> None:
    names = {part for path, _ in trees(package) for part in Path(path).with_suffix("").parts}
    assert not names & ROOMS_FOR_ANYTHING


def test_a_participle_and_a_shared_name_are_seen(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    (room / "one.py").write_text("class Row: ...\nfor told in (): pass\ndef f(asked): self.found = 1\n")
    (room / "other.py").write_text("class Row: ...\ndef said(): return [_found for _found in found]\nmessage = told\n")
    (room / "third.py").write_text("try: ...\nexcept Exception as said: ...\nmatch 1:\n    case told: ...\n")
    assert participles("room", root=tmp_path) == [
        "room/one.py:2 told",
        "room/one.py:3 asked",
        "room/one.py:3 found",
        "room/other.py:2 said",
        "room/other.py:2 _found",
        "room/third.py:2 said",
        "room/third.py:4 told",
    ]
    assert shared_class_names("room", tmp_path) == {"Row": ["room/one.py", "room/other.py"]}
