"""Published Korean benchmarks from their real files, quirks included, and what is said of broken ones."""

import json
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pyarrow.parquet
import pytest

from tests.support.corpus_landing import run_data_stage
from tests.support.toy import build_model
from trainers.benchmarks.formats import Instruction, MultipleChoice, Suite
from trainers.benchmarks.published import is_published, published_suites
from trainers.contract import BadData
from trainers.evaluation.measures import measure_suite
from trainers.evaluation.model import ModelUnderTest
from trainers.evaluation.results import Results

REAL = {
    "kobest_boolq": 1404,
    "kobest_copa": 1000,
    "kobest_hellaswag": 500,
    "kobest_sentineg": 397,
    "kobest_wic": 1260,
    "klue_nli": 3000,
    "klue_sts": 519,
}


@pytest.fixture(scope="module")
def real(testdata):
    return published_suites(testdata / "eval")


@pytest.mark.realdata
def test_every_real_row_becomes_an_item_with_a_known_answer(real):
    assert {name: len(rows) for name, rows in real.items() if name in REAL} == REAL
    assert len(real["klue_ner"]) > 4000
    assert len(real["klue_dp"]) > 1000
    for name, rows in real.items():
        assert len({row["id"] for row in rows}) == len(rows), name
        for row in rows:
            MultipleChoice.model_validate(row)
            assert "\r" not in row["question"] + "".join(row["choices"])


@pytest.mark.realdata
def test_labels_of_both_spellings_are_counted(real):
    """BoolQ and WiC mix True and TRUE; the published test sets are near balance."""
    for name in ("kobest_boolq", "kobest_wic", "kobest_sentineg"):
        share = Counter(row["answer"] for row in real[name])[1] / len(real[name])
        assert 0.45 < share < 0.55, name


@pytest.mark.realdata
def test_questions_read_as_lm_eval_asks_them(real):
    first = real["kobest_copa"][0]
    assert first["question"] == "새로 산 바지의 허리가 컸다.  그래서"
    assert real["kobest_wic"][0]["question"].startswith("문장1: 토양에 [양분]이 풍부하여")
    assert real["kobest_boolq"][0]["question"].endswith(" 질문: 콜라독립 815는 코카콜라에서 만들었나요? 답변: ")
    assert real["klue_ner"][0]["choices"][real["klue_ner"][0]["answer"]] == "기관"
    dp = real["klue_dp"][0]
    assert "'유희열이'의 서술어" in dp["question"] and dp["choices"][dp["answer"]] == "흘렸다."


def test_an_unbalanced_quote_is_text(tmp_path):
    (tmp_path / "BoolQ").mkdir()
    (tmp_path / "BoolQ" / "test.tsv").write_text(
        'ID\tText\tQuestion\tAnswer\r\n1\t"가나다\t라인가?\tTRUE\r\n2\t마"바\t사인가?\tFalse\r\n', newline=""
    )
    rows = published_suites(tmp_path)["kobest_boolq"]
    assert [(row["question"], row["answer"]) for row in rows] == [
        ('"가나다 질문: 라인가? 답변: ', 1),
        ('마"바 질문: 사인가? 답변: ', 0),
    ]


def test_columns_are_found_by_name(tmp_path):
    (tmp_path / "SentiNeg").mkdir()
    path = tmp_path / "SentiNeg" / "test.tsv"
    path.write_text("Text\tID\tLabel\n좋다\t7\t1\n")
    assert published_suites(tmp_path)["kobest_sentineg"][0]["question"] == "문장: 좋다 긍부정:"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("ID\tText\tLabel\n1\t좋다\t1\n2\t나쁘다\n", "item 2 .* 2 cells under 3 columns"),
        ("ID\tLabel\n1\t1\n", "item 1 .* there is no 'Text'"),
        ("ID\tText\tLabel\n1\t좋다\t긍정\n", "item 1"),
    ],
)
def test_a_broken_file_is_named_with_its_item(tmp_path, content, words):
    (tmp_path / "SentiNeg").mkdir()
    (tmp_path / "SentiNeg" / "test.tsv").write_text(content)
    with pytest.raises(BadData, match=rf"SentiNeg/test\.tsv: {words}"):
        published_suites(tmp_path)


@pytest.fixture
def exams(tmp_path):
    """Rows of ours in the published forms of KMMLU, HAE-RAE (both editions), CSAT-QA and CLIcK; the rows by file."""
    answers = {"Law": [4, 1, 1], "Math": [4]}
    for subject, right in answers.items():
        rows = "".join(f'"둘, 그리고 {n}은?",{answer},1,2,3,5,법,0.5\n' for n, answer in enumerate(right))
        path = tmp_path / "kmmlu" / "data" / f"{subject}-test.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"question,answer,A,B,C,D,Category,Human Accuracy\n{rows}", encoding="utf-8-sig")
    words = 'question,a,b,c,d,e,answer,split\n"기쁘다, 의 반대말은?",슬프다,달다,검다,높다,멀다,A,test\n'
    (tmp_path / "HAERAE-Bench-v1-RW.csv").write_text(words)
    questions = [{"query": "수도는? (A)부산 (B)서울 정답:", "options": "['부산', '서울']", "answer": "(B)"}]
    folder = tmp_path / "haerae" / "general_knowledge" / "test"
    folder.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(questions), folder / "0000.parquet")
    csat = {"question": "알맞은 것은?", "context": "가을이 왔다.", "gold": 3, "Category": "LI"}
    csat |= {f"option#{n}": f"보기 {n}" for n in range(1, 6)}
    (tmp_path / "csatqa_eval.json").write_text(json.dumps(csat, ensure_ascii=False) + "\n")
    four = {"id": "KIIP_law_1", "paragraph": "", "question": "국회는?", "choices": list("가나다라"), "answer": "다"}
    five = {
        "id": "CSAT_korean_1",
        "paragraph": "글",
        "question": "뜻은?",
        "choices": list("가나다라마"),
        "answer": "마",
    }
    for file, row in (("Culture/Korean Law/Law_KIIP", four), ("Language/Grammar/Grammar_CSAT", five)):
        path = tmp_path / "CLIcK" / "Dataset" / f"{file}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps([row, row], ensure_ascii=False))
    return tmp_path, csat, [four, four, five, five]


def test_exams_keep_their_parts_and_ask_in_lm_evals_words(exams):
    from lm_eval.tasks.click.click_cul import utils as click
    from lm_eval.tasks.csatqa import utils as csatqa

    folder, csat, click_rows = exams
    suites = published_suites(folder)
    assert [(row["subject"], row["answer"]) for row in suites["kmmlu"]] == [
        ("Law", 3), ("Law", 0), ("Law", 0), ("Math", 3),
    ]  # fmt: skip
    assert suites["kmmlu"][0]["question"] == "둘, 그리고 0은?\nA. 1\nB. 2\nC. 3\nD. 5\n정답："
    words, knowledge = suites["haerae"]
    assert words["question"] == "기쁘다, 의 반대말은?\n(A) 슬프다\n(B) 달다\n(C) 검다\n(D) 높다\n(E) 멀다\n정답:"
    assert (words["subject"], words["answer"]) == ("rare_words", 0)
    assert (knowledge["question"], knowledge["subject"]) == ("수도는? (A)부산 (B)서울 정답:", "general_knowledge")
    assert knowledge["choices"][knowledge["answer"]] == "(B)"
    (theirs,) = csatqa.process_docs(SimpleNamespace(map=lambda change: [change(csat)]))
    (ours,) = suites["csatqa"]
    assert (ours["question"], ours["choices"], ours["answer"]) == (
        theirs["question"],
        theirs["choices"],
        theirs["gold"],
    )
    for row, published in zip(suites["click"], click_rows, strict=True):
        assert (row["question"], row["choices"]) == (click.get_context(published), click.get_choices(published))
        assert row["choices"][row["answer"]] == click.get_target(published)
    assert [row["subject"] for row in suites["click"]] == ["Korean Law"] * 2 + ["Grammar"] * 2
    for name, rows in suites.items():
        assert len({row["id"] for row in rows}) == len(rows), name


SQUAD = {"context": "강은 동해로 간다.", "qas": [{"id": "6-0-0", "question": "어디로?", "answers": [{"text": "동해"}]}]}
BROKEN_SQUAD = json.dumps({"data": [{"paragraphs": [{**SQUAD, "qas": [*SQUAD["qas"], {"id": "7", "question": "?"}]}]}]})


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("kmmlu/Law-test.csv", "question,answer,A,B,C,D\n둘은?,1,2\n", "item 1 .* not as many cells as columns"),
        ("kmmlu/Law-test.csv", "question,A,B,C,D\n둘은?,1,2,3,4\n", "item 1 .* there is no 'answer'"),
        ("HAERAE-Bench-v1-HI.csv", "question,a,b,c,d,e,answer\n무엇?,1,2,3,4,5,X\n", "item 1"),
        ("csatqa_eval.json", '{"question": "?", "context": null}\n', "item 1 .* there is no 'option#1'"),
        ("KorQuAD_v1.0_dev.json", BROKEN_SQUAD, "item 2 .* there is no 'answers'"),
    ],
)
def test_a_broken_exam_is_named_with_its_item(tmp_path, file, content, words):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(BadData, match=rf"{path.name}: {words}"):
        published_suites(tmp_path)


def test_kmmlu_is_reported_macro_and_micro(exams, tmp_path):
    items = tuple(MultipleChoice.model_validate(row) for row in published_suites(exams[0])["kmmlu"])
    rows = measure_suite(
        ModelUnderTest(build_model(tmp_path / "model", seed=1), 128, 512), Suite("kmmlu", "multiple_choice", items)
    )
    results = Results({"rlhf": rows}, {}, seed=1)
    right = {row.item: row.value for row in rows if row.suite == "kmmlu"}
    by_subject = {"Law": [right[f"Law-{n}"] for n in range(3)], "Math": [right["Math-0"]]}
    assert 0 < sum(right.values()) < 4, "else the two averages could not differ"
    micro, macro = (results.figure(suite, "rlhf") for suite in ("kmmlu", "kmmlu/macro"))
    assert micro.value == sum(right.values()) / 4
    assert macro.value == pytest.approx(sum(sum(some) / len(some) for some in by_subject.values()) / 2)
    assert macro.value != micro.value
    assert macro.low <= macro.value <= macro.high


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "mine.jsonl").write_text("{}\n")
    assert published_suites(tmp_path) == {}
    assert not is_published("mine.jsonl") and is_published("kobest/WiC/test.tsv")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), path)
    else:
        path.write_text(content, encoding="utf-8")


LICENCE = {"question": " 둘은? ", "solution": "2", "license_name": "변호사", "category": "법"}
BBQ = (
    "sample_id\tlabel_annotation\tcontext\tquestion\tchoices\tbiased_answer\tanswer\tbbq_id\tbbq_category\tprediction\n"
    "socio-economic-001a-002-amb-bsd\tST\t가와 나를 봤다.\t누가 몰랐나?\t['가', '나', '알 수 없음']\t나\t알 수 없음"
    "\t1.0\tAge\t\n"
)
PUBLISHED = {
    "KMMLU-HARD/data/accounting-hard-test.csv": (
        "question,answer,A,B,C,D,Category,Human Accuracy\n둘은?,2,1,2,3,4,법,0.1\n",
        ("kmmlu_hard", "둘은?\nA. 1\nB. 2\nC. 3\nD. 4\n정답：", "ABCD", "B", "accounting"),
    ),
    "KMMLU-Redux/data/test-00000-of-00001.parquet": (
        [{**LICENCE, "options": list("가나다라")}],
        ("kmmlu_redux", "둘은?\nA. 가\nB. 나\nC. 다\nD. 라\n정답：", "ABCD", "B", "변호사"),
    ),
    "KMMLU-Pro/data/test-00000-of-00001.parquet": (
        [{**LICENCE, "solution": "5", "options": list("가나다라마")}],
        ("kmmlu_pro", "둘은?\nA. 가\nB. 나\nC. 다\nD. 라\nE. 마\n정답：", "ABCDE", "E", "변호사"),
    ),
    "KorNLI/xnli.test.ko.tsv": (
        'sentence1\tsentence2\tgold_label\n"비가 온다.\t맑다.\tcontradiction\n',
        (
            "kornli",
            '"비가 온다. 질문: 맑다. 이 말은 참인가, 거짓인가, 알 수 없는가? 답변:',
            ["참", "알 수 없음", "거짓"],
            "거짓",
            "",
        ),
    ),
    "KorSTS/sts-test.tsv": (
        "genre\tfilename\tyear\tid\tscore\tsentence1\tsentence2\nnews\ta\t2012\t1\t3.000\t비가 온다.\t비다.\n",
        ("korsts", "문장1: 비가 온다. 문장2: 비다. 두 문장은 같은 뜻인가? 답변:", ["아니오", "예"], "예", ""),
    ),
    "x-final/ko/test_2k.tsv": (
        "id\tsentence1\tsentence2\tlabel\n1\t비가 온다\t비다\t0\n",
        ("paws_ko", "비가 온다, 맞죠?", ["아니요, 비다", "예, 비다"], "아니요, 비다", ""),
    ),
    "paws-x/ko/test-00000-of-00001.parquet": (
        [{"id": 1, "sentence1": "비가 온다", "sentence2": "비다", "label": 1}],
        ("paws_ko", "비가 온다, 맞죠?", ["아니요, 비다", "예, 비다"], "예, 비다", ""),
    ),
    "nsmc/ratings_test.txt": (
        'id\tdocument\tlabel\n7\t"좋다\t1\n',
        ("nsmc", '문장: "좋다 긍부정:', ["부정", "긍정"], "긍정", ""),
    ),
    "kobest_v1/boolq/test-00000-of-00001.parquet": (
        [{"paragraph": "비가 온다.", "question": "맑은가?", "label": 0}],
        ("kobest_boolq", "비가 온다. 질문: 맑은가? 답변: ", ["아니오", "예"], "아니오", ""),
    ),
    "kobest_v1/copa/test-00000-of-00001.parquet": (
        [{"premise": "땅이 젖었다.", "question": "원인", "alternative_1": "비", "alternative_2": "해", "label": 0}],
        ("kobest_copa", "땅이 젖었다.  왜냐하면", ["비", "해"], "비", ""),
    ),
    "kobest/hellaswag/test/0000.parquet": (
        [{"context": "비가 온다.", **{f"ending_{n}": f"끝 {n}" for n in range(1, 5)}, "label": 3}],
        ("kobest_hellaswag", "문장: 비가 온다.", [f"끝 {n}" for n in range(1, 5)], "끝 4", ""),
    ),
    "kobest/sentineg/test.parquet": (
        [{"sentence": "좋다", "label": 1}],
        ("kobest_sentineg", "문장: 좋다 긍부정:", ["부정", "긍정"], "긍정", ""),
    ),
    "kobest/wic/test.parquet": (
        [{"word": "배", "context_1": "배를 탔다", "context_2": "배를 먹었다", "label": 0}],
        (
            "kobest_wic",
            "문장1: 배를 탔다 문장2: 배를 먹었다 두 문장에서 배가 같은 뜻으로 쓰였나?",
            ["아니오", "예"],
            "아니오",
            "",
        ),
    ),
    "klue/nli/validation-00000-of-00001.parquet": (
        [{"guid": "n1", "premise": "비가 온다.", "hypothesis": "맑다.", "label": 2}],
        (
            "klue_nli",
            "비가 온다. 질문: 맑다. 이 말은 참인가, 거짓인가, 알 수 없는가? 답변:",
            ["참", "알 수 없음", "거짓"],
            "거짓",
            "",
        ),
    ),
    "klue/sts/validation-00000-of-00001.parquet": (
        [{"guid": "s1", "sentence1": "비가 온다.", "sentence2": "비다.", "labels": {"label": 3.7, "binary-label": 1}}],
        ("klue_sts", "문장1: 비가 온다. 문장2: 비다. 두 문장은 같은 뜻인가? 답변:", ["아니오", "예"], "예", ""),
    ),
    "klue/ynat/validation-00000-of-00001.parquet": (
        [{"guid": "y1", "title": "금리 동결", "label": 1}],
        (
            "klue_ynat",
            "제목: 금리 동결 이 기사의 주제는? 답변:",
            ["IT과학", "경제", "사회", "생활문화", "세계", "스포츠", "정치"],
            "경제",
            "",
        ),
    ),
    "klue-ynat-v1.1/ynat-v1.1_dev.json": (
        '[{"guid": "y1", "title": "금리 동결", "label": "경제"}]',
        (
            "klue_ynat",
            "제목: 금리 동결 이 기사의 주제는? 답변:",
            ["IT과학", "경제", "사회", "생활문화", "세계", "스포츠", "정치"],
            "경제",
            "",
        ),
    ),
    "KMMLU/Law/test-00000-of-00001.parquet": (
        [{"question": "둘은?", "answer": 2, "A": "1", "B": "2", "C": "3", "D": "4", "Category": "Law"}],
        ("kmmlu", "둘은?\nA. 1\nB. 2\nC. 3\nD. 4\n정답：", "ABCD", "B", "Law"),
    ),
    "KoBBQ/data/KoBBQ_test_samples.tsv": (
        BBQ,
        (
            "kobbq",
            "가와 나를 봤다.\n질문: 누가 몰랐나?\n답변:",
            ["가", "나", "알 수 없음"],
            "알 수 없음",
            "socio-economic",
        ),
    ),
}  # fmt: skip
"""File -> a row of ours in its form, and the suite, question, choices, right choice and subject that it gives."""


@pytest.mark.parametrize("file", PUBLISHED)
def test_a_published_form_gives_its_item(tmp_path, file):
    content, (suite, question, choices, right, subject) = PUBLISHED[file]
    write(tmp_path / file, content)
    ((name, (row,)),) = published_suites(tmp_path).items()
    item = MultipleChoice.model_validate(row)
    assert (name, item.question, item.choices) == (suite, question, list(choices))
    assert (item.choices[item.answer], item.subject) == (right, subject)


def test_paws_asks_what_lm_eval_asks(tmp_path):
    """Question and choice together are lm_eval's whole text."""
    import jinja2
    import lm_eval.tasks
    import yaml

    path = Path(lm_eval.tasks.__file__).parent / "paws-x" / "paws_ko.yaml"
    template = yaml.safe_load(path.read_text())["doc_to_choice"]
    write(tmp_path / "x-final/ko/test_2k.tsv", PUBLISHED["x-final/ko/test_2k.tsv"][0])
    (row,) = published_suites(tmp_path)["paws_ko"]
    texts = jinja2.Template(template).render(sentence1="비가 온다", sentence2="비다")
    assert str([f"{row['question']} {choice}" for choice in row["choices"]]) == texts


def test_of_klues_mrc_only_what_the_text_answers_is_asked(tmp_path):
    other = {**SQUAD["qas"][0], "guid": "m2", "is_impossible": True, "answers": []}
    answered = {key: value for key, value in SQUAD["qas"][0].items() if key != "id"} | {"guid": "m1"}
    data = {"data": [{"title": "강", "paragraphs": [{**SQUAD, "qas": [answered, other]}]}]}
    write(tmp_path / "klue-mrc-v1.1/klue-mrc-v1.1_dev.json", json.dumps(data))
    (row,) = published_suites(tmp_path)["klue_mrc"]
    assert (row["id"], Instruction.model_validate(row).answer) == ("m1", "동해")


def test_the_other_splits_of_the_hub_are_no_suites(tmp_path):
    for folder, (name, train) in {
        "boolq": ("test-00000-of-00001.parquet", "train-00000-of-00001.parquet"),
        "copa": ("test/0000.parquet", "train/0000.parquet"),
    }.items():
        content = next(rows for file, (rows, _) in PUBLISHED.items() if f"/{folder}/test" in file)
        for split in (name, train):
            write(tmp_path / "landing/r1/benchmarks/kobest" / folder / split, content)
    manifest, _ = run_data_stage("benchmarks", tmp_path)
    assert manifest.details.suites == {"kobest_boolq": 1, "kobest_copa": 1}


def test_korquads_answers_are_written(tmp_path):
    write(tmp_path / "KorQuAD_v1.0_dev.json", json.dumps({"data": [{"title": "강", "paragraphs": [SQUAD]}]}))
    (row,) = published_suites(tmp_path)["korquad"]
    item = Instruction.model_validate(row)
    assert item.answer == "동해" and item.id == "6-0-0"
    assert item.messages[-1]["content"].startswith("강은 동해로 간다.\n\n질문: 어디로?\n")


def test_published_files_are_read_out_of_a_zip_and_a_broken_one_is_named_in_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "모음.zip", "w") as archive:
        for name in ("nsmc/ratings_test.txt", "KorSTS/sts-test.tsv"):
            archive.writestr(name, PUBLISHED[name][0])
    assert {name: len(rows) for name, rows in published_suites(tmp_path).items()} == {"nsmc": 1, "korsts": 1}
    with zipfile.ZipFile(tmp_path / "모음.zip", "w") as archive:
        archive.writestr("nsmc/ratings_test.txt", "id\tdocument\n1\t좋다\n")
    with pytest.raises(BadData, match=r"모음\.zip/nsmc/ratings_test\.txt: item 1 .* there is no 'label'"):
        published_suites(tmp_path)
