"""What every recipe section has in common: no unknown keys, the needs of its stage, and the plugins it may name."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from trainers.contract.digests import file_sha256, sha256_of
from trainers.contract.exits import BadData
from trainers.contract.needs import Needs
from trainers.contract.plugins import PluginName, plugin_digests

Plugin = Annotated[str, AfterValidator(PluginName)]
"""A function of the user's own, as `module:function` (`trainers/contract/plugins.py`)."""


def one_of(names: Iterable[str]) -> AfterValidator:
    """For a key that takes one of our names, or a plugin."""
    allowed = tuple(names)

    def check(name: str) -> str:
        if name in allowed:
            return name
        if ":" not in name:
            raise ValueError(f"must be one of {', '.join(map(repr, allowed))}, or your own as module:function")
        return PluginName(name)

    return AfterValidator(check)


def content_digest(path: Path, key: str) -> str:
    """Digest of the content that the recipe's key names: a file's, or that of a folder's own files (through links).

    Raises:
        BadData: it is not there.
    """
    if path.is_file():
        return file_sha256(path)
    if not path.is_dir():
        raise BadData(
            f"the recipe's key {key!r} names {path}, which is not there. Dagster's code location and the stage must "
            "both see it under this path: on a cluster, on the shared volume"
        )
    files = {file.name: file for file in sorted(path.iterdir()) if file.is_file() and not file.name.startswith(".")}
    return sha256_of({name: file_sha256(file) for name, file in files.items()})


class Strict(BaseModel):
    """A part of a recipe: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Section(Strict):
    """The settings of one stage."""

    gives_out_tasks: ClassVar[bool] = False
    """Whether its work is tasks that `needs.engine` can spread."""

    needs: Needs = Needs()

    @model_validator(mode="after")
    def _engine_has_an_effect(self) -> Self:
        if self.needs.engine and not self.gives_out_tasks:
            raise ValueError("needs.engine has no effect here: only the corpus has one; leave it out")
        return self

    @property
    def plugins(self) -> dict[str, str]:
        """Each plugin that the section names -> the key that names it."""
        return dict(_plugins(self, ""))

    @property
    def plugin_digests(self) -> dict[str, str]:
        """What a request says of them: plugin -> digest of the code that lies here (BadRequest where there is none)."""
        return plugin_digests(self.plugins)

    @property
    def settled(self) -> dict[str, Any]:
        """Keys that the recipe leaves open -> what a request says of them: what decides a result is never found out
        where it is made, so that one request is one result on every machine."""
        return {}

    @property
    def local_files(self) -> dict[str, Path]:
        """Key -> the file or folder of the user's own that it names; none by default."""
        return {}

    @property
    def local_digests(self) -> dict[str, str]:
        """What a request says of them: key -> content digest.

        Raises:
            BadData: there is no such file.
        """
        return {key: content_digest(path, key) for key, path in self.local_files.items()}


def _plugins(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, PluginName):
        yield str(value), key
    elif isinstance(value, Strict):
        for name in type(value).model_fields:
            yield from _plugins(getattr(value, name), f"{key}.{name}".lstrip("."))
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _plugins(inner, f"{key}.{name}")
    elif isinstance(value, tuple):
        for inner in value:
            yield from _plugins(inner, key)
