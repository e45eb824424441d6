"""Documents are true: what they link to, name and show is there; both READMEs keep step; CHANGELOG has the version."""

import ast
import re
import shlex
import tomllib
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from fnmatch import filter as matching
from functools import cache
from io import StringIO
from pathlib import Path
from textwrap import dedent
from tokenize import COMMENT
from tokenize import generate_tokens as tokenize
from typing import Any

import pytest

import korean_llm_assets.__main__ as platform
import trainers.__main__ as trainer
from korean_llm_assets.triggers.jobs import SCHEDULES
from korean_llm_assets.triggers.sensors import SENSORS
from trainers.contract import STAGES, ExitCode, settings

ROOT = Path(__file__).parents[1]
PACKAGES = ("korean_llm_assets", "trainers", "tests", "dagster_deploy")
FOLDERS = (*PACKAGES, "helm-values")
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
    if path.name == "README.md" or path.relative_to(ROOT).parts[0] != "tests"  # what tests hold beside it are data
)
SOURCES = sorted(
    path
    for folder in ("korean_llm_assets", "trainers", "dagster_deploy", "helm-values")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".yaml", ".jinja", ".toml", ".sh", ".Dockerfile"}
)
ELSEWHERE = {
    *("cpt_train.py", "monitor.py", "pipeline_manager.py"),  # the guide's
    *("convert_hf_to_gguf.py", "langid.py"),  # of other projects
    *("report.md", "model_card.md", "chat_template.jinja", "costs.md"),  # written by stages and commands
}
"""Files that are spoken of and are not of this project."""
NO_PATHS = {
    *("landing/<release>/{corpus,instructions,preferences,benchmarks}/", "instructions/", "preferences/"),  # a drop's
    *(".venv/", "var/", "var/demo.json", "artifacts/", "dagster/", "mlflow/", "takedown.txt"),  # of a machine's state
    *(
        "korean-llm/gpus",
        "korean-llm/image",
        "korean-llm/priority_class",
        "korean-llm/queue",
        "korean_llm/now",
    ),  # labels and tags
    *("<suite>/forbidden", "<suite>/json", "<suite>/level"),  # figures of a report
}
"""Spans that look like a path and are none of the repository; addresses and absolute paths do not look like one."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(
    r"(?<![\w/.<>{}$*-])(?:[\w.-]+(?:/[\w.*-]+)*\.(?:py|md|jinja|Dockerfile)|[\w.-]+(?:/[\w.*-]+)+\.sh)\b(?!/)"
)
SPAN = re.compile(r"[\w.<{*-][\w.<>{},*/-]*")
MODULE = re.compile(rf"(?<![\w/.-])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+")
TARGET = re.compile(r"(?:^|[\s`])make ([a-z][a-z-]*)")
PYTHON = re.compile(r"python -m (trainers|korean_llm_assets) ([a-z][\w-]*)")
MAINS: dict[str, Callable[[list[str]], int]] = {"trainers": trainer.main, "korean_llm_assets": platform.main}


def each(paths: list[Path]) -> pytest.MarkDecorator:
    """One case for each file."""
    return pytest.mark.parametrize("file", paths, ids=lambda path: path.relative_to(ROOT).as_posix())


def slug(heading: str) -> str:
    """What a heading is called in a link."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def prose(page: str) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page)


def code_of(page: str) -> Iterator[str]:
    """Blocks of code, and what stands in backticks; not diffs, which are held against their file."""
    yield from (text for kind, text in FENCE.findall(page) if kind != "diff")
    yield from re.findall(r"^ {4}\S.*$", prose(page), re.M)
    yield from CODE.findall(prose(page))


def commands(page: str) -> Iterator[str]:
    """The lines of a page's blocks of commands, without their comments."""
    for kind, text in FENCE.findall(page):
        if kind == "sh":
            lines = (line.split(" #")[0].strip() for line in text.splitlines())
            yield from (line for line in lines if line)


@cache
def names() -> frozenset[str]:
    """Every file of the project by its name alone."""
    return frozenset(path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")) | {
        path.name for path in ROOT.iterdir()
    }


def is_there(named: str, file: Path) -> bool:
    """True for a path from the file's folder, from one above it, or from a package; a bare name may be anywhere."""
    above = [parent for parent in file.parents if parent.is_relative_to(ROOT)]
    places = [*above, *(ROOT / package for package in PACKAGES)]
    return named in ELSEWHERE or bool(matching(names(), named)) or any(any(place.glob(named)) for place in places)


def dead_spans(page: str, file: Path) -> list[str]:
    """What stands in backticks, looks like a path (a slash, or a suffix that files here have), and is not there."""
    suffixes = {suffix for name in names() if (suffix := Path(name).suffix)[1:].isalpha()}
    spans = {span for span in CODE.findall(prose(page)) if SPAN.fullmatch(span)} - NO_PATHS
    paths = sorted(span for span in spans if "/" in span or Path(span).suffix in suffixes)
    return [path for path in paths if not is_there(re.sub(r"<\w+>", "*", path).rstrip("/"), file)]


def words_of(file: Path) -> str:
    """What a source says to its reader: of Python the comments and docstrings, of other files everything."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        return text
    comments = (token.string for token in tokenize(StringIO(text).readline) if token.type == COMMENT)
    strings = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr))
    docstrings = (node.value for node in strings if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return "\n".join((*comments, *docstrings))


def is_module(dotted: str) -> bool:
    """True for a module, or for a name that stands in one."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:length])
        for source in (place.with_suffix(".py"), place / "__init__.py"):
            if source.is_file():
                text = source.read_text(encoding="utf-8")
                return all(re.search(rf"\b{part}\b", text) for part in parts[length:])
    return False


@each(PAGES)
def test_links_lead_somewhere(file: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(file.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = file.parent / path if path else file
        assert target.exists(), f"{link}: there is no such file"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", prose(target.read_text(encoding="utf-8")), re.M)
            assert anchor in map(slug, headings), f"{link}: there is no such heading"


@each(PAGES)
def test_pages_name_what_there_is(file: Path) -> None:
    page = file.read_text(encoding="utf-8")
    code = "\n".join(code_of(page))
    assert [path for path in sorted(set(PATH.findall(code))) if not is_there(path, file)] == []
    assert dead_spans(page, file) == []
    assert [module for module in sorted(set(MODULE.findall(code))) if not is_module(module)] == []
    variables = {name.rstrip("_") for name in re.findall(r"KOREAN_LLM_[A-Z_]+", page)}
    assert variables <= settings.TABLE.keys()
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(TARGET.findall(code)) <= targets


@each(SOURCES)
def test_sources_name_what_there_is(file: Path) -> None:
    text = words_of(file)
    shown = {path for path in PATH.findall(file.read_text(encoding="utf-8")) if "/" in path}  # in messages, too
    assert [path for path in sorted({*PATH.findall(text), *shown}) if not is_there(path, file)] == []
    assert [module for module in sorted(set(MODULE.findall(text))) if not is_module(module)] == []


def test_what_is_not_there_is_seen() -> None:
    page = ROOT / "trainers/README.md"
    assert is_there("contract/recipe/filters.py", page) and is_there("tests/test_rooms.py", page)
    assert not is_there("recipe/filters.py", page) and not is_there("WALLS.md", page)
    there = ("recipes/tiny.yaml", "recipes/<model>.yaml", "<model>.yaml", "requirements.lock", ".ci/run", "contract/")
    dead = (".ci/nope", "monitoring/gone.yaml", "recipes/nope.yaml", "requirments.lock", "runner/gone.css", "nowhere/")
    spans = "".join(f"`{span}`, " for span in (*there, *dead, "https://a/b.py", "var/", "trl.experimental"))
    assert dead_spans(spans, page) == sorted(dead)
    assert is_module("trainers.contract.ExitCode") and is_module("tests.bench.corpus")
    assert not is_module("trainers.loop") and not is_module("trainers.contract.ExitCodes")
    assert PATH.findall("see `text/loop.py`, KUBERNETES.md and <asset>/report.md") == ["text/loop.py", "KUBERNETES.md"]
    assert slug("Stages, `run`: where?") == "stages-run-where"


class Understood(Exception):
    """The command line was read to its end."""


def understand(program: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> bool:
    """True where the program takes these arguments; nothing is run."""
    parse = ArgumentParser.parse_args

    def parse_and_stop(self: ArgumentParser, *given: Any) -> None:
        parse(self, *given)
        raise Understood

    with monkeypatch.context() as patch:
        patch.setattr(ArgumentParser, "parse_args", parse_and_stop)
        try:
            MAINS[program](arguments)
        except Understood:
            return True
        except SystemExit as ended:
            return ended.code == 0  # its help was shown
    return False


@each(PAGES)
def test_shown_commands_are_understood(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = file.read_text(encoding="utf-8")
    for program, command in PYTHON.findall("\n".join(code_of(page))):
        assert understand(program, [command, "--help"], monkeypatch), command
    for line in commands(page):
        begin = re.match(r"python -m (trainers|korean_llm_assets) (?=[a-z])", line)
        if begin:
            shown = re.sub(r"[\[\]]|\.\.\.|(?<=[a-z])\|[a-z|-]+", "", line[begin.end() :])
            assert understand(begin[1], shlex.split(shown), monkeypatch), line


def test_what_is_not_understood_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert understand("trainers", ["plan", "--recipe", "tiny"], monkeypatch)
    assert not understand("trainers", ["plan", "--receipt", "tiny"], monkeypatch)
    assert not understand("korean_llm_assets", ["restart"], monkeypatch)


def test_shown_diffs_fit_their_file() -> None:
    """Each is of one place: what it keeps stands there, what it brings is Python and imports what there is."""
    page = (ROOT / "trainers/README.md").read_text(encoding="utf-8")
    diffs = [text.splitlines() for kind, text in FENCE.findall(page) if kind == "diff"]
    assert len(diffs) == 3, "a corpus filter, an RLHF algorithm, a benchmark suite"
    for old, new, *body in diffs:
        assert sum(line.startswith(("---", "+++")) for line in body) == 0, "one file each"
        added = ast.parse(dedent("\n".join(line[1:] for line in body if line.startswith("+"))))
        imported = [node for node in ast.walk(added) if isinstance(node, ast.ImportFrom)]
        ours = [f"{node.module}.{alias.name}" for node in imported for alias in node.names]
        assert all(is_module(name) for name in ours if name.startswith("trainers."))
        if old != "--- /dev/null":
            text = (ROOT / new.removeprefix("+++ b/")).read_text(encoding="utf-8")
            assert all(line[1:] in text for line in body if line.startswith(" "))


def test_the_readmes_keep_step() -> None:
    english, korean = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))
    for page in (english, korean):
        assert len(page.splitlines()) <= 120, "a page; the rest has a place of its own"
    assert re.findall(r"^#+ ", prose(english), re.M) == re.findall(r"^#+ ", prose(korean), re.M)
    assert [kind for kind, _ in FENCE.findall(english)] == [kind for kind, _ in FENCE.findall(korean)]
    assert list(commands(english)) == list(commands(korean))

    def links(page: str) -> set[str]:
        return set(re.findall(r"\]\(([^)\s]+)\)", page)) - {"README.md", "README.ko.md"}

    assert links(english) == links(korean)


def rows(page: str, head: str) -> list[list[str]]:
    """The cells of a page's table, by the head of its first columns."""
    table = (ROOT / page).read_text(encoding="utf-8").split(f"\n| {head} |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def test_tables_tell_all_that_there_is() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    markers = [marker.split(":")[0] for marker in pyproject["tool"]["pytest"]["ini_options"]["markers"]]
    assert [row[0].strip("`") for row in rows("tests/README.md", "marker | meaning")] == markers
    stages = [name for row in rows("trainers/README.md", "stage | makes") for name in CODE.findall(row[0])]
    assert sorted(stages) == sorted(STAGES)
    assets = [name for row in rows("korean_llm_assets/README.md", "asset | partition") for name in CODE.findall(row[0])]
    assert sorted(assets) == sorted(stage.asset for stage in STAGES.values())
    exits = {int(code): (meaning, then) for code, meaning, then in rows("trainers/README.md", "exit | meaning")}
    assert exits == {
        code: (code.meaning.split(";")[0], "yes, three in all" if code.is_retried else "no")
        for code in ExitCode
        if code
    }
    rooms = [
        name for row in rows("korean_llm_assets/README.md", "room | what is in it") for name in CODE.findall(row[0])
    ]
    parts = {path.relative_to(ROOT / "korean_llm_assets").parts for path in (ROOT / "korean_llm_assets").rglob("*.py")}
    tree = {first if not rest else f"{first}/" for first, *rest in parts} - {"__init__.py"}
    assert sorted(rooms) == sorted(tree)
    started = [row[0].strip("`") for row in rows("korean_llm_assets/README.md", "name | kind")]
    ticks = [*(sensor.name for sensor in SENSORS), *(schedule.name for schedule in SCHEDULES)]
    assert sorted(started) == sorted([*ticks, "orphan_sweep"]), "the last one is a cluster's"


def test_every_command_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown = "\n".join(page.read_text(encoding="utf-8") for page in [*PAGES, ROOT / "Makefile"])
    assert understand("korean_llm_assets", ["--help"], monkeypatch)
    commands_ = re.search(r"\{([\w,-]+)\}", capsys.readouterr().out)
    assert commands_ and set(commands_[1].split(",")) <= {command for _, command in PYTHON.findall(shown)}


def test_each_question_has_one_answer() -> None:
    answers = [answer for _, answer, _ in rows("CONTRIBUTING.md", "I want to change | file")]
    assert len(answers) == 24
    assert all(re.fullmatch(r"`[^`]+`", answer) and (ROOT / answer.strip("`")).is_file() for answer in answers)


def test_the_first_files_are_there() -> None:
    files = [row[0].strip("`") for row in rows("CONTRIBUTING.md", "file | why")]
    assert len(files) == 7 and all((ROOT / file).is_file() for file in files)


def test_private_names_are_leaned_on_where_it_says() -> None:
    for name, _, file, _ in rows("CONTRIBUTING.md", "name | of"):
        assert name.strip("`") in (ROOT / file.strip("`")).read_text(encoding="utf-8"), name


def test_the_newest_release_is_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    releases = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert releases[:2] == ["Unreleased", version]
