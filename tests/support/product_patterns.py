"""Every regular expression of the product: where it stands, and how it is applied."""

import ast
import dataclasses
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("trainers", "korean_llm_assets")
_METHODS = {name: name for name in ("match", "fullmatch", "search", "finditer")}
_METHODS |= dict.fromkeys(("findall", "sub", "subn", "split"), "finditer")
"""Methods of a pattern, and which of regex_steps.METHODS does the same work."""
_OWN = ("builtins", *_PACKAGES)
_MAKERS = {"recogniser", "words"}
"""Functions of the product that give patterns made of their arguments."""


@dataclass(frozen=True)
class Use:
    """A pattern and a method that it is applied by; `place`: its file, and its name there or itself."""

    place: str
    pattern: re.Pattern[Any]
    method: str

    def __str__(self) -> str:
        return f"{self.place} ({self.method})"


def product_patterns() -> tuple[list[Use], set[str]]:
    """The uses; and the functions, as `file: name`, that call `re` with a pattern known only when they run."""
    trees = {
        path.relative_to(_ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for package in _PACKAGES
        for path in sorted((_ROOT / package).rglob("*.py"))
    }
    methods = _methods_of_names(trees)
    uses, unknown, passed = [], set[str](), set[int]()
    for file, tree in trees.items():
        if not any(isinstance(node, ast.Name) and node.id in {"re", *_MAKERS} for node in ast.walk(tree)):
            continue
        module = importlib.import_module(_module(file))
        for path, pattern in _patterns(module, vars(module), passed):
            for method in methods.get((module.__name__, path), {"finditer"}):
                uses.append(Use(f"{file}: {path}", pattern, method))
        for function in _functions(tree):
            for call in _calls(function):
                try:
                    source = eval(compile(ast.Expression(call.args[0]), file, "eval"), vars(module))
                    flags = eval(compile(ast.Expression(_flags(call)), file, "eval"), vars(module))
                except NameError:
                    unknown.add(f"{file}: {getattr(function, 'name', 'lambda')}")
                    continue
                assert isinstance(call.func, ast.Attribute)
                uses.append(
                    Use(f"{file}: {source!r}", re.compile(source, flags), _METHODS.get(call.func.attr, "finditer"))
                )
    return uses, unknown


def _module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _patterns(
    module: ModuleType, values: Any, passed: set[int], path: str = ""
) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Patterns that a module's names lead to through containers, data classes and its own classes."""
    for name, value in values.items():
        here = f"{path}.{name}" if path else str(name)
        if id(value) in passed:
            continue
        passed.add(id(value))
        if isinstance(value, re.Pattern):
            yield here, value
        elif isinstance(value, dict):
            yield from _patterns(module, dict(value), passed, here)
        elif isinstance(value, list | tuple | set | frozenset) and type(value).__module__.startswith(_OWN):
            yield from _patterns(module, dict(enumerate(value)), passed, here)
        elif isinstance(value, type):
            if value.__module__ == module.__name__:
                yield from _patterns(module, dict(vars(value)), passed, here)
        elif dataclasses.is_dataclass(value):
            fields = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
            yield from _patterns(module, fields, passed, here)


def _methods_of_names(trees: dict[str, ast.Module]) -> dict[tuple[str, str], set[str]]:
    """(module, name) -> the methods that are called on it; names that are also used otherwise are left out."""
    methods: dict[tuple[str, str], set[str]] = {}
    otherwise: set[tuple[str, str]] = set()
    for file, tree in trees.items():
        origin = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        called = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _METHODS:
                called[id(node.value)] = _METHODS[node.attr]
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                name = origin.get(node.id, (_module(file), node.id))
                if id(node) in called:
                    methods.setdefault(name, set()).add(called[id(node)])
                else:
                    otherwise.add(name)
    return {name: of for name, of in methods.items() if name not in otherwise}


def _functions(tree: ast.Module) -> Iterator[ast.AST]:
    """The outermost functions and lambdas: what does not run when the module is imported."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
        else:
            waiting += ast.iter_child_nodes(node)


def _calls(function: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and (node.func.attr in _METHODS or node.func.attr == "compile")
        ):
            yield node


def _flags(call: ast.Call) -> ast.expr:
    assert isinstance(call.func, ast.Attribute)
    place = {"compile": 1, "sub": 4, "subn": 4, "split": 3}.get(call.func.attr, 2)
    given = [*call.args[place : place + 1], *(word.value for word in call.keywords if word.arg == "flags")]
    return given[0] if given else ast.parse("0", mode="eval").body
