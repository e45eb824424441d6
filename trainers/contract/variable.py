"""A typed environment variable: what it may hold, how it is read, and how a wrong value is told.

The variables themselves stand in `trainers/contract/settings.py`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, Literal, TypeVar

from trainers.contract.exits import BadRequest

PREFIX = "KOREAN_LLM_"
_T_co = TypeVar("_T_co", covariant=True)


class Group(StrEnum):
    """What variables are about, in the order of the reference."""

    STATE = "Where state and data lie"
    PLACE = "Where stages run"
    PAGES = "Pages and services"
    ALERTS = "Alerts"
    CHILDREN = "Set by the platform for its own processes and pods"
    TESTS = "Tests and measurements"


@dataclass(frozen=True)
class Kind(Generic[_T_co]):
    """A type of value: what is allowed, in words that follow "it must be", and how text becomes it (or ValueError)."""

    allowed: str
    read: Callable[[str], _T_co]


@dataclass(frozen=True)
class Variable(Generic[_T_co]):
    """One environment variable. Set to nothing, it counts as unset, unless `empty_counts`.

    `readers`: which package reads it; "both" where the contract does. A secret's value is never shown.
    """

    suffix: str
    group: Group
    kind: Kind[_T_co]
    default: _T_co
    meaning: str
    readers: Literal["assets", "trainers", "both", "tests"] = "assets"
    secret: bool = False
    empty_counts: bool = False

    @property
    def name(self) -> str:
        """As the environment has it."""
        return PREFIX + self.suffix

    def get(self) -> _T_co:
        """Its value in this process's environment as it is now, else the default.

        Raises:
            BadRequest: the value is not of its type; names the variable, its value (no secret), what is allowed.
        """
        text = os.environ.get(self.name)
        if text is None or not (text or self.empty_counts):
            return self.default
        try:
            return self.kind.read(text)
        except ValueError:
            problem = "has a value that cannot be used (it is secret)" if self.secret else f"is {text!r}"
            # the cause would show a secret in a traceback, and says nothing more
            raise BadRequest(f"{self.name} {problem}; it must be {self.kind.allowed}. Correct it or unset it") from None


def listed(text: str) -> tuple[str, ...]:
    """What stands between commas, without spaces around it."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _between_spaces(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in text.split(os.pathsep) if part)


def _folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise ValueError(text)
    return Path(text)


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError(text)
    return text


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host:
        raise ValueError(text)
    return host, int(port)


def number(least: int) -> Callable[[str], int]:
    """Reads whole numbers from `least` on."""

    def read(text: str) -> int:
        if int(text) < least:
            raise ValueError(text)
        return int(text)

    return read


def _seconds(text: str) -> float:
    if not 0 <= float(text) < float("inf"):
        raise ValueError(text)
    return float(text)


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


def one_of(*choices: str) -> Kind[str]:
    """One of some words."""
    return Kind(f"one of: {', '.join(choices)}", lambda text: choices[choices.index(text)])


TEXT = Kind("text", str)
PATH = Kind("a path", Path)
PATHS = Kind("paths with colons between", _paths)
FOLDER = Kind("a folder that exists", _folder)
URL = Kind("an http(s) address", _url)
LIST = Kind("values with commas between", listed)
URLS = Kind("addresses with spaces between", _between_spaces)
HOST_AND_PORT = Kind("host:port", _host_and_port)
SECONDS = Kind("a number of seconds, 0 or more", _seconds)
FLAG = Kind("0 or 1", _flag)
