"""One block through the chain: no bytes and no text make it fail, and every record is accounted for."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.contract.recipe.data import CorpusSection, DecontaminationSettings
from trainers.contract.recipe.filters import FilterSettings
from trainers.corpus.blocks import PublishedBlock
from trainers.corpus.clean import Cleaner
from trainers.text.read import Block

LOOSE = CorpusSection(filter=FilterSettings(min_characters=0, min_hangul_or_latin_share=0), mask_addresses=True)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from("가나ㅋㅎ 0123456789-.@:()AMa\n\t\u200b\ud800１－"), max_size=80),
)


def accounted(cleaned):
    return len(cleaned.rows) + len(cleaned.exclusions) == cleaned.summary["read"]


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
    assert (block.meta == cleaned.meta).all() and (block.signatures == cleaned.signatures).all()
    assert [list(origin) for origin in block.origins()] == [list(origin) for origin in cleaned.origins]
    assert list(block.exclusions()) == cleaned.exclusions
