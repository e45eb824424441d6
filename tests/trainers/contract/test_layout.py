"""One module knows what lies where; removal is out of sight at once, and never takes what somebody works on."""

import ast
import multiprocessing
import os
import re
import signal
from pathlib import Path

import pytest

from trainers.contract import BenchmarkDetails, Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore, Busy
from trainers.contract.layout import Place, remove
from trainers.contract.locks import locked

ROOT = Path(__file__).parents[3]
NAMES = re.compile(
    r"\.partial\b|manifest\.json|\.request\.json|\.request\.launch|\.messages\.jsonl|\.approval\.json|"
    r"failure\.json|attempts\.json|\.removed-|(?<!\w)\.tracking\b|\.registry\b"
)
KNOWING = {"trainers/contract/layout.py", "trainers/contract/artifacts.py"}


def spelled(path: Path) -> list[str]:
    """Names of the layout in a module's texts, docstrings too."""
    texts = (
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return [name for text in texts for name in NAMES.findall(text)]


def test_no_other_module_spells_the_names_of_the_layout() -> None:
    modules = [path for package in ("korean_llm_assets", "trainers") for path in (ROOT / package).rglob("*.py")]
    by_module = {path.relative_to(ROOT).as_posix(): names for path in modules if (names := spelled(path))}
    assert by_module.keys() == KNOWING, by_module


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def request(seed: int = 1, stage: str = "benchmarks") -> StageRequest:
    return StageRequest(stage=stage, stage_version=1, release="r1", seed=seed)


def commit(store: ArtifactStore, stage_request: StageRequest) -> Place:
    """An artifact with everything beside it that there can be."""
    with store.workspace(stage_request) as workspace:
        (workspace.output / "a.txt").write_text("x")
        files, details = workspace.records(workspace.output), BenchmarkDetails(suites={})
        manifest = Manifest(
            request=stage_request, request_digest=stage_request.digest, files=files, metrics={}, details=details
        )
        workspace.commit(manifest)
    place = store.beside(stage_request)
    for path in (place.request, place.messages, place.launch_lock, place.approval):
        path.write_text(stage_request.model_dump_json())
    return place


def test_the_store_tells_what_is_made_and_what_is_not(store: ArtifactStore) -> None:
    whole, half = request(1), request(2, "corpus")
    commit(store, whole)
    with store.workspace(half) as workspace:
        workspace.begin_attempt()
    store.beside(half).request.write_text(half.model_dump_json())
    (store.root / "benchmarks" / "r1" / "notes.txt").touch()  # of nobody's request
    assert [manifest.request for manifest in store.manifests()] == [whole]
    assert [(unfinished, len(attempts)) for unfinished, attempts in store.unfinished()] == [(half, 1)]
    assert [place.folder.name for cell in store.cells() for place in cell.places] == [whole.digest, half.digest]
    assert store.read_manifest(whole.relative_path) == store.find(whole)
    assert store.read_manifest(half.relative_path) is None


def test_an_artifact_goes_with_all_that_lies_beside_it(store: ArtifactStore) -> None:
    place, other = commit(store, request(1)), commit(store, request(2))
    assert place.remove_artifact() and place.remove_work()
    assert {path.name.split(".")[0] for path in place.folder.parent.iterdir()} == {other.folder.name}


def test_unfinished_work_of_what_is_made_goes_alone(store: ArtifactStore) -> None:
    place = commit(store, request())
    assert place.partial.exists() and place.remove_work()
    assert not place.partial.exists() and place.approval.exists() and store.find(request()) is not None


def test_nothing_is_removed_that_somebody_works_on(store: ArtifactStore) -> None:
    place = commit(store, request())
    with locked(place.lock):
        assert place.is_worked_on
        assert not place.remove_artifact() and not place.remove_work()
    assert place.manifest.exists() and place.partial.exists() and not place.is_worked_on


def test_while_something_is_removed_nobody_begins_with_it(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = commit(store, request())

    def seen(folder: Path) -> None:
        with pytest.raises(Busy), store.workspace(request()):
            pass
        remove(folder)

    monkeypatch.setattr("trainers.contract.layout.remove", seen)
    assert place.remove_artifact()


def _killed_while_removing(folder: Path) -> None:
    real = os.unlink
    os.unlink = lambda *args, **more: (real(*args, **more), os.kill(os.getpid(), signal.SIGKILL))  # type: ignore
    remove(folder)


def test_a_removal_that_is_killed_leaves_no_half_artifact_and_the_next_one_ends_it(store: ArtifactStore) -> None:
    place = commit(store, request())
    (place.folder / "b.txt").write_text("y")
    child = multiprocessing.get_context("fork").Process(target=_killed_while_removing, args=(place.folder,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not place.folder.exists() and not list(store.manifests())
    (half,) = store.cell(*_cell(request())).half_removed
    remove(half)
    assert not half.exists() and not store.cell(*_cell(request())).half_removed


def _cell(stage_request: StageRequest) -> tuple[object, ...]:
    from trainers.contract import STAGES

    return STAGES[stage_request.stage], stage_request.model, stage_request.release
