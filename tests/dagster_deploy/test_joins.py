"""Two things that must agree, in different files: names of Secrets, Services and pages, ports, hosts, network flows."""

import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from korean_llm_assets.compute.cluster.job_spec import METRICS_PORT
from korean_llm_assets.compute.cluster.kubeflow import render
from korean_llm_assets.compute.profiles import load_profile
from korean_llm_assets.serving.vllm_manifests import PORT as MODEL_PORT
from korean_llm_assets.serving.vllm_manifests import ServingSettings, version_labels
from tests.conftest import ROOT
from tests.support import charts
from tests.support.charts import CHARTS, INSTALL, Body, find, ours, public
from tests.support.network_policies import Peer, reaches
from trainers.contract import Needs, StageRequest, settings
from trainers.corpus.nodes import PORT as RAY_PORT

_EVERYTHING = charts.facts(
    hosts={"viewers": "look.example.com"},
    serving={"enabled": True},
    training={"egress": [{"cidr": "203.0.113.7/32", "port": 443}, {"namespace": "judges", "port": 8000}]},
)
_NAMES = {name: entry for name, entry in CHARTS.items() if name != "korean-llm"}


def _values(release: str, given: Body = _EVERYTHING) -> Body:
    values: Body = INSTALL["values_of"](CHARTS[release], given)
    return values


def _settings(given: Body = _EVERYTHING) -> dict[str, str]:
    data: dict[str, str] = find(ours(given), "ConfigMap", "korean-llm-settings")["data"]
    return data


def _everywhere(node: Any, key: str) -> list[Any]:
    """Every value of a key, however deep."""
    if isinstance(node, list):
        return [value for each in node for value in _everywhere(each, key)]
    if not isinstance(node, dict):
        return []
    return [
        *([node[key]] if key in node else []),
        *(value for each in node.values() for value in _everywhere(each, key)),
    ]


@pytest.mark.parametrize("bundled", [True, False])
def test_every_secret_that_is_used_is_made_or_asked_for_by_name(bundled: bool):
    given = charts.facts(hosts={"viewers": "look.example.com"}, database={"bundled": bundled, "host": "pg.example.com"})
    objects = ours(given)
    made = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in objects if each["kind"] == "Secret"}
    manual = {(namespace, name) for namespace, name, _ in INSTALL["wanted_secrets"](given)}
    used = {
        (each["metadata"].get("namespace"), reference["name"])
        for each in objects
        for key in ("secretKeyRef", "secretRef")
        for reference in _everywhere(each, key)
    }
    profile = load_profile("h100")
    used |= {("llm-training", name) for name in (*profile.env_secrets, *profile.image_pull_secrets)}
    dagster, mlflow = _values("dagster", given), _values("mlflow", given)
    (code,) = dagster["dagster-user-deployments"]["deployments"]
    names = [dagster["global"]["postgresqlSecretName"], mlflow["backendStore"]["existingDatabaseSecret"]["name"]]
    names += [each["name"] for each in (*code["envSecrets"], *dagster["imagePullSecrets"])]
    names.append(_values("login-dagster", given)["config"]["existingSecret"])
    used |= {("llm-platform", name) for name in names}
    alertmanager = _values("kube-prometheus-stack", given)["alertmanager"]["alertmanagerSpec"]
    used |= {("monitoring", name) for name in alertmanager["secrets"]}
    assert used - made - manual == set(), "used, but made by nobody"
    assert (made | manual) - used == set(), "made or asked for, and used by nobody"


def test_database_and_clients_have_one_secret_one_host_and_both_databases():
    database = find(ours(), "StatefulSet", "korean-llm-database")["spec"]["template"]["spec"]["containers"][0]
    secret = find(ours(), "Secret", "korean-llm-database")["stringData"]
    dagster, mlflow = _values("dagster"), _values("mlflow")
    assert dagster["postgresql"]["enabled"] is False and not dagster["generatePostgresqlPasswordSecret"]
    (password,) = [each["valueFrom"]["secretKeyRef"] for each in database["env"] if each["name"] == "POSTGRES_PASSWORD"]
    theirs = mlflow["backendStore"]["existingDatabaseSecret"]
    assert password["name"] == dagster["global"]["postgresqlSecretName"] == theirs["name"] == "korean-llm-database"
    assert secret["postgresql-password"] == secret[password["key"]] == secret[theirs["passwordKey"]]
    assert len(secret["password"]) == 40, "generated, never the chart's published one"
    env = {each["name"]: each.get("value") for each in database["env"]}
    assert secret[theirs["usernameKey"]] == env["POSTGRES_USER"] == dagster["postgresql"]["postgresqlUsername"]
    assert env["POSTGRES_DB"] == dagster["postgresql"]["postgresqlDatabase"]
    made = find(ours(), "ConfigMap", "korean-llm-database")["data"]["mlflow.sql"]
    assert made == f"CREATE DATABASE {mlflow['backendStore']['postgres']['database']};"
    service = find(ours(), "Service", "korean-llm-database")["metadata"]["name"]
    assert service == dagster["postgresql"]["postgresqlHost"] == mlflow["backendStore"]["postgres"]["host"]
    order = list(CHARTS)
    assert order.index("korean-llm") < order.index("mlflow") < order.index("dagster")


def test_each_driver_of_the_database_is_named():
    """SQLAlchemy 2.1 takes `postgresql` alone for psycopg 3, which neither image has."""
    assert _values("dagster")["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"
    assert _values("mlflow")["backendStore"]["postgres"]["driver"] == "psycopg2"


def test_what_reads_the_facts_as_its_environment_starts_anew_with_another_fact():
    """A pod reads its environment when it starts: an approver, a host, serving switched on were not seen before."""

    def marks(given: Body) -> list[Any]:
        values = _values("dagster", given)
        readers = [values["dagsterWebserver"], *values["dagster-user-deployments"]["deployments"]]
        assert all(reader["envConfigMaps"] == [{"name": "korean-llm-settings"}] for reader in readers)
        assert len(readers) == len(_everywhere(values, "envConfigMaps"))
        return [reader["annotations"]["korean-llm/facts"] for reader in readers]

    before, after = marks(charts.facts()), marks(charts.facts(approvers=["kim"]))
    assert before == marks(charts.facts()) and not set(before) & set(after)


def test_mlflow_answers_to_every_name_by_which_it_is_called():
    from mlflow.server.security_utils import is_allowed_host_header

    allowed = _values("mlflow")["serverAllowedHosts"]
    called = [_settings()["MLFLOW_TRACKING_URI"], load_profile("h100").env["MLFLOW_TRACKING_URI"]]
    upstream = find(ours(_EVERYTHING), "ConfigMap", "login-mlflow")["data"]["oauth2_proxy.cfg"]
    called += re.findall(r'upstreams = \["([^"]+)"\]', upstream)
    hosts = {urlsplit(address).netloc for address in called} | {_EVERYTHING["hosts"]["mlflow"], "localhost:5000"}
    assert {host: is_allowed_host_header(allowed, host) for host in hosts} == dict.fromkeys(hosts, True)
    assert not is_allowed_host_header(allowed, "evil.example.com")
    assert all("${" not in host for host in _values("mlflow", charts.facts(charts.KIND))["serverAllowedHosts"])


def test_mlflow_serves_without_a_supervisor_that_ends_slow_starters():
    """Uvicorn's supervisor of several workers ends one that does not answer within 5 s of a busy node's start."""
    assert _values("mlflow")["extraArgs"]["workers"] == "1", "a string: the chart prints it with %s"


def test_mlflow_starts_no_processes_for_jobs_of_its_own():
    """Seven of 150 MB, on a node where it asked for half a GiB: its first answer took more than 15 s there."""
    assert _values("mlflow")["extraEnvVars"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_mlflow_writes_where_its_user_may():
    values = _values("mlflow")
    assert values["serviceMonitor"]["enabled"] is False, "its metrics are files, on a read-only root"
    destination = values["artifactRoot"]["defaultArtifactsDestination"]
    assert any(destination.startswith(mount["mountPath"]) for mount in values["extraVolumeMounts"])
    assert values["securityContext"]["runAsUser"] == load_profile("h100").security.user


def test_the_code_location_is_given_what_it_reads():
    (code,) = _values("dagster")["dagster-user-deployments"]["deployments"]
    objects = {(each["kind"], each["metadata"]["name"]) for each in ours(_EVERYTHING)}
    for reference in code["envConfigMaps"]:
        assert ("ConfigMap", reference["name"]) in objects
    folders = {mount["name"]: mount["mountPath"] for mount in code["volumeMounts"]}
    given = _settings()
    assert given[settings.PROFILES.name] == folders["profiles"] and given[settings.RECIPES.name] == folders["recipes"]
    assert Path(given[settings.SERVING.name]).parent == Path(folders["serving"])
    profile = load_profile("h100")
    assert (given[settings.ARTIFACTS.name], given[settings.LANDING.name]) == (
        profile.artifacts_path,
        profile.landing_path,
    )
    assert {volume.mount_path for volume in profile.volumes} <= set(folders.values())
    assert given[settings.TAKEDOWN.name].startswith(folders["store"]), "one list, on the store, for commands and runs"
    assert code["includeConfigInLaunchedRuns"] == {"enabled": True}
    for volume in code["volumes"]:
        name = (volume.get("configMap") or {"name": ""})["name"] or volume["persistentVolumeClaim"]["claimName"]
        assert name == "dagster-instance" or any(known == name for _, known in objects), name
    known = {*settings.TABLE, "MLFLOW_TRACKING_URI"}
    assert given.keys() <= known, "a variable that nobody reads"


def test_models_are_served_as_the_facts_say():
    given = charts.facts(serving={"enabled": True, "settings": {"autoscaler": "hpa", "models": {"m": {"gpus": 2}}}})
    text = find(ours(given), "ConfigMap", "korean-llm-serving")["data"]["settings.yaml"]
    settings_of = ServingSettings.model_validate(yaml.safe_load(text))
    assert (settings_of.gateway, settings_of.gateway_namespace, settings_of.host) == (
        given["entrance"]["gateway"]["name"],
        given["entrance"]["gateway"]["namespace"],
        given["hosts"]["models"],
    )
    assert settings_of.autoscaler == "hpa" and settings_of.models["m"].gpus == 2


def test_runs_show_their_logs_in_the_ui():
    values = _values("dagster")
    (code,) = values["dagster-user-deployments"]["deployments"]
    folder = values["computeLogManager"]["config"]["customComputeLogManager"]["config"]["base_dir"]
    for mounts in (code["volumeMounts"], values["dagsterWebserver"]["volumeMounts"]):
        assert any(folder.startswith(mount["mountPath"]) for mount in mounts)


def test_images_are_the_facts_and_one_for_all_of_dagster():
    values = _values("dagster")
    (code,) = values["dagster-user-deployments"]["deployments"]
    images = [code["image"], values["dagsterWebserver"]["image"], values["dagsterDaemon"]["image"]]
    assert (
        images
        == [
            {
                "repository": "registry.example.com/korean-llm/code-location",
                "tag": "abc123",
                "pullPolicy": "IfNotPresent",
            }
        ]
        * 3
    )
    assert values["imagePullSecrets"] == [{"name": "registry-credentials"}]
    assert _values("dagster", charts.facts(charts.KIND))["imagePullSecrets"] == []


def test_a_public_charts_further_values_go_over_ours():
    given = charts.facts(charts={"dagster": {"dagsterWebserver": {"replicaCount": 2}}})
    values = _values("dagster", given)["dagsterWebserver"]
    assert values["replicaCount"] == 2 and values["service"]["port"] == 3000


@pytest.mark.parametrize("page", ["dagster", "viewers", "mlflow"])
def test_a_page_is_reached_through_its_login_only(page: str):
    objects = ours(_EVERYTHING)
    route = find(objects, "HTTPRoute", f"korean-llm-{page}")
    assert route["spec"]["hostnames"] == [_EVERYTHING["hosts"][page]]
    (backend,) = route["spec"]["rules"][0]["backendRefs"]
    assert backend["name"] in CHARTS and CHARTS[backend["name"]]["chart"] == "oauth2-proxy"
    assert backend["port"] == _values(backend["name"])["service"]["portNumber"]
    config = find(objects, "ConfigMap", _values(backend["name"])["config"]["existingConfig"])
    assert (
        f'redirect_url = "https://{_EVERYTHING["hosts"][page]}/oauth2/callback"' in config["data"]["oauth2_proxy.cfg"]
    )
    assert 'cookie_samesite = "strict"' in config["data"]["oauth2_proxy.cfg"]


_IN = "llm-platform"


def _pod_labels(request: StageRequest, needs: Needs) -> dict[str, str]:
    """Of a stage's pods, on the cluster of the default profile."""
    labels: dict[str, str] = render(request, needs, load_profile("h100"), "run")["spec"]["template"]["metadata"][
        "labels"
    ]
    return labels


_TRAINER = Peer(
    "llm-training", _pod_labels(StageRequest(stage="cpt", stage_version=1, model="m", release="r"), Needs())
)
_NODE = Peer("llm-training", _pod_labels(StageRequest(stage="corpus", stage_version=1, release="r"), Needs(nodes=3)))
_WEB, _CODE = (
    Peer(_IN, {"app.kubernetes.io/name": "dagster", "component": "dagster-webserver"}),
    Peer(_IN, {"app.kubernetes.io/name": "dagster-user-deployments", "component": "user-deployments"}),
)
_DAEMON = Peer(_IN, {"app.kubernetes.io/name": "dagster", "component": "dagster-daemon"})
_RUN = Peer(_IN, {"app.kubernetes.io/name": "dagster", "app.kubernetes.io/component": "run_worker"})
_MLFLOW, _LOGIN = Peer(_IN, {"app.kubernetes.io/name": "mlflow"}), Peer(_IN, {"app.kubernetes.io/name": "oauth2-proxy"})
_DATABASE = Peer(_IN, {"app.kubernetes.io/name": "korean-llm-database"})
_PREFLIGHT = Peer(_IN, {"app.kubernetes.io/name": "korean-llm-preflight"})
_MODEL, _PROMETHEUS = (
    Peer("llm-training", version_labels("m", "1")),
    Peer("monitoring", {"app.kubernetes.io/name": "prometheus"}),
)
_GATEWAY, _STRANGER, _DNS = Peer("gateways", {"a": "b"}), Peer("default", {"app": "notebook"}), Peer("kube-system", {})
_FLOWS = [
    ("who asks a gateway reaches a login", _GATEWAY, _LOGIN, 4180, True),
    ("a login its page", _LOGIN, _WEB, 3000, True),
    ("a login MLflow", _LOGIN, _MLFLOW, 5000, True),
    ("nobody else a page", _STRANGER, _WEB, 3000, False),
    ("nor past the login", _GATEWAY, _WEB, 3000, False),
    ("nor MLflow", _STRANGER, _MLFLOW, 5000, False),
    ("nor the code server", _STRANGER, _CODE, 3030, False),
    ("nor the database", _STRANGER, _DATABASE, 5432, False),
    ("a trainer no page", _TRAINER, _WEB, 3000, False),
    ("nor the code server", _TRAINER, _CODE, 3030, False),
    ("the webserver the code server", _WEB, _CODE, 3030, True),
    ("the daemon the code server", _DAEMON, _CODE, 3030, True),
    ("the database: webserver", _WEB, _DATABASE, 5432, True),
    ("the database: run worker", _RUN, _DATABASE, 5432, True),
    ("the database: an operator's shell", _CODE, _DATABASE, 5432, True),
    ("the database: MLflow", _MLFLOW, _DATABASE, 5432, True),
    ("an operator's backfill", _CODE, _WEB, 3000, True),
    ("a run MLflow", _RUN, _MLFLOW, 5000, True),
    ("the preflight MLflow", _PREFLIGHT, _MLFLOW, 5000, True),
    ("a trainer MLflow", _TRAINER, _MLFLOW, 5000, True),
    ("a trainer the pushgateway", _TRAINER, Peer("monitoring", {}), 9091, True),
    ("a trainer its peers", _TRAINER, _TRAINER, 29500, True),
    ("a corpus' node its head", _NODE, _NODE, RAY_PORT, True),
    ("and each other, where Ray takes any port", _NODE, _NODE, 10_002, True),
    ("nobody else a corpus' nodes", _STRANGER, _NODE, RAY_PORT, False),
    ("nor a run", _RUN, _NODE, RAY_PORT, False),
    ("nor they the database", _NODE, _DATABASE, 5432, False),
    ("a corpus' nodes names", _NODE, _DNS, 53, True),
    ("a trainer the judge by address", _TRAINER, Peer(address="203.0.113.7"), 443, True),
    ("and no other", _TRAINER, Peer(address="203.0.113.8"), 443, False),
    ("a trainer the judge by namespace", _TRAINER, Peer("judges", {}), 8000, True),
    ("a trainer a model of ours, as judge", _TRAINER, _MODEL, MODEL_PORT, True),
    (
        "a base model's Job the hub",
        Peer("llm-training", {**_TRAINER.labels, "korean-llm/asset": "base_model"}),
        Peer(address="18.1.1.1"),
        443,
        True,
    ),
    ("names", _TRAINER, _DNS, 53, True),
    ("names by a node's cache", _MODEL, Peer(address="169.254.20.10"), 53, True),
    ("names on OpenShift", _TRAINER, Peer("openshift-dns", {}), 5353, True),
    ("Prometheus a trainer", _PROMETHEUS, _TRAINER, METRICS_PORT, True),
    ("Prometheus a model", _PROMETHEUS, _MODEL, MODEL_PORT, True),
    ("the gateway a model", _GATEWAY, _MODEL, MODEL_PORT, True),
    ("the smoke test a model", _RUN, _MODEL, MODEL_PORT, True),
    ("nobody else a model", _STRANGER, _MODEL, MODEL_PORT, False),
    ("a model nobody", _MODEL, Peer(address="18.1.1.1"), 443, False),
]


@pytest.mark.parametrize(
    ("source", "target", "port", "open_"), [row[1:] for row in _FLOWS], ids=[row[0] for row in _FLOWS]
)
def test_the_flows_that_are_needed_are_open_and_no_others(source: Peer, target: Peer, port: int, open_: bool):
    policies = [each for each in ours(_EVERYTHING) if each["kind"] == "NetworkPolicy"]
    protocol = "UDP" if port in (53, 5353) else "TCP"
    assert reaches(policies, source, target, port, protocol) is open_


def test_ports_in_policies_are_those_of_the_charts():
    assert _values("dagster")["dagsterWebserver"]["service"]["port"] == 3000
    assert _values("dagster")["dagster-user-deployments"]["deployments"][0]["port"] == 3030
    assert _values("mlflow")["service"]["port"] == urlsplit(_settings()["MLFLOW_TRACKING_URI"]).port == 5000


def test_the_webserver_is_asked_on_the_port_that_it_serves():
    """The chart's own probe asks 80, whatever port the values name: no pod would be ready, and `helm --wait` waits."""
    web = _values("dagster")["dagsterWebserver"]
    assert web["readinessProbe"]["httpGet"]["port"] == web["service"]["port"]


@pytest.mark.parametrize("release", ["dagster", "mlflow", "login-dagster"])
def test_a_probe_asks_a_port_on_which_its_container_listens(release: str):
    for pod, spec in charts.pods(public(release, _EVERYTHING)).items():
        for container in spec["containers"]:
            ports = {name for port in container.get("ports", []) for name in (port.get("name"), port["containerPort"])}
            for probe in (container.get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")):
                where = {probe[kind]["port"] for kind in ("httpGet", "tcpSocket") if kind in probe}
                assert where <= ports, (pod, container["name"], probe)


@pytest.mark.parametrize("release", ["dagster", "mlflow", "login-dagster"])
def test_labels_by_which_policies_know_pods_are_the_charts_own(release: str):
    """On the real charts: the peers of the table above are the pods that they make."""
    peers = {"dagster": (_WEB, _CODE, _DAEMON), "mlflow": (_MLFLOW,), "login-dagster": (_LOGIN,)}[release]
    labels = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in public(release, _EVERYTHING)
        if each["kind"] == "Deployment"
    ]
    for peer in peers:
        assert any(peer.labels.items() <= own.items() for own in labels), peer


def test_services_that_are_called_by_name_are_made_by_the_charts():
    names = {
        (each["metadata"].get("namespace", CHARTS[release]["namespace"]), each["metadata"]["name"])
        for release in ("dagster", "mlflow", "login-dagster", "login-mlflow", "login-viewers", "prometheus-pushgateway")
        for each in public(release, _EVERYTHING)
        if each["kind"] == "Service"
    }
    called = [*_settings().values(), *load_profile("h100").env.values()]
    for page in ("dagster", "viewers", "mlflow"):
        called += re.findall(
            r'upstreams = \["([^"]+)"\]',
            find(ours(_EVERYTHING), "ConfigMap", f"login-{page}")["data"]["oauth2_proxy.cfg"],
        )
    hosts = {match[1:] for match in re.findall(r"(http://)([\w-]+)\.(llm-platform|monitoring)", " ".join(called))}
    assert len(hosts) >= 5
    absent = (
        {(namespace, name) for name, namespace in hosts} - names - {("monitoring", "kube-prometheus-stack-prometheus")}
    )
    assert absent == set()


def test_deployments_and_services_in_the_guide_exist():
    text = (ROOT / "dagster_deploy" / "README.md").read_text(encoding="utf-8")
    made = {
        (CHARTS[release]["namespace"], kind, each["metadata"]["name"])
        for release in ("dagster", "mlflow", "kueue", "login-dagster")
        for each in public(release)
        for kind in {"Deployment": ("deploy", "deployment"), "Service": ("svc", "service")}.get(each["kind"], ())
    }
    named = re.findall(r"kubectl -n (\S+) (?:\S+ )*?(deploy|svc)/([\w-]+)", text)
    assert named
    assert {name for name in named if name not in made and name[0] != "monitoring"} == set()


def test_an_operators_command_goes_into_the_pod_that_has_the_deployments_state(tmp_path: Path):
    """`operate` from a laptop: the container of the code location, the words as they are, a file by standard input."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\nprintf "%s\\n" "$@"; cat\n')
    kubectl.chmod(0o755)
    done = subprocess.run(
        [str(ROOT / "dagster_deploy" / "operate"), "takedown", "--ids", "-", "--who", "김 하나"],
        input="doc-1\n", env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    words = done.stdout.splitlines()
    assert words[words.index("--") + 1 :][:4] == ["python", "-m", "korean_llm_assets", "takedown"]
    assert words[-4:] == ["-", "--who", "김 하나", "doc-1"] and "--stdin" in words
    name = next(word for word in words if word.startswith("deploy/")).removeprefix("deploy/")
    container = words[words.index("--container") + 1]
    deployment = find(public("dagster", _EVERYTHING), "Deployment", name)
    assert container in {each["name"] for each in deployment["spec"]["template"]["spec"]["containers"]}
    assert words[words.index("--namespace") + 1] == CHARTS["dagster"]["namespace"]


def test_nodes_are_labelled_as_pods_and_flavors_select():
    script = (ROOT / "dagster_deploy" / "label-nodes.sh").read_text(encoding="utf-8")
    assert 'korean-llm/pool=gpu "gpu-type=$type"' in script
    kind = yaml.safe_load((ROOT / "dagster_deploy" / "kind" / "cluster.yaml").read_text(encoding="utf-8"))
    assert kind["nodes"][0]["labels"] == load_profile("cpu").cpu_pool.selector
