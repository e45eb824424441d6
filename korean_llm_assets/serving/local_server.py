"""A local OpenAI-compatible server on one verified model folder, as a process with a log: vLLM where it is, else
`transformers serve`; both batch."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from korean_llm_assets.http import is_up
from korean_llm_assets.serving.model_size import GIB, ModelSize
from trainers.contract import ServiceMissing

HOST = "127.0.0.1"
_STOP_SECONDS = 15
_LOG_TAIL = 2000


_CACHE = 1 * GIB
"""Of keys and values, for all requests together; left to themselves the servers take most of the memory there is."""
_BLOCK = 32
"""Tokens of one block of the cache."""
_LONGEST = 8192


def transformers_serve(folder: Path, port: int) -> list[str]:
    """The command of Hugging Face's own server, on CPU. Requests that come together are answered together."""
    size = ModelSize.of(folder)
    tokens = max(_CACHE // size.cache_of_token, min(size.positions, _LONGEST))
    script = Path(sys.executable).with_name("transformers")
    return [
        *(str(script), "serve", str(folder), "--device", "cpu", "--host", HOST, "--port", str(port)),
        *("--continuous-batching", "--cb-block-size", str(_BLOCK), "--cb-num-blocks", str(-(-tokens // _BLOCK))),
        *("--cb-max-batch-tokens", "512"),
    ]


def vllm_serve(folder: Path, port: int) -> list[str]:
    """The command of vLLM, as this environment has it."""
    size = ModelSize.of(folder)
    return [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--host", HOST),
        *("--port", str(port), "--dtype", size.dtype, "--max-model-len", str(min(size.positions, _LONGEST))),
        *("--kv-cache-memory-bytes", str(max(_CACHE, _LONGEST * size.cache_of_token))),
    ]


def installed_server(folder: Path, port: int) -> list[str]:
    """The command of the best server that is installed."""
    return (vllm_serve if find_spec("vllm") else transformers_serve)(folder, port)


@dataclass
class Server:
    """A running server."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    @classmethod
    def start(
        cls,
        folder: Path,
        log: Path,
        port: int = 0,
        ready_seconds: float = 180,
        command: Callable[[Path, int], list[str]] = installed_server,
    ) -> "Server":
        """Serve a model folder; returns when it answers.

        Raises:
            ServiceMissing: it ended, or was not ready in time; carries the end of its log.
        """
        port = port or free_port()
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HOME": str(log.parent / "huggingface"),
        }
        (log.parent / "huggingface" / "hub").mkdir(parents=True, exist_ok=True)  # else /v1/models answers 500
        with log.open("ab") as stream:
            process = subprocess.Popen(
                command(folder, port), stdout=stream, stderr=stream, env=environment, start_new_session=True
            )
        server = cls(process, f"http://{HOST}:{port}", log)
        try:
            server._wait(ready_seconds)
        except BaseException:  # an interrupt too: nobody else knows of the process yet
            server.stop()
            raise
        return server

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServiceMissing(f"the server ended with {self.process.returncode}. Its log:\n{self.log_tail()}")
            if is_up(f"{self.url}/health"):
                return
            time.sleep(0.2)
        raise ServiceMissing(f"the server was not ready after {seconds:.0f} s. Its log:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The end of what the server wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]

    def stop(self) -> None:
        """End the server and what it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
