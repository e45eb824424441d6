"""The table of variables: each is read as its type, a wrong value is told, and nothing of ours stands outside it."""

import ast
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from trainers.contract import BadRequest, settings
from trainers.contract.settings import TABLE, unknown_variables
from trainers.contract.variable import Group, Variable

PACKAGES = ("korean_llm_assets", "trainers")
_NAME = re.compile(r"KOREAN_LLM_[A-Z_]*[A-Z]")
_MISSPELT = {"KOREAN_LLM_PUSH_GATEWAY", "KOREAN_LLM_QUIET_SECS"}
"""What other tests set in order to see it told."""


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        (settings.HOME, "/a/folder", Path("/a/folder")),
        (settings.QUIET_SECONDS, "0.5", 0.5),
        (settings.LANDING_URLS, "s3://a/b  s3://c", ("s3://a/b", "s3://c")),
        (settings.GPUS, "0, 3", ("0", "3")),
        (settings.GPUS, "", ()),
        (settings.CORES, "8", 8),
        (settings.ENV, "cluster", "cluster"),
        (settings.METRICS_PORT, "0", 0),
        (settings.SMTP, "relay:25", ("relay", 25)),
        (settings.SCHEMAS, "/a:/b", (Path("/a"), Path("/b"))),
        (settings.TEST_FULL_TINY, "0", False),
    ],
)
def test_a_value_is_read_as_its_type_at_the_time_of_the_call(
    variable: Variable[object], text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert variable.get() == variable.default
    monkeypatch.setenv(variable.name, text)
    assert variable.get() == value
    monkeypatch.delenv(variable.name)
    assert variable.get() == variable.default


@pytest.mark.parametrize("variable", [one for one in TABLE.values() if not one.empty_counts], ids=lambda one: one.name)
def test_set_to_nothing_is_unset(variable: Variable[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable.name, "")
    assert variable.get() == variable.default


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        (settings.QUIET_SECONDS, "soon"),
        (settings.QUIET_SECONDS, "nan"),
        (settings.QUIET_SECONDS, "-1"),
        (settings.CORES, "0"),
        (settings.CORES, "two"),
        (settings.ENV, "laptop"),
        (settings.RECIPES, "/no/such/folder"),
        (settings.MLFLOW_URL, "localhost:5000"),
        (settings.SMTP, "relay"),
        (settings.SMTP, "relay:smtp"),
        (settings.TEST_FULL_TINY, "yes"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(
    variable: Variable[object], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable.name, text)
    with pytest.raises(BadRequest) as refusal:
        variable.get()
    assert str(refusal.value).startswith(f"{variable.name} is {text!r}; it must be {variable.kind.allowed}")


def test_a_secret_is_not_shown_where_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_ALERT_WEBHOOK", "canary-7f3a")
    with pytest.raises(BadRequest, match="KOREAN_LLM_ALERT_WEBHOOK has a value .* it must be an http") as refusal:
        settings.ALERT_WEBHOOK.get()
    assert "canary-7f3a" not in "".join(traceback.format_exception(refusal.value))


def test_what_looks_like_ours_and_is_not_is_told_with_the_name_that_was_meant() -> None:
    environment = {
        "KOREAN_LLM_HOME": "/right",
        "KOREAN_LLM_QUIET_SECOND": "5",
        "KOREAN_LM_HOME": "/wrong",
        "korean_llm_env": "cluster",
        "KOREAN_LLM_ZZZ": "1",
        "PATH": "/bin",
        "KOREAN_FONT": "nanum",
        "KOREAN_LLM_TINY_SERVICE_HOST": "10.0.0.1",
        "KOREAN_LLM_TINY_PORT_80_TCP": "tcp://10.0.0.1:80",
    }
    assert unknown_variables(environment) == [
        "nothing reads the variable KOREAN_LLM_QUIET_SECOND; did you mean KOREAN_LLM_QUIET_SECONDS?",
        "nothing reads the variable KOREAN_LLM_ZZZ; trainers/SETTINGS.md names those there are",
        "nothing reads the variable KOREAN_LM_HOME; did you mean KOREAN_LLM_HOME?",
        "nothing reads the variable korean_llm_env; did you mean KOREAN_LLM_ENV?",
    ]


def test_a_service_that_is_called_like_the_project_hides_no_misspelt_variable() -> None:
    injected = {
        f"KOREAN_LLM_{name}": "1"
        for name in (
            *("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP"),
            *("PORT_80_TCP_PROTO", "PORT_80_TCP_PORT", "PORT_80_TCP_ADDR"),
        )
    }
    assert unknown_variables(injected) == []
    assert unknown_variables({**injected, "KOREAN_LLM_QUIET_SECOND": "5", "KOREAN_LLM_PORTAL": "1"}) == [
        "nothing reads the variable KOREAN_LLM_PORTAL; trainers/SETTINGS.md names those there are",
        "nothing reads the variable KOREAN_LLM_QUIET_SECOND; did you mean KOREAN_LLM_QUIET_SECONDS?",
    ]
    (alone,) = unknown_variables({"KOREAN_LLM_SERVICE_PORT": "1"})
    assert "KOREAN_LLM_SERVICE_PORT;" in alone, "no Service of this name has set it"


def test_every_variable_has_its_own_name_and_a_meaning() -> None:
    assert [one.suffix for one in TABLE.values()] == [
        name for name, one in vars(settings).items() if isinstance(one, Variable)
    ]
    assert all(len(one.meaning) > 5 for one in TABLE.values())
    assert all((one.group == Group.TESTS) == (one.readers == "tests") for one in TABLE.values())


def test_every_variable_is_read_by_those_that_it_names() -> None:
    readers: dict[str, set[str]] = {name: set() for name in TABLE}
    for package in (*PACKAGES, "tests"):
        for path in (ROOT / package).rglob("*.py"):
            if path == Path(__file__):
                continue
            worlds = {"assets", "trainers"} if "contract" in path.parts else {package.removeprefix("korean_llm_")}
            text = path.read_text(encoding="utf-8")
            for suffix in re.findall(r"(?<=settings\.)[A-Z_]+\b(?!\.name)|\b[A-Z_]+(?=\.get\(\))", text):
                readers.get(f"KOREAN_LLM_{suffix}", set()).update(worlds)
    named = {"both": {"assets", "trainers"}}
    assert readers == {name: named.get(one.readers, {one.readers}) for name, one in TABLE.items()}


def test_no_code_spells_a_variable_by_itself() -> None:
    spelt = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.value}: use trainers.contract.settings (name, get())"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path != ROOT / "trainers" / "contract" / "variable.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"KOREAN_LLM_[A-Z_]*", node.value)
    ]
    assert spelt == []


def test_every_variable_that_is_named_anywhere_stands_in_the_table() -> None:
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in _texts()
        for name in _NAME.findall(path.read_text(encoding="utf-8"))
        if name not in TABLE.keys() | _MISSPELT
        and not any(one.startswith(f"{name}_") for one in TABLE)  # KOREAN_LLM_TEST_*
    }
    assert unknown == set(), "add it to trainers/contract/settings.py"


def _texts() -> Iterator[Path]:
    """Code, pages and configuration; not this file, which names variables that do not exist."""
    yield from (ROOT / "Makefile", *ROOT.glob("*.md"), ROOT / "pyproject.toml")
    for folder in (*PACKAGES, "tests", "dagster_deploy", "helm-values"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md", ".yaml", ".sh", ".toml", ".Dockerfile") and path != Path(__file__):
                yield path
