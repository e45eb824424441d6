"""What every recipe section has in common: no unknown keys, the needs of its stage, and the plugins it may name."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

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


class Strict(BaseModel):
    """A part of a recipe: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Section(Strict):
    """The settings of one stage."""

    needs: Needs = Needs()

    @property
    def plugins(self) -> dict[str, str]:
        """Each plugin that the section names -> the key that names it."""
        return dict(_plugins(self, ""))

    @property
    def plugin_digests(self) -> dict[str, str]:
        """What a request says of them: plugin -> digest of the code that lies here (BadRequest where there is none)."""
        return plugin_digests(self.plugins)


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
