"""Command `serve`: the champion on this machine, smoke-tested before it says that it is ready."""

import json
import signal
import time
from argparse import Namespace
from types import FrameType
from typing import Any

from korean_llm_assets.home import Home
from korean_llm_assets.partitions.recipes import registered_name
from korean_llm_assets.resources import Platform
from korean_llm_assets.serving.local_server import Server
from korean_llm_assets.serving.registry import CHAMPION, Registry
from korean_llm_assets.serving.smoke import QUESTIONS, smoke_test
from trainers.contract import BadRequest, ServiceMissing
from trainers.contract.artifacts import ArtifactStore


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("serve", help="serve the champion over OpenAI's API on this machine's CPU")
    parser.add_argument("--model", default="tiny", help="%(default)s")
    parser.add_argument("--port", type=int, default=8000, help="%(default)s")
    parser.add_argument("--once", action="store_true", help="stop after the smoke test")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Serve the champion of the model that is named."""
    return serve(home, Platform.from_environment().registry, registered_name(options.model), options.port, options.once)


def serve(home: Home, registry: Registry, name: str, port: int, once: bool = False) -> int:
    """Serve until Ctrl-C or SIGTERM; with `once`, only until the smoke test is done. Returns the exit code.

    Raises:
        BadRequest: no model of that name is the champion.
        DiskTrouble: its files are not what its manifest says.
        ServiceMissing: the server did not start, or failed its smoke test.
    """
    version = registry.version(name, CHAMPION)
    if version is None:
        raise BadRequest(
            f"no version of {name!r} is the champion; run `make demo`, or materialize deployed_model first"
        )
    store = ArtifactStore(home.artifacts)
    folder = store.root / version.artifact.path
    store.read(folder, expected_content=version.artifact.digest)
    print(f"{name} version {version.number} ({version.artifact.path}), starting; this takes some seconds", flush=True)
    signal.signal(signal.SIGTERM, _as_keyboard_interrupt)
    server = Server.start(folder / "model", home.root / "serving" / f"{name}-{version.number}.log", port)
    try:
        result = smoke_test(server.url)
        for reply in result.replies:
            print(f"  {reply.question}  ->  {reply.text.strip()!r}  ({reply.seconds:.1f} s)", flush=True)
        if result.errors:
            raise ServiceMissing(f"the smoke test failed: {'; '.join(result.errors)}. Its log:\n{server.log_tail()}")
        print(f"\nserving {name} version {version.number} at {server.url}/v1; try:\n{_curl(server.url)}\n", flush=True)
        while not once and server.process.poll() is None:
            time.sleep(0.5)
        return 0 if once else 1
    except KeyboardInterrupt:
        return 0
    finally:
        server.stop()


def _curl(url: str) -> str:
    body = json.dumps({"messages": [{"role": "user", "content": QUESTIONS[2]}], "max_tokens": 48}, ensure_ascii=False)
    return f"curl -s {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"


def _as_keyboard_interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
