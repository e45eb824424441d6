"""The command line over a person's own files: one command, resumable, nothing mixed."""

import json
from pathlib import Path

import fsspec
import pytest

from tests.support.corpus_landing import read_jsonl, write_jsonl
from tests.support.plugins import FOLDER
from tests.support.s3 import s3
from tests.trainers.corpus.test_stage import dirty, everything
from trainers.__main__ import main
from trainers.contract.names import UnsafeName
from trainers.corpus.gather import gather


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "mine"
    write_jsonl(folder / "a.jsonl", dirty())
    (folder / "notes").mkdir()
    (folder / "notes" / "b.txt").write_text(
        "메모입니다. 오늘은 집에서 책을 읽고 산책을 하고 편지를 썼습니다.", encoding="utf-8"
    )
    return folder


def test_the_whole_chain_over_own_files(files, tmp_path, capsys):
    output = tmp_path / "out"
    command = ["corpus", "--input", str(files), str(files / "a.jsonl"), "--output", str(output)]
    assert main([*command, "--set", "filter.min_characters=20", "--set", "near_dedup.enabled=false"]) == 0
    output_text = capsys.readouterr().out
    assert "- exact_duplicate" in output_text and "kept" in output_text
    for name in ("manifest.json", "report.md", "report.html", "exclusions.jsonl.zst", "train/00000.jsonl.zst"):
        assert (output / name).is_file()
    assert not (tmp_path / "out.partial").exists()
    assert "메모" in "".join(row["text"] for row in everything(output))
    assert main([*command, "--set", "filter.min_characters=20", "--set", "near_dedup.enabled=false"]) == 0
    assert "there already" in capsys.readouterr().out
    assert main(command) == 64
    assert "other files or settings" in capsys.readouterr().err


def test_a_rule_of_a_plugin_over_own_files(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(FOLDER))
    (files / "ad.txt").write_text("무료 쿠폰과 특가 소식을 전합니다. 광고를 보시고 많이 찾아 주세요.", encoding="utf-8")
    rules = ["--set", "filter.rules=['korean_extras.rules:too_many_ads']"]
    command = ["corpus", "--input", str(files), "--output", str(tmp_path / "out")]
    assert main([*command, *rules]) == 0
    assert "- korean_extras.rules:too_many_ads" in capsys.readouterr().out
    assert main([*command, "--set", "filter.rules=['korean_extras.rules']"]) == 64
    assert "filter.rules.0: Value error, must be module:function" in capsys.readouterr().err


@pytest.mark.parametrize("inputs", ["", "*.jsonl", "a.jsonl", "**/*.txt"])
def test_a_drop_is_data_and_never_code(files, tmp_path, capsys, monkeypatch, inputs):
    (files / "evil_rule.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\ndef rule(text): return False")
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(files))
    command = ["corpus", "--input", str(files / inputs), "--output", str(tmp_path / "out")]
    assert main([*command, "--set", "filter.rules=['evil_rule:rule']"]) == 64
    assert "code is never taken from there" in capsys.readouterr().err
    assert not (tmp_path / "executed").exists() and not (tmp_path / "out").exists()


def test_changed_settings_on_unfinished_work_are_refused(files, tmp_path, capsys, monkeypatch):
    command = ["corpus", "--input", str(files), "--output", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        patch.setattr("trainers.corpus.chain.decide", lambda *a: (_ for _ in ()).throw(RuntimeError("power cut")))
        assert main(command) == 70
    assert main([*command, "--set", "exact_dedup=false"]) == 64
    assert "must not be mixed" in capsys.readouterr().err
    write_jsonl(files / "more.jsonl", dirty(2))
    assert main(command) == 64
    assert "must not be mixed" in capsys.readouterr().err
    (files / "more.jsonl").unlink()
    assert main(command) == 0
    assert main(["corpus", "--input", str(files), "--output", str(tmp_path / "fresh")]) == 0
    first, second = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("out", "fresh"))
    assert [file["sha256"] for file in first["files"]] == [file["sha256"] for file in second["files"]]


def test_globs_folders_and_buckets_give_the_same_corpus(tmp_path, capsys):
    bucket = fsspec.filesystem("memory")
    for n in range(3):
        write_jsonl(tmp_path / f"in/deep{n}/a{n}.jsonl", dirty()[n::3])
        bucket.put_file(str(tmp_path / f"in/deep{n}/a{n}.jsonl"), f"/drops/in/deep{n}/a{n}.jsonl")
    (tmp_path / "in/notes.docx").write_bytes(b"no text")
    here = str(tmp_path / "in")
    names, digests = {}, {}
    inputs = ([f"{here}/*/a*.jsonl"], ["memory://drops/in"], [f"{here}/**/*.jsonl"], ["memory://drops/in/*/*.jsonl"])
    for number, sources in enumerate(inputs):
        output = tmp_path / str(number)
        assert main(["corpus", "--input", *sources, "--output", str(output)]) == 0
        digests[number] = json.loads((output / "manifest.json").read_text())["digest"]
        names[number] = {row["file"] for row in read_jsonl(output / "exclusions.jsonl.zst")}
    assert len(set(digests.values())) == 1
    assert set(map(frozenset, names.values())) == {frozenset({"deep0/a0.jsonl", "deep1/a1.jsonl"})}
    capsys.readouterr()
    for sources, code, words in (
        ("memory://drops/nothing", 64, "no such file"),
        (f"{here}/*.nothing", 64, "no such file"),
        ("nosuchthing://x", 69, "cannot be read"),
    ):
        assert main(["corpus", "--input", sources, "--output", str(tmp_path / "none")]) == code
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("key", ["../../up.jsonl", "d//deep.jsonl", "./a.jsonl", ".git/hooks/x.jsonl"])
def test_a_key_of_a_bucket_leads_nowhere_else(tmp_path, monkeypatch, key):
    bucket = fsspec.filesystem("memory")
    monkeypatch.setattr(type(bucket), "find", lambda self, path, **options: [f"{path}/{key}"])
    monkeypatch.setattr(type(bucket), "isdir", lambda self, path: False)
    monkeypatch.setattr(type(bucket), "get_file", lambda self, source, target: Path(target).write_text("theirs"))
    with pytest.raises(UnsafeName):
        gather(["memory://drops/in"], tmp_path / "in" / "deep")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "filter.min_chars=3"], "filter.min_chars"),
        (["--set", "nonsense"], "key=value"),
        (["--input", "/nowhere"], "no such file"),
    ],
)
def test_wrong_commands_say_what_is_wrong(files, tmp_path, capsys, arguments, words):
    command = ["corpus", "--input", str(files), "--output", str(tmp_path / "out"), *arguments]
    assert main(command) == 64
    assert words in capsys.readouterr().err


ROWS = [{"id": "1", "text": "ＡＢＣ ㅋㅋㅋㅋㅋ 010-1234-5678", "more": 1}, {"id": "2", "text": "그대로"}]


@pytest.mark.parametrize(
    ("block", "wanted"),
    [
        ("normalise", ["ABC ㅋㅋ 010-1234-5678", "그대로"]),
        ("mask-pii", ["ＡＢＣ ㅋㅋㅋㅋㅋ [PHONE]", "그대로"]),
    ],
)
def test_one_block_alone(tmp_path, capsys, block, wanted):
    source = write_jsonl(tmp_path / "in.jsonl", ROWS)
    with source.open("a") as stream:
        stream.write("broken\n")
    assert main(["text", block, "--input", str(source), "--output", str(tmp_path / "out.jsonl")]) == 0
    written = read_jsonl(tmp_path / "out.jsonl")
    assert written == [{**row, "text": text} for row, text in zip(ROWS, wanted, strict=True)]
    assert "invalid_json 1" in capsys.readouterr().out


def test_a_file_without_any_row_fails(tmp_path, capsys):
    source = write_jsonl(tmp_path / "in.jsonl", [{"body": "x"}])
    assert main(["text", "normalise", "--input", str(source), "--output", str(tmp_path / "out.jsonl")]) == 65
    assert "no_text 1" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--splitter", "kss", "--cache", "cache"]])
def test_sentences(tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    text = "오늘은 비가 왔어요. 우산을 챙겼습니다.\n다음 줄입니다"
    source = write_jsonl(tmp_path / "in.jsonl", [{"id": "1", "text": text}])
    command = ["text", "split", "--input", str(source), "--output", str(tmp_path / "out.jsonl"), *options]
    assert main(command) == 0
    assert read_jsonl(tmp_path / "out.jsonl") == [
        {"id": "1", "text": sentence, "sentence": number}
        for number, sentence in enumerate(["오늘은 비가 왔어요.", "우산을 챙겼습니다.", "다음 줄입니다"])
    ]
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(kept) == (2 if options else 0)
    if options:  # what the cache says is what is taken
        for path in kept:
            path.write_text("앞\n뒤")
        assert main(command) == 0
        assert [row["text"] for row in read_jsonl(tmp_path / "out.jsonl")] == ["앞", "뒤", "앞", "뒤"]


def test_options_without_effect_are_refused(tmp_path, capsys):
    source = write_jsonl(tmp_path / "in.jsonl", [{"id": "1", "text": "글"}])
    for block, option in (("normalise", ["--splitter", "kss"]), ("split", ["--cache", str(tmp_path)])):
        command = ["text", block, "--input", str(source), "--output", str(tmp_path / "out.jsonl"), *option]
        assert main(command) == 64
    assert "leave out what has no effect" in capsys.readouterr().err


def test_a_bucket_is_read_over_s3(tmp_path, monkeypatch):
    rows = [
        {"id": f"d{n}", "text": f"우리는 강가를 걸으며 {'하나 ' * n}새를 보았습니다. 날이 좋았습니다."}
        for n in range(12)
    ]
    with s3(monkeypatch) as files:
        files.pipe_file("drops/korean/a.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
        assert main(["corpus", "--input", "s3://drops/korean", "--output", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["details"]["decides"]["read"] == 12
