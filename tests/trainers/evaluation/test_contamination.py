"""Contamination: found across spacing, told once per item and document."""

import json

import zstandard

from trainers.evaluation.contamination import contamination

SECRET = "가을 저녁이면 할머니는 마루 끝에 앉아 감을 깎으시며 옛날 바닷가 마을에서 지내던 이야기를 들려주셨다"


def corpus_of(folder, texts):
    (folder / "train").mkdir(parents=True)
    rows = [{"id": f"d{n}", "text": text, "source": "web"} for n, text in enumerate(texts)]
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    (folder / "train" / "00000.jsonl.zst").write_bytes(zstandard.compress(data))
    return folder


def test_an_item_in_the_corpus_is_found_once_per_document(tmp_path):
    suite = tmp_path / "riddle.jsonl"
    suite.write_text(json.dumps({"id": "r1", "text": SECRET, "domain": "ko"}, ensure_ascii=False) + "\n")
    texts = ["관계없는 글이다.", f"앞글. {SECRET} 뒷글.", SECRET.replace(" ", "  ")]
    evidence = contamination([suite], corpus_of(tmp_path / "corpus", texts))
    assert [(row["item"], row["document"]) for row in evidence] == [("riddle:r1", "d1"), ("riddle:r1", "d2")]
    assert evidence[0]["piece"] in texts[1]


def test_a_clean_corpus_has_no_evidence(tmp_path):
    suite = tmp_path / "riddle.jsonl"
    suite.write_text(json.dumps({"id": "r1", "text": SECRET, "domain": "ko"}, ensure_ascii=False) + "\n")
    assert contamination([suite], corpus_of(tmp_path / "corpus", ["관계없는 글이다." * 30])) == []
