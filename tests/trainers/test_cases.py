"""Small inputs as people really have them, and broken ones, each put where a release lies and run as its stage does."""

import shutil
import subprocess
import sys

import pytest

from tests.support.corpus_landing import data_request, read_jsonl
from tests.support.toy import build_model
from trainers.__main__ import main
from trainers.contract import BadData
from trainers.contract.artifacts import ArtifactStore
from trainers.runner.stage import run_stage

pytestmark = pytest.mark.realdata

CASES = {
    "json-array-beside": ("instructions", 312, 312, {}),
    "json-ext-lines": ("instructions", 12, 12, {}),
    "unsupported-beside": ("instructions", 14, 12, {"file_breaks_off": 2}),
    "csv-stray-quote": ("instructions", 60, 59, {"invalid_csv": 1}),
    "csv-good-quotes": ("instructions", 60, 60, {}),
    "alpaca-history": ("instructions", 3, 3, {}),
    "sharegpt-system": ("instructions", 4, 4, {}),
    "pref-shapes": ("preferences", 14, 13, {"template_in_text": 1}),
    "corpus-csvquote": ("corpus", 200, 199, {"invalid_csv": 1}),
    "corpus-special": ("corpus", 41, 41, {}),
}
"""Case -> stage, rows read, rows kept, rows excluded by reason."""
SUITES = {
    "bench-null": {"a-multiple_choice": 1, "a-instruction": 1},
    "bench-nfd": {"과학상식": 10, "한국사": 10},
    "bench-kmmlu-apple": {"kmmlu": 8},
    "bench-KMMLU-upper": {"kmmlu": 8, "own": 10},
}
"""Case -> suites and their items."""


@pytest.fixture
def run(testdata, tmp_path):
    """Run a stage over a case's or another folder's files: manifest's details, artifact's folder."""

    def run_(stage, *names, **section):
        folder = tmp_path / "landing" / "r1" / stage
        for name in names:
            source = testdata.parent / "cases" / name if not name.startswith("bad_inputs") else testdata / name
            if not source.exists():
                pytest.skip(f"there is no {source}")
            copy = shutil.copytree if source.is_dir() else shutil.copy
            folder.mkdir(parents=True, exist_ok=True)
            copy(source, folder, **({"dirs_exist_ok": True} if source.is_dir() else {}))
        store = ArtifactStore(tmp_path / "artifacts")
        request = data_request(stage, tmp_path / "landing", **section)
        manifest = run_stage(request, store, tmp_path / "landing")
        return manifest.details, store.folder(request)

    return run_


def rows_of(folder):
    return [row for name in ("train", "validation") for row in read_jsonl(folder / f"{name}.jsonl")]


@pytest.mark.parametrize("case", CASES)
def test_a_case_loses_what_its_readme_says_and_nothing_else(run, case):
    stage, read, kept, excluded = CASES[case]
    off = {"near_dedup": {"enabled": False}, "exact_dedup": False} if stage == "corpus" else {}
    details, _ = run(stage, case, **off)
    assert (details.read, details.kept, details.excluded) == (read, kept, excluded)


@pytest.mark.parametrize("case", SUITES)
def test_suites_of_a_case(run, case):
    details, _ = run("benchmarks", case)
    assert details.suites == SUITES[case]


REFUSED = {
    ("benchmarks", "bench-one-based"): r"a\.jsonl:4: answer 4 of 4 choices: answers count from 0 here",
    ("instructions", "bad_inputs/broken_instruct_preference.jsonl"): "of 12 rows none is usable",
    ("preferences", "bad_inputs/broken_instruct_preference.jsonl"): "of 12 rows none is usable",
}


@pytest.mark.parametrize(("stage", "case"), REFUSED)
def test_what_cannot_be_used_is_refused_in_words(run, stage, case):
    with pytest.raises(BadData, match=REFUSED[stage, case]) as caught:
        run(stage, case)
    assert caught.value.code == 65


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("model") / "model", seed=1)


CHECKED = {
    **{case: f"read: {read}; kept: {kept}" for case, (_, read, kept, _) in CASES.items()},
    **{case: "suites: " + ", ".join(f"{name} {items}" for name, items in of.items()) for case, of in SUITES.items()},
    "bench-one-based": "REFUSED, exit 65: suite 'a': a.jsonl:4: answer 4 of 4 choices",
    "filters": "read: 12; kept: 12",
}
"""Case -> what `data check` prints of it."""


@pytest.mark.parametrize("case", CHECKED)
def test_data_check_prints_of_a_case_what_its_readme_says(testdata, model, capsys, case):
    folder = testdata.parent / "cases" / case
    if not folder.exists():
        pytest.skip(f"there is no {folder}")
    code = main(["data", "check", str(folder), "--model", str(model)])
    printed = capsys.readouterr().out
    assert CHECKED[case] in printed
    assert code == (65 if "REFUSED" in CHECKED[case] else 0)
    assert all(f"{reason} {count}" in printed for reason, count in CASES.get(case, ("", 0, 0, {}))[3].items())


def test_every_case_is_checked(testdata):
    cases = testdata.parent / "cases"
    assert {path.name for path in cases.iterdir() if path.is_dir()} <= CHECKED.keys()


def test_data_check_as_a_command_says_it_and_ends(testdata, model):
    command = [sys.executable, "-m", "trainers", "data", "check", str(testdata.parent / "cases" / "alpaca-history")]
    done = subprocess.run([*command, "--model", str(model)], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert "read: 3; kept: 3" in done.stdout and "data check done: instructions" in done.stdout
