"""Command `serve`: one or two versions of a model on this machine, smoke-tested first, and a page to chat."""

import json
import signal
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from dagster import AssetKey, DagsterInstance

from korean_llm_assets.home import Home
from korean_llm_assets.partitions.keys import partition_of
from korean_llm_assets.partitions.pointers import latest
from korean_llm_assets.partitions.recipes import registered_name
from korean_llm_assets.resources import Platform
from korean_llm_assets.serving.chat import ChatModel, Prompts, chat_page
from korean_llm_assets.serving.front import Front, fronting
from korean_llm_assets.serving.local_server import HOST, Server
from korean_llm_assets.serving.registry import CHAMPION, PREVIOUS, Registry, Version
from korean_llm_assets.serving.rollout_hook import heard
from korean_llm_assets.serving.smoke import smoke_test
from trainers.contract import STAGES, BadRequest, Input, ServiceMissing
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.replies import QUESTIONS

_SIDE_BY_SIDE = 2


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("serve", help="serve the champion over OpenAI's API on this machine's CPU, and chat")
    which = f"{CHAMPION}, {PREVIOUS}, or a release, also one that the gate refused ({CHAMPION}, and {PREVIOUS} if any)"
    parser.add_argument("which", nargs="*", metavar="VERSION", help=f"one, or two side by side: {which}")
    parser.add_argument("--model", default="tiny", help="%(default)s")
    parser.add_argument("--port", type=int, default=8000, help="%(default)s")
    parser.add_argument("--once", action="store_true", help="stop after the smoke test")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Serve the versions of the model that are named."""
    if len(options.which) > _SIDE_BY_SIDE:
        raise BadRequest(f"serve takes {_SIDE_BY_SIDE} versions at most, side by side; these are {len(options.which)}")
    registry = Platform.from_environment().registry
    versions = versions_of(options.model, registered_name(options.model), options.which, registry)
    return serve(home, versions, options.port, options.once)


def versions_of(model: str, name: str, which: Sequence[str], registry: Registry) -> dict[str, tuple[str, Version]]:
    """The versions that are asked for by alias or release, by the name under which the API serves each; with each what
    people call it. Where none is asked for: the champion, and what it replaced.

    Raises:
        BadRequest: there is no such version.
    """
    versions: dict[str, tuple[str, Version]] = {}
    for wanted in dict.fromkeys(which or (CHAMPION, PREVIOUS)):
        if wanted in (CHAMPION, PREVIOUS):
            version = registry.version(name, wanted)
        else:
            version = registry.of_release(name, wanted) or _not_registered(model, name, wanted)
        if version is None:
            if wanted == CHAMPION:
                raise BadRequest(
                    f"no version of {name!r} is the champion; run `make demo`, or materialize deployed_model first"
                )
            if which:
                raise BadRequest(f"there is no {wanted!r} of {name!r} to serve; `status` shows the releases")
            continue  # the first champion replaced nothing
        release = version.tags.get("release", "")
        number = f"version {version.number}" if version.number else "not registered"
        words = [name, number, *(word for word in dict.fromkeys((release, wanted)) if word)]
        versions[f"{name}:{wanted}"] = (" · ".join(words), version)
    return versions


def _not_registered(model: str, name: str, release: str) -> Version | None:
    """What was trained of a release that the gate, or nobody yet, let become a version."""
    stage = STAGES["rlhf"]
    with DagsterInstance.get() as instance:
        made = latest(instance, AssetKey(stage.asset), partition_of(stage, model, release))
    if made is None:
        return None
    return Version(name, "", Input(name=stage.asset, digest=made.digest, path=made.path), {"release": release})


def serve(home: Home, versions: dict[str, tuple[str, Version]], port: int, once: bool = False) -> int:
    """Serve until Ctrl-C or SIGTERM; with `once`, only until the smoke tests are done. Returns the exit code.

    Raises:
        DiskTrouble: a version's files are not what its manifest says.
        ServiceMissing: a server did not start, or failed its smoke test.
    """
    store = ArtifactStore(home.artifacts)
    for _, version in versions.values():
        store.verify(version.artifact)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            models, servers = [], {}
            for name, (words, version) in versions.items():
                print(f"{words} ({version.artifact.path}), starting; this takes some seconds", flush=True)
                model = ChatModel(name, words, store.root / version.artifact.path / "model")
                server = Server.start(model.folder, home.root / "serving" / f"{name.replace(':', '-')}.log")
                stack.callback(server.stop)
                _smoke_test(server, store, version)
                models.append(model)
                servers[name] = server
            prompts = stack.enter_context(Prompts())
            app = Front({name: server.url for name, server in servers.items()}).app(chat_page(models, prompts))
            url = stack.enter_context(fronting(app, HOST, port))
            print(f"\nchat:  {url}\nAPI:   {url}/v1 ({', '.join(servers)}); try:\n{_curl(url)}\n", flush=True)
            while not once and all(server.process.poll() is None for server in servers.values()):
                time.sleep(0.5)
        return 0 if once else 1
    except KeyboardInterrupt:
        return 0


def _smoke_test(server: Server, store: ArtifactStore, version: Version) -> None:
    result = smoke_test(server.url, heard(store, version))
    for reply in result.replies:
        print(f"  {reply.question}  ->  {reply.text.strip()!r}  ({reply.seconds:.1f} s)", flush=True)
    if result.errors:
        raise ServiceMissing(f"the smoke test failed: {'; '.join(result.errors)}. Its log:\n{server.log_tail()}")


def _curl(url: str) -> str:
    body = json.dumps({"messages": [{"role": "user", "content": QUESTIONS[2]}], "max_tokens": 48}, ensure_ascii=False)
    return f"curl -s {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"
