"""Housekeeping removes what nothing names, and never what something does; dry run first."""

import os
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance, DagsterRun, DagsterRunStatus

from korean_llm_assets.commands import clean
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.pointers import ARTIFACT
from korean_llm_assets.serving.registry import Version
from korean_llm_assets.triggers.housekeeping import Doomed, Housekeeping, housekeeping_job, tidy
from trainers.contract import Artifact, BenchmarkDetails, Input, Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.locks import locked

OLD = time.time() - 30 * 86400


@dataclass
class Shelf:
    """Artifacts made by hand; the registry is a list."""

    store: ArtifactStore
    instance: DagsterInstance
    aliased: list[Version] = field(default_factory=list)

    def live(self) -> list[Version]:
        """What the registry says."""
        return self.aliased

    def request(self, number: int, *inputs: Artifact, stage: str = "benchmarks") -> StageRequest:
        named = tuple(Input(name=item.stage, digest=item.digest, path=item.path) for item in inputs)
        return StageRequest(stage=stage, stage_version=1, release="r1", section={"number": number}, inputs=named)

    def put(self, request: StageRequest, age: float = OLD) -> Artifact:
        """A committed artifact; later numbers are newer."""
        with self.store.workspace(request) as workspace:
            (workspace.output / "a.txt").write_text("x" * 1000)
            details = BenchmarkDetails(suites={})
            records = workspace.records(workspace.output)
            made = workspace.commit(
                Manifest(request=request, request_digest=request.digest, files=records, metrics={}, details=details)
            )
        self.store.discard_partial(request)
        self.store.beside(request).request.write_text(request.model_dump_json())
        stamp = age + request.section["number"]
        os.utime(self.store.path(made) / "manifest.json", (stamp, stamp))
        return made

    def point(self, artifact: Artifact) -> None:
        """Make it the latest materialization."""
        event = AssetMaterialization(AssetKey(artifact.stage), partition="r1", metadata={ARTIFACT: artifact.to_json()})
        self.instance.report_runless_asset_event(event)

    def doomed(self, keep: int = 1) -> list[Doomed]:
        keeper = Housekeeping(self.store, self, self.instance, days=14, keep=keep)  # type: ignore[arg-type]
        return keeper.doomed()

    def names(self, keep: int = 1) -> set[str]:
        return {doomed.what for doomed in self.doomed(keep)}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with DagsterInstance.ephemeral() as instance:
        yield Shelf(ArtifactStore(tmp_path), instance)


def four(shelf: Shelf) -> Sequence[Artifact]:
    return [shelf.put(shelf.request(number)) for number in range(4)]


def test_superseded_artifacts_go_and_the_newest_stay(shelf: Shelf) -> None:
    made = four(shelf)
    assert shelf.names(keep=2) == {made[0].path, made[1].path}
    messages: list[str] = []
    doomed = shelf.doomed(keep=2)
    assert tidy(doomed, False, messages.append) == 2000
    assert messages[-1].startswith("2 things, 0.0 MiB: would be removed") and all(
        shelf.store.path(a).exists() for a in made
    )
    tidy(doomed, True, messages.append)
    assert [shelf.store.path(artifact).exists() for artifact in made] == [False, False, True, True]
    left = {path.name.split(".")[0] for path in (shelf.store.root / "benchmarks" / "r1").iterdir()}
    assert left == {artifact.request_digest for artifact in made[2:]}  # requests and locks beside them went too
    assert not shelf.names(keep=2)


def _latest(shelf: Shelf, made: Sequence[Artifact]) -> None:
    shelf.point(made[3])
    shelf.point(made[0])  # asked for again, and reused


def _aliased(shelf: Shelf, made: Sequence[Artifact]) -> None:
    pointer = Input(name="champion", digest=made[0].digest, path=made[0].path)
    shelf.aliased.append(Version("tiny", "1", pointer, {}))


def _made_from(shelf: Shelf, made: Sequence[Artifact]) -> None:
    shelf.point(shelf.put(shelf.request(9, made[0], stage="corpus")))


def _asked_for(shelf: Shelf, made: Sequence[Artifact]) -> None:
    request = shelf.request(9, made[0], stage="corpus")
    shelf.store.beside(request).request.parent.mkdir(parents=True)
    shelf.store.beside(request).request.write_text(request.model_dump_json())


@pytest.mark.parametrize("name_it", [_latest, _aliased, _made_from, _asked_for])
def test_what_is_named_is_never_removed(shelf: Shelf, name_it: Callable[[Shelf, Sequence[Artifact]], None]) -> None:
    made = four(shelf)
    assert made[0].path in shelf.names()
    name_it(shelf, made)
    assert shelf.names() == {made[1].path, made[2].path}


def _running(shelf: Shelf, made: Sequence[Artifact]) -> None:
    shelf.instance.add_run(
        DagsterRun("training", status=DagsterRunStatus.STARTED, tags={"dagster/partition": "tiny|r1"})
    )


@pytest.mark.parametrize("name_it", [_latest, _aliased, _made_from, _running])
def test_what_became_live_after_the_look_is_kept(
    shelf: Shelf, name_it: Callable[[Shelf, Sequence[Artifact]], None]
) -> None:
    made = four(shelf)
    doomed = shelf.doomed(keep=3)
    assert [each.what for each in doomed] == [made[0].path]
    name_it(shelf, made)
    messages: list[str] = []
    tidy(doomed, True, messages.append)
    assert shelf.store.path(made[0]).exists()
    assert any("kept after all" in message and made[0].path in message for message in messages)


def test_what_is_being_reused_is_removed_by_nobody(shelf: Shelf) -> None:
    made = four(shelf)
    (doomed,) = shelf.doomed(keep=3)
    request = shelf.request(0)
    with locked(shelf.store.beside(request).launch_lock):  # as `reuse` holds it
        removal = threading.Thread(target=doomed.remove)
        removal.start()
        removal.join(0.3)
        assert removal.is_alive() and shelf.store.find(request) is not None
        shelf.point(made[0])
    removal.join(30)
    assert shelf.store.reuse(request) is not None


def test_what_is_young_or_of_a_running_run_is_not_touched(shelf: Shelf) -> None:
    made = four(shelf)
    young = time.time()
    os.utime(shelf.store.path(made[0]) / "manifest.json", (young, young))
    assert shelf.names() == {made[1].path, made[2].path, made[3].path}  # the newest of all is made[0] now
    tags = {"dagster/partition": "tiny|r1"}
    run = shelf.instance.add_run(DagsterRun("training", status=DagsterRunStatus.STARTED, tags=tags))
    assert not shelf.names()
    shelf.instance.delete_run(run.run_id)
    shelf.instance.add_run(DagsterRun("a job that does not say of what", status=DagsterRunStatus.STARTING))
    assert not shelf.names()


def test_leftovers_of_old_attempts_go_unless_somebody_works_on_them(shelf: Shelf) -> None:
    unfinished, at_work, young, refused = (shelf.request(number) for number in range(4))
    for request in (unfinished, at_work, young):
        with shelf.store.workspace(request) as workspace:
            (workspace.scratch / "checkpoint").write_text("x" * 500)
    for request in (unfinished, at_work, young, refused):
        shelf.store.beside(request).request.write_text(request.model_dump_json())
    cell = shelf.store.root / "benchmarks" / "r1"
    for path in [*cell.rglob("*")]:
        if not path.name.startswith(young.digest) and young.digest not in path.as_posix():
            os.utime(path, (OLD, OLD))
    with locked(cell / f"{at_work.digest}.lock"):
        doomed = shelf.doomed()
        assert {each.what.split("/")[-1] for each in doomed} == {
            f"{unfinished.digest}.partial",
            f"{refused.digest}.partial",
        }
        assert sum(each.size for each in doomed) >= 500
        tidy(doomed, True, lambda line: None)
    left = {path.name.split(".")[0] for path in cell.iterdir()}
    assert left == {at_work.digest, young.digest}


def test_the_command_and_the_job_are_dry_runs_unless_told(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from korean_llm_assets.resources import Platform
    from korean_llm_assets.serving.registry import Registry

    monkeypatch.setattr(Registry, "live", lambda registry: [])  # tested in test_registry.py; MLflow takes seconds
    with DagsterInstance.get() as instance:
        shelf = Shelf(Platform.from_environment().store, instance)
        made = four(shelf)
        for yes in (False, True):
            result = housekeeping_job.execute_in_process(
                instance=instance,
                resources={"platform": SimpleNamespace(store=shelf.store, registry=shelf)},
                run_config={"ops": {"tidy": {"config": {"yes": yes, "keep": 3}}}},
            )
            assert result.success
            assert shelf.store.path(made[0]).exists() != yes
    assert clean.run(Namespace(days=14.0, keep=2, yes=False, json=False), home) == 0
    output = capsys.readouterr().out
    assert made[1].path in output and "nothing was (--yes removes)" in output and shelf.store.path(made[1]).exists()


def test_unfinished_removals_are_not_mistaken_for_artifacts(shelf: Shelf) -> None:
    made = four(shelf)
    folder = shelf.store.path(made[0])
    folder.rename(folder.with_name(f".removed-{folder.name}"))  # killed between the rename and the end
    assert shelf.store.find(shelf.request(0)) is None
    tidy(shelf.doomed(), True, lambda line: None)
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [made[3].request_digest]
