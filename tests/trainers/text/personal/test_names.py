"""Names by a model: koredact itself reads a bundle of a few kilobytes; without one, what is missing is said."""

import pytest

from tests.support.corpus_landing import run_data_stage, write_jsonl
from tests.support.name_model import write_bundle
from trainers.contract import BadRequest
from trainers.contract.shards import read_shards
from trainers.text.characters import Texts
from trainers.text.personal.names import mask_names, name_model

TEXT = "김하늘 은 어제 이도윤 과 바다 에 갔다"


@pytest.fixture
def bundle(tmp_path):
    pytest.importorskip("koredact", reason="pip install koredact")
    return str(write_bundle(tmp_path / "names", ["김하늘", "이도윤"], ["은", "과", "바다", "에", "갔다", "어제"]))


def test_names_become_placeholders_and_nothing_else_does(bundle):
    texts, changed = mask_names(Texts.of([TEXT, "바다 에 갔다", "", "이도윤"]), bundle)
    assert list(texts) == ["[NAME] 은 어제 [NAME] 과 바다 에 갔다", "바다 에 갔다", "", "[NAME]"]
    assert changed == [(0, "NAME"), (0, "NAME"), (3, "NAME")]


def test_the_corpus_masks_them_where_a_folder_is_named(bundle, tmp_path):
    rows = [
        {"id": "a", "text": f"{TEXT}. 그 뒤로는 아무도 바다에 가지 않았다고 한다. 010-1234-5678"},
        {"id": "b", "text": "하늘이 맑아서 " * 9},
    ]
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", rows)
    manifest, folder = run_data_stage("corpus", tmp_path, name_model=bundle)
    assert manifest.details.masked == {"NAME": 2, "PHONE": 1}
    texts = [row["text"] for split in ("train", "validation") for row in read_shards(folder / split)]
    assert any(text.startswith("[NAME] 은 어제 [NAME] 과") for text in texts) and "김하늘" not in "".join(texts)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(BadRequest, match=r"lacks config.json, tokenizer.json.*koredact bundle"):
        name_model(str(tmp_path))
