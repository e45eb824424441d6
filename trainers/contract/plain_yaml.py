"""YAML as people expect it: `off`, `no`, `1:30` and dates are text, as in YAML 1.2's core schema; PyYAML reads 1.1."""

import re
from typing import Any

import yaml

_NUMBER = "-+.0123456789"
_TAGS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "int": (r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+", _NUMBER),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        _NUMBER,
    ),
    "merge": (r"<<", "<"),
}
"""Tag -> what a plain scalar of it looks like (YAML 1.2.2, 10.3.2), and how it may begin; decided in this order."""


class _PlainLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml's where PyYAML was built with it (six times as fast), without the words of YAML 1.1 that are no text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own attribute


for _tag, (_pattern, _begins) in _TAGS.items():
    _PlainLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), ["" if c == "\0" else c for c in _begins]
    )


def read_yaml(text: str) -> Any:
    """The value of one YAML document.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(text, Loader=_PlainLoader)
