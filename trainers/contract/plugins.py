"""Plugins: a user's own functions, `module:function` in a recipe: where they are looked for, their digest, loading.

A plugin is one module file or one package. It is looked for in the folder that KOREAN_LLM_PLUGINS names, then where
this interpreter has its packages, and nowhere else: `sys.path` is not asked, so that no file of the working folder or
of PYTHONPATH becomes code by accident. What lies where data lies is refused: below the landing root, the artifact store
or a folder of `--input`, or around a file of it.
The very files that were found are hashed and loaded. They may import what is installed and their own package, but no
neighbour in the folder, which their digest would not cover.
"""

import importlib
import pkgutil
import site
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from keyword import iskeyword
from pathlib import Path
from types import ModuleType
from typing import Any

from trainers.contract.digests import file_sha256, sha256_of
from trainers.contract.exits import BadRequest
from trainers.contract.settings import PLUGINS

_HOW = (
    f"Install its package (on a cluster into the code location's image and the trainer's), or put it into the folder "
    f"that {PLUGINS.name} names; nothing is taken from the working folder or from PYTHONPATH"
)


class PluginName(str):
    """`module:function`, as a recipe names it.

    Raises:
        ValueError: it is not two importable names.
    """

    __slots__ = ()

    def __new__(cls, name: str) -> "PluginName":
        """Checked."""
        module, _, function = name.partition(":")
        if not all(part.isidentifier() and not iskeyword(part) for part in (*module.split("."), function)):
            raise ValueError(
                "must be module:function, both names as Python imports them (my_package.rules:too_many_ads)"
            )
        return super().__new__(cls, name)


def plugin_digests(named: Mapping[str, str]) -> dict[str, str]:
    """Name -> hex sha256 of the files of its module, or of the whole package that it is in; nothing is imported.

    Args:
        named: plugin -> the recipe's key that names it.

    Raises:
        BadRequest: there is no such module; names the key, and what there is.
    """
    return {
        name: sha256_of({file: file_sha256(path) for file, path in _files(_specs(name, key)[0]).items()})
        for name, key in sorted(named.items())
    }


def check_plugins(named: Mapping[str, str], digests: Mapping[str, str], roots: Iterable[Path]) -> None:
    """Hold the plugins that lie here against those that a request was built with.

    Args:
        named: plugin -> the recipe's key that names it.
        digests: the request's, by plugin.
        roots: where data lies, which no code may come from: the landing root, the artifact store, a command's inputs.
            A single file among them keeps the plugins' folder from being one that it lies in.

    Raises:
        BadRequest: a plugin is missing, is another one, or lies below one of `roots`.
    """
    if not named:
        return
    roots = [root.resolve() for root in roots]
    if (folder := PLUGINS.get()) is not None:
        _check_folder(folder, roots)
    for name, digest in plugin_digests(named).items():
        for path in _files(_specs(name, named[name])[0]).values():
            if any(path.resolve().is_relative_to(root) for root in roots):
                raise BadRequest(f"{named[name]} names {name!r}, but {path} is data: code is never taken from there")
        if digests.get(name) != digest:
            raise BadRequest(
                f"{named[name]} names {name!r}, whose code here ({digest[:12]}) is not that of the request "
                f"({digests.get(name, 'none')[:12]}): give the code location and the trainer the same package or "
                f"{PLUGINS.name} folder, and ask again"
            )


def _check_folder(folder: Path, roots: Iterable[Path]) -> None:
    place = folder.resolve()
    for root in roots:
        if place.is_relative_to(root) or (root.is_file() and root.is_relative_to(place)):
            where = f"below {root}, where data lies" if place.is_relative_to(root) else f"where the data {root} lies"
            raise BadRequest(f"{PLUGINS.name} names {folder}, {where}: code is never taken from there")


def load_plugin(name: str, key: str) -> Callable[..., Any]:
    """The function (or class) of a plugin.

    Raises:
        BadRequest: it is not there, or its module cannot be imported; names the key, the module, and what there is.
    """
    module = ModuleType("")
    for spec in _specs(name, key):
        module = _module(spec, f"{key} names {name!r}")
    function: Callable[..., Any] | None = getattr(module, name.partition(":")[2], None)
    if not callable(function):
        there = sorted(n for n, value in vars(module).items() if callable(value) and not n.startswith("_"))
        raise BadRequest(
            f"{key} names {name!r}, but {module.__file__} has no such function; it has: {', '.join(there)}"
        )
    return function


def _places() -> list[str]:
    """The folders in which plugins are looked for, in order; of `sys.path` only what is the interpreter's own."""
    folder = PLUGINS.get()
    of_user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [*([str(folder.resolve())] if folder else []), *of_user, *site.getsitepackages()]


def _specs(name: str, key: str) -> list[ModuleSpec]:
    """The packages around a plugin's module, outermost first, and the module."""
    importlib.invalidate_caches()
    places: list[str] = _places()
    parts = name.partition(":")[0].split(".")
    specs: list[ModuleSpec] = []
    for number in range(1, len(parts) + 1):
        module = ".".join(parts[:number])
        spec = PathFinder.find_spec(module, places)
        if spec is None or spec.origin is None:
            what = "is no package (it has no __init__.py)" if spec else "is not there"
            mine = pkgutil.iter_modules(places if specs else places[: PLUGINS.get() is not None])
            there = ", ".join(sorted(entry.name for entry in mine)) or "none"
            where = specs[-1].name if specs else f"the folder of {PLUGINS.name}"
            raise BadRequest(f"{key} names {name!r}, but {module} {what}; modules of {where}: {there}. {_HOW}")
        specs.append(spec)
        places = list(spec.submodule_search_locations or ())
    return specs


def _files(spec: ModuleSpec) -> dict[str, Path]:
    """A module's file, or all files of a package, by their place in it; a word list beside the code decides as well."""
    origin = Path(spec.origin or "")
    if spec.submodule_search_locations is None:
        return {origin.name: origin}
    places = {path.relative_to(origin.parent): path for path in sorted(origin.parent.rglob("*")) if path.is_file()}
    kept = {place: path for place, path in places.items() if not any(_is_left_out(part) for part in place.parts)}
    return {place.as_posix(): path for place, path in kept.items()}


def _is_left_out(part: str) -> bool:
    return part.startswith(".") or part == "__pycache__"


def _module(spec: ModuleSpec, who: str) -> ModuleType:
    """The module of exactly this file."""
    try:
        if spec.name not in sys.modules and "." not in spec.name:
            _execute(spec)
        module = importlib.import_module(spec.name)  # a part of a package is looked for in its package only
    except Exception as error:
        raise BadRequest(f"{who}, whose {spec.origin} fails when it is imported: {error!r}; mend it") from error
    if getattr(module, "__file__", None) != spec.origin:
        raise BadRequest(f"{who}, but {spec.name} is another module here ({module}): give the plugin's another name")
    return module


def _execute(spec: ModuleSpec) -> None:
    assert spec.loader is not None, "a spec with an origin"
    module = sys.modules[spec.name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:  # an interrupt too: a module that was only half run must not be found by the next import
        del sys.modules[spec.name]
        raise
