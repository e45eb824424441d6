"""Every environment variable of ours, KOREAN_LLM_*: one typed table of names, types, defaults and meanings.

`settings.HOME.get()` reads one when it is called; `settings.HOME.name` spells one for a child process or a pod. The
reference (trainers/SETTINGS.md) is made from this table; whoever needs a variable adds it here, and nowhere else.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from trainers.contract.variable import (
    FLAG,
    FOLDER,
    HOST_AND_PORT,
    LIST,
    PATH,
    PATHS,
    PREFIX,
    SECONDS,
    TEXT,
    URL,
    URLS,
    Group,
    Kind,
    Variable,
    number,
    one_of,
)

_LIKENESS = 0.85
"""Of a name without our prefix to one of ours, from which it is taken for a slip (KOREAN_LM_HOME: 0.97)."""
_OF_SERVICE = r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
"""How the names end that Kubernetes sets in every pod for a Service, after the Service's own name."""

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
DROP_DAYS: Variable[int | None] = Variable(
    "DROP_DAYS",
    Group.STATE,
    Kind("a number of days", number(1)),
    None,
    "a drop is expected this often: what is made of releases has a freshness policy, and shows as late after that",
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
MODELS: Variable[tuple[str, ...] | None] = Variable(
    "MODELS",
    Group.STATE,
    LIST,
    None,
    "the models that there are, by their recipes' names; the other recipes, packaged ones too, are as if absent",
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
    one_of("local", "cluster"),
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
    Kind("a number of cores, 1 or more", number(1)),
    None,
    "this machine's cores that stages share where there is no GPU; else all of them",
)
APPROVERS: Variable[tuple[str, ...] | None] = Variable(
    "APPROVERS", Group.PLACE, LIST, None, "who may answer for an approval or a rollback, by name; else everybody"
)
SERVING: Variable[Path | None] = Variable(
    "SERVING", Group.PLACE, PATH, None, "a YAML file of serving settings: promotion rolls out on vLLM; else only names"
)

DAGSTER_URL: Variable[str | None] = Variable(
    "DAGSTER_URL",
    Group.PAGES,
    URL,
    None,
    "Dagster's page: alerts link to it, `remake` starts backfills there where no `make ui` runs here; `ui` sets it",
)
DAGSTER_SERVER: Variable[str | None] = Variable(
    "DAGSTER_SERVER",
    Group.PAGES,
    URL,
    None,
    "Dagster's server as commands reach it, where its page is behind a login",
)
VIEWERS_URL: Variable[str | None] = Variable(
    "VIEWERS_URL",
    Group.PAGES,
    URL,
    None,
    "Dagster's page for who may only look, where there is one; its server answers to this name",
)
MLFLOW_URL = Variable(
    "MLFLOW_URL",
    Group.PAGES,
    URL,
    "http://127.0.0.1:5000",
    "MLflow's page, for links in the UI; `ui` sets it",
)
CODE_URL: Variable[str | None] = Variable(
    "CODE_URL",
    Group.PAGES,
    URL,
    None,
    "page of a line of this repository, with `{commit}`, `{path}` and `{line}` in it "
    "(`https://git.example.com/team/korean-llm/blob/{commit}/{path}#L{line}`): assets link to their code",
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
ROLLOUT_SERVER: Variable[str | None] = Variable(
    "ROLLOUT_SERVER",
    Group.PAGES,
    URL,
    None,
    "the `trl vllm-serve` that answers for GRPO and RLOO, where a recipe says `sampling.vllm: server`",
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
    Kind("the number of a process", number(1)),
    None,
    "a stage saves and stops when this process, its launcher, is gone",
    readers="trainers",
)
IMAGE: Variable[str | None] = Variable(
    "IMAGE", Group.CHILDREN, TEXT, None, "the image that a pod runs, for the manifest", readers="trainers"
)
COMMIT: Variable[str | None] = Variable(
    "COMMIT",
    Group.CHILDREN,
    TEXT,
    None,
    "commit of the code where it is no git checkout: an image's, by its build (`GIT_SHA`)",
    readers="both",
)
METRICS_PORT: Variable[int | None] = Variable(
    "METRICS_PORT",
    Group.CHILDREN,
    Kind("a port (0: a free one)", number(0)),
    None,
    "where a stage serves its figures to Prometheus",
    readers="trainers",
)

TESTDATA: Variable[Path | None] = Variable(
    "TESTDATA", Group.TESTS, PATH, None, "the real Korean files; else `../shared/data`", readers="tests"
)
TEST_MODELS: Variable[Path | None] = Variable(
    "TEST_MODELS", Group.TESTS, PATH, None, "cache of real models; else `~/.cache/korean-llm/models`", readers="tests"
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
BASE_IMAGE: Variable[str | None] = Variable(
    "BASE_IMAGE", Group.TESTS, TEXT, None, "base of the images that buildah builds in `make prove`", readers="tests"
)
PICTURES = Variable(
    "PICTURES",
    Group.TESTS,
    FLAG,
    False,
    "`make prove PART=seeing` writes its pictures into the documents",
    readers="tests",
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
TEST_FACTS: Variable[Path | None] = Variable(
    "TEST_FACTS",
    Group.TESTS,
    PATH,
    None,
    "facts of an installation that the real cluster can hold, as for dagster_deploy/install",
    readers="tests",
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

    What Kubernetes sets for a Service that is called like us (`..._SERVICE_HOST`, `..._PORT_80_TCP`) is not ours;
    every other name that begins like that Service's is looked at.
    """
    suffixes = {one.suffix: name for name, one in TABLE.items()}
    services = [name.removesuffix("_SERVICE_HOST") for name in environment if name.endswith("_SERVICE_HOST")]
    injected = re.compile(f"({'|'.join(map(re.escape, services))}){_OF_SERVICE}")
    sentences = []
    for name in sorted(environment.keys() - TABLE.keys()):
        if injected.fullmatch(name):
            continue
        if name.startswith(PREFIX):
            near = [suffixes[one] for one in get_close_matches(name.removeprefix(PREFIX), suffixes, n=1)]
            advice = f"did you mean {near[0]}?" if near else "trainers/SETTINGS.md names those there are"
            sentences.append(f"nothing reads the variable {name}; {advice}")
        elif near := get_close_matches(name.upper(), TABLE, n=1, cutoff=_LIKENESS):
            sentences.append(f"nothing reads the variable {name}; did you mean {near[0]}?")
    return sentences
