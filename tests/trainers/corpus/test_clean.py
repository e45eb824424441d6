"""One block through the chain: no bytes and no text make it fail, and every record is accounted for."""

import hashlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.contract.recipe.data import CorpusSection, DecontaminationSettings
from trainers.contract.recipe.filters import FilterSettings
from trainers.corpus.blocks import PublishedBlock, name_of
from trainers.corpus.clean import Cleaner
from trainers.text.losses import Losses
from trainers.text.read import Block

LOOSE = CorpusSection(filter=FilterSettings(min_characters=0, min_hangul_or_latin_share=0), mask_addresses=True)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from("가나ㅋㅎ 0123456789-.@:()AMa\n\t\u200b\ud800１－"), max_size=80),
)


SENTENCES = " ".join(f"{n}번째 날에는 오래된 다리를 건너서 시장까지 갔습니다." for n in range(40))


def accounted(cleaned):
    losses = Losses()
    losses.add(cleaned.summary["losses"])
    return len(cleaned.rows) + len(cleaned.exclusions) == losses.rows


@given(st.lists(st.fixed_dictionaries({"text": TEXTS}, optional={"id": TEXTS, "source": TEXTS}), max_size=6))
@settings(max_examples=150, deadline=None)
def test_no_text_fails(rows):
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    cleaned = Cleaner(LOOSE, 16).clean(Block(0, "a.jsonl", 1, lines, "lines"))
    assert accounted(cleaned)
    for row in map(json.loads, cleaned.rows):
        row["text"].encode()
    assert cleaned.meta["high"].tolist() == sorted(cleaned.meta["high"].tolist())


@given(st.binary(max_size=400), st.sampled_from(["lines", "text", "html"]), st.sampled_from(["utf-8", "cp949"]))
@settings(max_examples=150, deadline=None)
def test_no_bytes_fail(data, kind, encoding):
    assert accounted(Cleaner(LOOSE, 16).clean(Block(0, "a", 1, data, kind, encoding)))


def test_what_is_published_is_what_was_cleaned(tmp_path):
    rows = [{"id": str(n), "text": f"{n}번째 글입니다. 오늘은 무엇을 했는지 적어 봅니다."} for n in range(50)] + [
        {"text": ""}
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    section = LOOSE.model_copy(update={"decontamination": DecontaminationSettings(action="off")})
    cleaned = Cleaner(section, 16).clean(Block(0, "a.jsonl", 1, lines, "lines"))
    cleaned.publish(tmp_path / "block", "a.jsonl")
    block = PublishedBlock(tmp_path / "block")
    assert [row for bucket in range(16) for row in block.rows(bucket)[1]] == cleaned.rows
    first, documents = block.documents(0, 16)
    assert (first, len(documents)) == (0, block.count) and (documents["meta"] == cleaned.meta).all()
    assert (documents["signature"] == cleaned.signatures).all() and (documents["bands"] == cleaned.bands).all()
    begin, some = block.documents(3, 5)
    assert 0 < len(some) < block.count and (some == documents[begin : begin + len(some)]).all()
    assert vars(block) == {"folder": tmp_path / "block"}, "a process that reads many blocks keeps nothing of each"
    assert [list(origin) for origin in block.origins()] == [list(origin) for origin in cleaned.origins]
    assert list(block.exclusions()) == cleaned.exclusions


def test_what_is_taken_down_is_in_no_example_by_whatever_text_it_was_named():
    documents = [
        {"text": f"{n}번째\u200b 글입니다. 오늘은 무엇을 했는지 적어 봅니다.\n무단 전재 및 재배포 금지"}
        for n in range(2)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in documents).encode()
    kept = "1번째 글입니다. 오늘은 무엇을 했는지 적어 봅니다."
    for named in (documents[1]["text"], kept):  # as it came, and as the corpus would have it
        section = LOOSE.model_copy(update={"takedown": [hashlib.sha256(named.encode()).hexdigest()]})
        cleaned = Cleaner(section, 16).clean(Block(0, "a.jsonl", 1, lines, "lines"))
        assert len(cleaned.summary["taken_down"]) == 1
        shown = json.dumps(cleaned.summary, ensure_ascii=False)
        assert "1번째" not in shown and "0번째‹U+200B› 글입니다" in shown


def test_a_row_is_the_json_of_its_document_whatever_its_text_holds():
    every = "".join(map(chr, range(0x180))) + '끝 "따옴표"\\n 과 \\"\\\\ 글\U0001f600'
    row = {
        "id": 'a"\\\n1',
        "text": f"{SENTENCES} {every}\n\n\t라",
        "source": "b\\",
        "licence": '"',
        "url": "http://가/?q=\\",
    }
    line = Cleaner(LOOSE, 16).clean(Block(0, "a.jsonl", 1, [row], "rows")).rows[0]
    document = json.loads(line)
    assert line == json.dumps(document, ensure_ascii=False).encode() + b"\n"
    assert name_of(line) == document["id"] == 'a"\\\\n1' and document["source"] == "b\\"
    assert '끝 "따옴표"\\n 과 \\"\\\\ 글\U0001f600\n\n\t라' in document["text"]
