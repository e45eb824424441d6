"""A served world whose every step can fail: a platform with a visible state and a registry, and what stops a call.

A process that dies is one whose every later call fails too; whoever goes on gets fresh objects on the same state.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from korean_llm_assets.serving.registry import Registry
from korean_llm_assets.serving.rollout import RolloutPolicy
from korean_llm_assets.serving.rollout_hook import rollout_on
from trainers.contract import ServiceMissing

Mode = Literal["refused", "answer lost", "died before", "died after"]
MODES: tuple[Mode, ...] = ("refused", "answer lost", "died before", "died after")
_NEVER = -1


class Died(BaseException):
    """The process is no more."""


@dataclass
class Faults:
    """Counts the steps of a try, and stops one of them."""

    at: int = _NEVER
    mode: Mode = "refused"
    steps: list[str] = field(default_factory=list)
    is_dead: bool = False

    def step(self, name: str, error: Exception, call: Callable[[], Any]) -> Any:
        """One call to the platform or the registry."""
        if self.is_dead:
            raise Died
        self.steps.append(name)
        if len(self.steps) - 1 != self.at:
            return call()
        if self.mode in ("answer lost", "died after"):
            with suppress(Exception):  # an answer of "there is none" is lost too
                call()
        if self.mode.startswith("died"):
            self.is_dead = True
            raise Died
        raise error


class Faulty:
    """An object whose calls are steps."""

    def __init__(self, wrapped: object, faults: Faults, error: Exception):
        self._wrapped, self._faults, self._error = wrapped, faults, error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._wrapped, name)
        return lambda *args, **options: self._faults.step(name, self._error, lambda: method(*args, **options))


@dataclass
class FakePlatform:
    """Implements `ServingPlatform`; refuses what would be an outage."""

    ready: dict[str, bool] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    canary: tuple[float, float] = (0.0, 10.0)
    """(failed, all) requests that any canary sees."""

    def start(self, version: str) -> str:
        self.ready[version] = True
        return f"http://{version}"

    def versions(self) -> list[str]:
        return list(self.ready)

    def is_ready(self, version: str) -> bool:
        return self.ready.get(version, False)

    def route(self, shares: dict[str, float]) -> None:
        assert all(self.is_ready(version) for version in shares), f"traffic to what is not ready: {shares}"
        self.shares = {version: share for version, share in shares.items() if share}

    def requests(self, version: str) -> tuple[float, float]:
        return self.canary

    def stop(self, version: str) -> None:
        assert version not in self.shares, f"{version} is stopped while it has traffic"
        self.ready.pop(version, None)

    def logs(self, version: str) -> str:
        return ""


class FakeClient:
    """As much of MLflow's client as the registry calls, in memory."""

    def __init__(self) -> None:
        self._models: dict[str, SimpleNamespace] = {}
        self._versions: list[SimpleNamespace] = []
        self._numbers = count(1)

    def search_registered_models(self, filter_string: str) -> list[SimpleNamespace]:
        return [model for name, model in self._models.items() if filter_string == f"name = '{name}'"]

    def create_registered_model(self, name: str, description: str) -> None:
        self._models[name] = SimpleNamespace(aliases={}, tags={})

    def create_model_version(
        self, name: str, source: str, run_id: str | None, tags: dict[str, str], description: str
    ) -> Any:
        version = SimpleNamespace(name=name, version=str(next(self._numbers)), tags=tags, description=description)
        self._versions.append(version)
        return version

    def search_model_versions(self, filter_string: str) -> list[SimpleNamespace]:
        return [version for version in self._versions if filter_string == f"name = '{version.name}'"]

    def get_model_version(self, name: str, number: str) -> SimpleNamespace:
        return next(v for v in self._versions if (v.name, v.version) == (name, number))

    def get_model_version_by_alias(self, name: str, alias: str) -> SimpleNamespace:
        if name not in self._models or alias not in self._models[name].aliases:
            raise MlflowException(f"no {alias} of {name}", RESOURCE_DOES_NOT_EXIST)
        return self.get_model_version(name, self._models[name].aliases[alias])

    def set_registered_model_alias(self, name: str, alias: str, number: str) -> None:
        self._models[name].aliases[alias] = number

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        del self._models[name].aliases[alias]

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        self._models[name].tags[key] = value

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        del self._models[name].tags[key]


class _Registry(Registry):
    """The registry on a given client."""

    def _client(self) -> Any:
        return self._given_client

    def on(self, client: object) -> "_Registry":
        object.__setattr__(self, "_given_client", client)
        return self


@dataclass
class World:
    """What survives a process: the platform and the registry's store."""

    locks: Path
    client: Any = field(default_factory=FakeClient)
    platform: FakePlatform = field(default_factory=FakePlatform)

    def registry(self, faults: Faults) -> Registry:
        """A registry as a new process makes it, whose tries meet these faults."""
        platform = Faulty(self.platform, faults, ServiceMissing("the platform does not answer"))
        client = Faulty(self.client, faults, MlflowException("the registry does not answer"))
        rollout = rollout_on(lambda *_: platform, RolloutPolicy(canary_seconds=1e-3), lambda version: [])
        return _Registry("memory", locks=self.locks, retry_seconds=(), rollout=rollout).on(client)

    def aliases(self, name: str) -> dict[str, str]:
        """Version by alias."""
        return {
            alias: str(number)
            for model in self.client.search_registered_models(f"name = '{name}'")
            for alias, number in model.aliases.items()
        }

    def tags(self, name: str) -> dict[str, str]:
        """Tags of the registered model."""
        return {
            key: value
            for model in self.client.search_registered_models(f"name = '{name}'")
            for key, value in model.tags.items()
        }
