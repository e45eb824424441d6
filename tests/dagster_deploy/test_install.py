"""The installing script: which charts with which values, and what it says is missing. Helm and kubectl are doubles that
answer from files; what they would be given is what the other tests here render with Helm's own library."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import charts
from tests.support.charts import CHARTS, DEPLOY, INSTALL

_DEFAULT = {"storageclass.kubernetes.io/is-default-class": "true"}


def _node(name: str, gpus: int, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "status": {"allocatable": {"nvidia.com/gpu": str(gpus)}}}


_HELM = 'case "$1" in status) exit 1;; esac\ncat > /dev/null\n'
"""One that installs all that it is told, where nothing was."""


def _run(
    tmp_path: Path, cluster: dict[str, Any] | None, facts: dict[str, Any], *flags: str, helm: str = _HELM
) -> tuple[int, str]:
    """`install` with a kubectl that knows these objects ("secret llm-platform NAME": body) and logs ("logs llm-platform
    NAME": text), and a helm that records."""
    (tmp_path / "cluster.json").write_text(json.dumps(cluster))
    (tmp_path / "facts.yaml").write_text(yaml.safe_dump(facts))
    kubectl = f"""#!{sys.executable}
import json, sys
cluster, words = json.load(open({str(tmp_path / "cluster.json")!r})), sys.argv[1:]
if words[-2:] == ["--output", "json"]:
    words = words[:-2]
if words[0] == "--namespace":
    words = [words[-2], words[1], words[-1]]
else:
    words = words[1:]
body = (cluster or {{}}).get(" ".join(words))
sys.exit(1) if body is None else print(json.dumps(body))
"""
    helm = f'#!/bin/sh\necho "helm $*" >> {tmp_path}/helm.log\n{helm}'
    for name, text in (("kubectl", kubectl), ("helm", helm)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    command = [sys.executable, str(DEPLOY / "install"), "--facts", str(tmp_path / "facts.yaml"), *flags]
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def _whole(facts: dict[str, Any]) -> dict[str, Any]:
    nodes = [_node(f"g{n}", 8, **{"korean-llm/pool": "gpu", "gpu-type": "h100"}) for n in range(4)]
    nodes += [_node(f"c{n}", 0, **{"korean-llm/pool": "cpu"}) for n in range(4)]
    secrets = {
        f"secret {namespace} {name}": {"data": dict.fromkeys(keys, "eA==")}
        for namespace, name, keys in INSTALL["wanted_secrets"](facts)
    }
    classes = {"items": [{"metadata": {"name": "standard", "annotations": _DEFAULT}}]}
    return {"nodes": {"items": nodes}, "storageclasses": classes, **secrets}


def test_a_whole_cluster_lacks_nothing(tmp_path: Path):
    facts = charts.facts()
    code, words = _run(tmp_path, _whole(facts), facts, "--check")
    assert code == 0 and words.startswith("nothing is missing"), words


def test_each_thing_that_is_missing_is_said(tmp_path: Path):
    facts = charts.facts(store={"storageClass": "fast-shared"})
    cluster = _whole(facts)
    del cluster["secret llm-training korean-llm-tracking"]
    del cluster["secret llm-platform oauth2-proxy"]["data"]["cookie-secret"]
    cluster["nodes"]["items"][0]["status"]["allocatable"] = {}
    cluster["nodes"]["items"].pop()
    cluster["storageclasses"]["items"][0]["metadata"]["annotations"] = {}
    code, words = _run(tmp_path, cluster, facts, "--check")
    assert code == 1
    assert words.splitlines() == [
        "missing: 4 nodes of 8 h100: labelled are 4, with [0, 8, 8, 8] GPUs (dagster_deploy/label-nodes.sh)",
        "missing: 4 nodes with the label korean-llm/pool=cpu: there are 3",
        "missing: Secret 'korean-llm-tracking' in namespace 'llm-training' (README, \"Secrets\")",
        "missing: key cookie-secret in Secret 'oauth2-proxy' of namespace 'llm-platform'",
        "missing: StorageClass 'fast-shared', which the facts name for the store",
        "missing: a default StorageClass, for the database's and Prometheus' volumes",
    ]


@pytest.mark.parametrize("code", [0, 1])
def test_the_preflight_of_an_installed_platform_is_shown_and_its_verdict_kept(tmp_path: Path, code: int):
    """`helm test --logs` fails on every cluster: it looks for the pod where the release is kept."""
    facts = charts.facts(charts.KIND)
    nodes = {"nodes": {"items": [_node("c0", 0, **{"korean-llm/pool": "cpu"})]}}
    classes = {"storageclasses": _whole(facts)["storageclasses"]}
    deployed = json.dumps({"info": {"status": "deployed"}})
    helm = f"case \"$*\" in *--logs*) exit 9;; status*) echo '{deployed}';; test*) exit {code};; esac\n"
    log = {f"logs llm-platform {INSTALL['PREFLIGHT']}": "MLflow does not answer"}
    exit_code, words = _run(tmp_path, {**nodes, **classes, **log}, facts, "--check", helm=helm)
    assert exit_code == code and "MLflow does not answer" in words
    metadata = charts.find(charts.ours(facts), "Pod", INSTALL["PREFLIGHT"])["metadata"]
    assert metadata["namespace"] == "llm-platform"
    assert metadata["annotations"]["helm.sh/hook"] == "test"
    assert metadata["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"


def test_no_cluster_is_said_first(tmp_path: Path):
    code, words = _run(tmp_path, None, charts.facts(), "--check")
    assert code == 1 and "kubectl reaches no cluster" in words


@pytest.mark.parametrize(
    ("facts", "flags", "releases"),
    [
        (charts.facts(), (), [name for name in CHARTS if name != "login-viewers"]),
        (charts.facts(charts.KIND), (), ["korean-llm", "mlflow", "dagster"]),
        (charts.facts(charts.KIND), ("--skip", "mlflow"), ["korean-llm", "dagster"]),
        (charts.facts(), ("--only", "korean-llm"), ["korean-llm"]),
        (charts.facts(), ("--until", "korean-llm"), list(CHARTS)[: list(CHARTS).index("korean-llm") + 1]),
    ],
)
def test_what_the_facts_want_is_installed_in_order_at_its_version(
    tmp_path: Path, facts: dict[str, Any], flags: tuple[str, ...], releases: list[str]
):
    code, words = _run(tmp_path, {}, facts, *flags)
    assert code == 0, words
    commands = [line.split() for line in (tmp_path / "helm.log").read_text().splitlines()]
    assert [command[3] for command in commands] == releases
    for command in commands:
        entry = CHARTS[command[3]]
        assert command[command.index("--namespace") + 1] == entry["namespace"] and "--wait" in command
        if "version" in entry:
            assert command[command.index("--version") + 1] == str(entry["version"])


@pytest.mark.parametrize(("status", "way"), [("pending-install", "uninstall"), ("pending-upgrade", "rollback")])
def test_an_installation_that_was_stopped_in_its_midst_says_the_way_on(tmp_path: Path, status: str, way: str):
    """Helm says "another operation is in progress" to every further one, for ever."""
    answer = json.dumps({"info": {"status": status}})
    helm = f"case \"$1\" in status) echo '{answer}';; *) cat > /dev/null; exit 1;; esac\n"
    code, words = _run(tmp_path, {}, charts.facts(charts.KIND), helm=helm)
    assert code == 1
    assert f"helm --namespace default {way} korean-llm" in words


def test_every_public_chart_is_pinned_and_has_its_values():
    for name, entry in CHARTS.items():
        if name != "korean-llm":
            assert entry["version"] and entry["repository"]
            assert (charts.ROOT / "helm-values" / f"{entry.get('chart', name)}.yaml").exists()


def test_an_entry_that_names_an_empty_fact_is_left_out():
    facts = {"a": {"b": "", "c": "x", "n": 3}}
    filled = INSTALL["filled"]({"list": [{"name": "${a.b}"}, {"name": "${a.c}-${a.n}"}], "n": "${a.n}"}, facts)
    assert filled == {"list": [{"name": "x-3"}], "n": 3}
