"""Every environment variable of ours, KOREAN_LLM_*: one typed table of names, types, defaults and meanings.

`settings.HOME.get()` reads one when it is called; `settings.HOME.name` spells one for a child process or a pod. The
reference (trainers/SETTINGS.md) is made from this table; whoever needs a variable adds it here, and nowhere else.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from trainers.contract.exits import BadRequest

PREFIX = "KOREAN_LLM_"
_T_co = TypeVar("_T_co", covariant=True)
_LIKENESS = 0.85
"""Of a name without our prefix to one of ours, from which it is taken for a slip (KOREAN_LM_HOME: 0.97)."""


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
            given = "has a value that cannot be used (it is secret)" if self.secret else f"is {text!r}"
            # the cause would show a secret in a traceback, and says nothing more
            raise BadRequest(f"{self.name} {given}; it must be {self.kind.allowed}. Correct it or unset it") from None


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


def _number(least: int) -> Callable[[str], int]:
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


def _one_of(*choices: str) -> Kind[str]:
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


HOME = Variable(
    "HOME",
    Group.STATE,
    PATH,
    Path("var"),
    "this machine's state: Dagster's and MLflow's databases, artifacts, landing area, local logs of trackers",
    readers="both",
)
ARTIFACTS: Variable[Path | None] = Variable(
    "ARTIFACTS", Group.STATE, PATH, None, "artifact root on a cluster: the shared volume's; a laptop's lies in the home"
)
LANDING: Variable[Path | None] = Variable(
    "LANDING", Group.STATE, PATH, None, "landing root on a cluster: the shared volume's; a laptop's lies in the home"
)
LANDING_URLS = Variable(
    "LANDING_URLS",
    Group.STATE,
    URLS,
    (),
    "landing areas elsewhere (`s3://bucket/drops`), whose complete releases are copied into the landing root; "
    "credentials come from the file system's own variables, never from the address",
)
QUIET_SECONDS = Variable(
    "QUIET_SECONDS",
    Group.STATE,
    SECONDS,
    600.0,
    "a landed folder without its marker `_READY` is complete when nothing in it has changed for this long",
)
TAKEDOWN: Variable[Path | None] = Variable(
    "TAKEDOWN", Group.STATE, PATH, None, "the take-down list, an id or sha256 a line; else `takedown.txt` in the home"
)
RECIPES: Variable[Path | None] = Variable(
    "RECIPES",
    Group.STATE,
    FOLDER,
    None,
    "your own recipes, beside the packaged ones; one of the same name replaces a packaged one",
    readers="both",
)
PLUGINS: Variable[Path | None] = Variable(
    "PLUGINS",
    Group.STATE,
    FOLDER,
    None,
    "your own functions that recipes name as `module:function`; looked into before the installed packages",
    readers="both",
)

ENV = Variable(
    "ENV",
    Group.PLACE,
    _one_of("local", "cluster"),
    "local",
    "`local`: processes on this machine; `cluster`: Kubernetes Jobs, by the profile",
)
PROFILE: Variable[str | None] = Variable(
    "PROFILE",
    Group.PLACE,
    TEXT,
    None,
    "name of the cluster profile; a cluster needs it, a laptop only reckons costs with its prices (else h100's)",
)
PROFILES: Variable[Path | None] = Variable(
    "PROFILES",
    Group.PLACE,
    FOLDER,
    None,
    "your own cluster profiles, beside the packaged ones; one of the same name replaces a packaged one",
)
TRAINER_IMAGE: Variable[str | None] = Variable(
    "TRAINER_IMAGE", Group.PLACE, TEXT, None, "the trainer image, by digest or fixed tag, instead of the profile's"
)
GPUS: Variable[tuple[str, ...] | None] = Variable(
    "GPUS",
    Group.PLACE,
    LIST,
    None,
    "this machine's GPUs that stages may use (`0,1`); set to nothing: none; "
    "else those of CUDA_VISIBLE_DEVICES, else all that the driver shows",
    empty_counts=True,
)
CORES: Variable[int | None] = Variable(
    "CORES",
    Group.PLACE,
    Kind("a number of cores, 1 or more", _number(1)),
    None,
    "this machine's cores that stages share where there is no GPU; else all of them",
)
SERVING: Variable[Path | None] = Variable(
    "SERVING", Group.PLACE, PATH, None, "a YAML file of serving settings: promotion rolls out on vLLM; else only names"
)

DAGSTER_URL: Variable[str | None] = Variable(
    "DAGSTER_URL",
    Group.PAGES,
    URL,
    None,
    "Dagster's page: alerts link to it, `remake` starts backfills there (else http://127.0.0.1:3000); `ui` sets it",
)
MLFLOW_URL = Variable(
    "MLFLOW_URL",
    Group.PAGES,
    URL,
    "http://127.0.0.1:5000",
    "MLflow's page, for links in the UI; `ui` sets it",
)
PROMETHEUS_URL: Variable[str | None] = Variable(
    "PROMETHEUS_URL",
    Group.PAGES,
    TEXT,
    None,
    "address of the Prometheus that watches the cluster, with user and password where it wants them: how busy the "
    "GPUs were, and the errors of a rollout's canary; serving needs it",
    secret=True,
)
PUSHGATEWAY: Variable[str | None] = Variable(
    "PUSHGATEWAY",
    Group.PAGES,
    TEXT,
    None,
    "address where a stage pushes its last figures: it may be shorter than a scrape interval",
    readers="trainers",
)
JUDGE_KEY: Variable[str | None] = Variable(
    "JUDGE_KEY",
    Group.PAGES,
    TEXT,
    None,
    "key of the LLM judge's endpoint (`evaluate.judge`), where it wants one",
    readers="trainers",
    secret=True,
)

ALERT_URLS = Variable(
    "ALERT_URLS",
    Group.ALERTS,
    URLS,
    (),
    "receivers as apprise names them (`discord://...`, `msteams://...`, `tgram://...`, `mailtos://...`: "
    "https://appriseit.com/services)",
    secret=True,
)
SLACK_WEBHOOK: Variable[str | None] = Variable(
    "SLACK_WEBHOOK", Group.ALERTS, URL, None, "Slack's incoming webhook, or another that takes its form", secret=True
)
SLACK_TOKEN: Variable[str | None] = Variable(
    "SLACK_TOKEN", Group.ALERTS, TEXT, None, "token of a Slack bot; needs the channel too", secret=True
)
SLACK_CHANNEL: Variable[str | None] = Variable("SLACK_CHANNEL", Group.ALERTS, TEXT, None, "where the Slack bot writes")
ALERT_WEBHOOK: Variable[str | None] = Variable(
    "ALERT_WEBHOOK", Group.ALERTS, URL, None, "takes each alert as JSON, by POST", secret=True
)
ALERT_EMAIL: Variable[tuple[str, ...] | None] = Variable(
    "ALERT_EMAIL", Group.ALERTS, LIST, None, "who gets alerts by mail; needs the relay too"
)
SMTP: Variable[tuple[str, int] | None] = Variable("SMTP", Group.ALERTS, HOST_AND_PORT, None, "the mail relay")

PARENT: Variable[int | None] = Variable(
    "PARENT",
    Group.CHILDREN,
    Kind("the number of a process", _number(1)),
    None,
    "a stage saves and stops when this process, its launcher, is gone",
    readers="trainers",
)
IMAGE: Variable[str | None] = Variable(
    "IMAGE", Group.CHILDREN, TEXT, None, "the image that a pod runs, for the manifest", readers="trainers"
)
METRICS_PORT: Variable[int | None] = Variable(
    "METRICS_PORT",
    Group.CHILDREN,
    Kind("a port (0: a free one)", _number(0)),
    None,
    "where a stage serves its figures to Prometheus",
    readers="trainers",
)

TESTDATA: Variable[Path | None] = Variable(
    "TESTDATA", Group.TESTS, PATH, None, "the real Korean files; else `../shared/data`", readers="tests"
)
SCHEMAS: Variable[tuple[Path, ...] | None] = Variable(
    "SCHEMAS",
    Group.TESTS,
    PATHS,
    None,
    "schemas of custom resources and dcgm-exporter's list of counters; else `../shared/schemas`",
    readers="tests",
)
CHARTS: Variable[Path | None] = Variable(
    "CHARTS", Group.TESTS, PATH, None, "a folder of unpacked charts, to hold helm-values/ against", readers="tests"
)
KSS_TESTSET: Variable[Path | None] = Variable(
    "KSS_TESTSET", Group.TESTS, PATH, None, "kss' own test sets (bench/sentence_split/testset)", readers="tests"
)
BENCH_MODEL: Variable[Path | None] = Variable(
    "BENCH_MODEL", Group.TESTS, PATH, None, "a model for `make bench-eval`; else tiny's base model", readers="tests"
)
TEST_IMAGE: Variable[str | None] = Variable(
    "TEST_IMAGE", Group.TESTS, TEXT, None, "image of the pods on a real cluster", readers="tests"
)
TEST_VOLUME: Variable[Path | None] = Variable(
    "TEST_VOLUME", Group.TESTS, PATH, None, "a folder that tests and nodes share", readers="tests"
)
TEST_MOUNTS = Variable(
    "TEST_MOUNTS", Group.TESTS, PATHS, (), "folders of the node to mount into the pods", readers="tests"
)
TEST_PYTHON: Variable[str | None] = Variable(
    "TEST_PYTHON", Group.TESTS, TEXT, None, "the pods' interpreter; else this one", readers="tests"
)
TEST_PYTHONPATH: Variable[str | None] = Variable(
    "TEST_PYTHONPATH", Group.TESTS, TEXT, None, "the pods' PYTHONPATH; else this repository", readers="tests"
)
TEST_FULL_TINY = Variable(
    "TEST_FULL_TINY",
    Group.TESTS,
    FLAG,
    False,
    "trains the packaged tiny on the cluster, gate and all, not a short one",
    readers="tests",
)

TABLE: dict[str, Variable[Any]] = {one.name: one for one in list(globals().values()) if isinstance(one, Variable)}
"""Every variable by its name, in the order above."""


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like one of ours and is none, with the name that was probably meant.

    What Kubernetes sets for a Service that is called like us (`..._SERVICE_HOST`, `..._PORT_80_TCP`) is not ours.
    """
    suffixes = {one.suffix: name for name, one in TABLE.items()}
    services = tuple(name.removesuffix("SERVICE_HOST") for name in environment if name.endswith("_SERVICE_HOST"))
    sentences = []
    for name in sorted(environment.keys() - TABLE.keys()):
        if name.startswith(services):
            continue
        if name.startswith(PREFIX):
            near = [suffixes[one] for one in get_close_matches(name.removeprefix(PREFIX), suffixes, n=1)]
            advice = f"did you mean {near[0]}?" if near else "trainers/SETTINGS.md names those there are"
            sentences.append(f"nothing reads the variable {name}; {advice}")
        elif near := get_close_matches(name.upper(), TABLE, n=1, cutoff=_LIKENESS):
            sentences.append(f"nothing reads the variable {name}; did you mean {near[0]}?")
    return sentences
