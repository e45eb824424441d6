"""The peers of `make bench-corpus`: each does the same work on the same file in its own usual way, on one core.

Near dedup: read JSON lines, drop near duplicates, write what stays; returns the ids that were dropped.
Filters: normalise, filter and mask texts that are in memory already; returns how many stay.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.own_environment import install, own_environment
from trainers.contract import Needs
from trainers.contract.recipe.data import BoilerplateSettings, CorpusSection, NormaliseSettings
from trainers.contract.recipe.filters import FilterSettings
from trainers.text.boilerplate import remove_lines
from trainers.text.characters import Texts
from trainers.text.filters import judge, measure, verdicts
from trainers.text.normalise import normalise
from trainers.text.personal_data import mask

THRESHOLD = 0.7
_DATA_JUICER = "1.6.1"
_MINHASH_BY_DATA_JUICER = """
import json, sys
from data_juicer.core.data import NestedDataset
from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
rows = NestedDataset.from_list([json.loads(line) for line in open(sys.argv[1], encoding="utf-8")])
operator = DocumentMinhashDeduplicator(tokenization="space", window_size=5, num_permutations=112)
kept, _ = operator.process(rows.map(operator.compute_hash))
with open(sys.argv[2], "w", encoding="utf-8") as stream:
    stream.writelines(json.dumps({"id": row["id"], "text": row["text"]}, ensure_ascii=False) + "\\n" for row in kept)
"""
"""As its recipes have it: tokens at spaces, windows of 5 words, Jaccard 0.7."""


def _read(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def _write(rows: list[dict], dropped: set[str], path: Path) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            if row["id"] not in dropped:
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _shingles(text: str) -> set[str]:
    words = text.split()
    return {" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))}


class Quiet:
    """A reporter that says nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    warn = say

    def progress(self, *_: object) -> None:
        """Nothing."""

    metrics = training_ended = progress


def chain_section() -> CorpusSection:
    """The near-dedup part of our chain alone: no filter drops anything, nothing is masked."""
    everything = FilterSettings(
        min_characters=0,
        min_hangul_or_latin_share=0,
        max_replacement_share=1,
        max_symbol_share=1,
        max_digit_share=1,
        line_rules_from=10**9,
        word_rules_from=10**9,
    )
    return CorpusSection(filter=everything, boilerplate=BoilerplateSettings(rules=()), mask_personal_data=False)


def ours(path: Path, work: Path, section: CorpusSection | None = None, needs: Needs | None = None) -> set[str]:
    """This project's chain, which also normalises, measures, indexes and compresses."""
    import zstandard

    from trainers.corpus.chain import build
    from trainers.corpus.plan import CorpusPlan
    from trainers.text.read import files_below

    output = work / "output"
    output.mkdir(parents=True)
    plan = CorpusPlan(section or chain_section(), files_below(path))
    corpus = build(plan, work, output, Quiet(), needs or Needs())
    (work / "timings.json").write_text(json.dumps({**corpus.timings, **corpus.metrics}))
    with (output / "exclusions.jsonl.zst").open("rb") as stream:
        rows = zstandard.ZstdDecompressor().stream_reader(stream).read().splitlines()
    return {row["id"] for row in map(json.loads, rows) if row["reason"].endswith("duplicate")}


def _words_at_spaces() -> Any:
    """A tokenizer for datatrove, the fastest there can be: its Korean one is ten times slower still."""
    from datatrove.utils.word_tokenizers import WordTokenizer

    class WordsAtSpaces(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return text.split("\n")

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    return WordsAtSpaces()


def datatrove(path: Path, work: Path, on_ray: bool = False) -> set[str]:
    """datatrove's four MinHash steps, 14 x 8, words at spaces."""
    from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    source = work / "in"
    source.mkdir(parents=True)
    shutil.copy(path, source / "a.jsonl")
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)

    def run(pipeline: list, tasks: int = 1) -> None:
        logs = str(work / "logs" / type(pipeline[-1]).__name__)
        if on_ray:
            RayPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=logs, mem_per_cpu_gb=1).run()
            return
        for rank in range(tasks):
            executor = LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, logging_dir=logs)
            executor._run_for_rank(rank)

    steps = [str(work / name) for name in ("signatures", "buckets", "removed", "out")]
    run([JsonlReader(str(source)), MinhashDedupSignature(steps[0], config=config, language=_words_at_spaces())])
    run([MinhashDedupBuckets(steps[0], steps[1], config=config)], tasks=14)
    run([MinhashDedupCluster(steps[1], steps[2], config=config)])
    run([JsonlReader(str(source)), MinhashDedupFilter(steps[2]), JsonlWriter(steps[3], compression=None)])
    kept = {row["id"] for file in Path(steps[3]).glob("*.jsonl") for row in _read(file)}
    return {row["id"] for row in _read(path)} - kept


def datasketch(path: Path, work: Path) -> set[str]:
    """datasketch's MinHash and MinHashLSH."""
    from datasketch import MinHash, MinHashLSH

    rows = _read(path)
    index, dropped = MinHashLSH(threshold=THRESHOLD, num_perm=112), set()
    for row in rows:
        sketch = MinHash(num_perm=112)
        sketch.update_batch([shingle.encode() for shingle in _shingles(row["text"])])
        if index.query(sketch):
            dropped.add(row["id"])
        else:
            index.insert(row["id"], sketch, check_duplication=False)
    _write(rows, dropped, work / "out.jsonl")
    return dropped


def rensa(path: Path, work: Path) -> set[str]:
    """rensa's RMinHash matrix and RMinHashLSH (Rust), in one call each."""
    import rensa as library

    rows = _read(path)
    sets = [_shingles(row["text"]) for row in rows]
    sketches = library.RMinHash.from_token_sets(sets, num_perm=112, seed=1)
    index = library.RMinHashLSH(threshold=THRESHOLD, num_perm=112, num_bands=28)
    index.insert_many(sketches)
    dropped = set()
    for number, (row, candidates) in enumerate(zip(rows, index.query_all(sketches), strict=True)):
        if any(other < number and sketches[other].jaccard(sketches[number]) >= 0.6 for other in candidates):
            dropped.add(row["id"])
    _write(rows, dropped, work / "out.jsonl")
    return dropped


def daft(path: Path, work: Path, normalised: bool = True) -> set[str]:
    """Daft's minhash expression over its own normalised text, which it needs for our recall; banded as we do."""
    import daft as library
    import numpy as np

    frame = library.read_json(str(path)).select("id", "text")
    text = library.col("text")
    if normalised:
        text = text.normalize(remove_punct=True, lowercase=True, nfd_unicode=True, white_space=True)
    hashed = frame.with_column("m", text.minhash(num_hashes=112, ngram_size=5)).select("id", "m").to_pydict()
    matrix = np.array(hashed["m"], np.uint32)
    parent = list(range(len(matrix)))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for band in range(28):
        first: dict[bytes, int] = {}
        for index, row in enumerate(matrix[:, band * 4 : band * 4 + 4]):
            other = first.setdefault(row.tobytes(), index)
            if other != index and (matrix[other] == matrix[index]).mean() >= 0.6:
                a, b = sorted((root(index), root(other)))
                parent[b] = a
    dropped = {name for index, name in enumerate(hashed["id"]) if parent[index] != index}
    _write(_read(path), dropped, work / "out.jsonl")
    return dropped


def start_ray() -> None:
    """A Ray of this machine with one core; what is measured begins when it is there."""
    import ray

    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=256 << 20)


def daft_on_ray(path: Path, work: Path) -> set[str]:
    """The same expression on Daft's Ray runner."""
    import daft as library

    library.set_runner_ray()
    return daft(path, work)


def data_juicer(path: Path, work: Path) -> set[str]:
    """Data-Juicer's MinHash operator, in an environment of its own: its pins cannot be ours."""
    packages = (f"py-data-juicer=={_DATA_JUICER}", "emoji==2.2.0", "loguru", "jsonargparse", "dep-logic", "wget")
    packages += ("mwparserfromhell", "typeshed-client", "jsonlines", "lz4")
    python = own_environment(f"data-juicer-{_DATA_JUICER}", lambda python: install(python, *packages))
    command = [python, "-c", _MINHASH_BY_DATA_JUICER, path, work / "out.jsonl"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {row["id"] for row in _read(path)} - {row["id"] for row in _read(work / "out.jsonl")}


ON_RAY = ("datatrove-ray", "daft-ray")
NEAR_DEDUP: dict[str, Callable[[Path, Path], set[str]]] = {
    "ours": ours,
    "datatrove": datatrove,
    "datatrove-ray": lambda path, work: datatrove(path, work, on_ray=True),
    "data-juicer": data_juicer,
    "datasketch": datasketch,
    "rensa": rensa,
    "daft": daft,
    "daft-ray": daft_on_ray,
    "daft-raw": lambda path, work: daft(path, work, normalised=False),
}


def filters_ours(texts: list[str]) -> int:
    """All our rules, normalisation and personal data, in batches as in the chain."""
    kept = 0
    for begin in range(0, len(texts), 1000):
        normalised, _ = normalise(Texts.of(texts[begin : begin + 1000]), NormaliseSettings())
        cleaned, _ = remove_lines(normalised, BoilerplateSettings())
        broken = verdicts(judge(measure(cleaned), FilterSettings()))
        masked, _ = mask(cleaned)
        kept += sum(verdict is None for verdict, _ in zip(broken, masked.strings, strict=True))
    return kept


def filters_datatrove(texts: list[str]) -> int:
    """The same kinds of rules from datatrove's stock filters, words at spaces, and its masking (mail and IP only)."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter

    words = _words_at_spaces()
    steps = [
        GopherRepetitionFilter(language=words, dup_line_frac=0.374),
        GopherQualityFilter(
            language=words, min_doc_words=1, min_avg_word_length=1, max_avg_word_length=8, min_stop_words=0
        ),
        FineWebQualityFilter(language=words, line_punct_thr=0.062),
    ]
    formats = [FTFYFormatter(), PIIFormatter()]
    kept = 0
    for number, text in enumerate(texts):
        document = Document(text=formats[0].format(text), id=str(number))
        kept += all(step.filter(document) is True for step in steps)
        document.text = formats[1].format(document.text)
    return kept


def filters_polars(texts: list[str]) -> int:
    """What a polars expression can say of the rules: replacements, shares of characters, masks without context."""
    import polars

    text = polars.col("text")
    frame = polars.DataFrame({"text": texts})
    replaced = (
        text.str.replace_all(r"[\u200b-\u200f\ufeff\u00ad\x00-\x08]", "")
        .str.replace_all(r"[ \t]+", " ")
        .str.replace_all(r"\n{3,}", "\n\n")
        .str.replace_all(r"ㅋ{3,}", "ㅋㅋ")
        .str.replace_all(r"ㅠ{3,}", "ㅠㅠ")
        .str.replace_all(r"[\w.+-]+@[\w-]+\.[\w.]+", "[EMAIL]")
        .str.replace_all(r"01[016789]-?\d{3,4}-?\d{4}", "[PHONE]")
        .str.replace_all(r"\d{6}-[1-8]\d{6}", "[RRN]")
        .str.replace_all(r"(?:\d{1,3}\.){3}\d{1,3}", "[IP]")
    )
    frame = frame.with_columns(replaced.alias("text"))
    shares = frame.with_columns(
        polars.col("text").str.len_chars().alias("characters"),
        polars.col("text").str.count_matches(r"[가-힣]").alias("hangul"),
        polars.col("text").str.count_matches(r"[A-Za-z]").alias("latin"),
        polars.col("text").str.count_matches(r"\d").alias("digits"),
        polars.col("text").str.count_matches(r"\S+").alias("words"),
        polars.col("text").str.count_matches(r"\n").alias("lines"),
    )
    kept = shares.filter(
        (polars.col("characters") >= 30)
        & (polars.col("digits") <= 0.5 * polars.col("characters"))
        & (polars.col("hangul") + polars.col("latin") > 0)
        & (polars.col("characters") <= 12 * polars.col("words"))
    )
    return len(kept)


FILTERS: dict[str, Callable[[list[str]], int]] = {
    "ours": filters_ours,
    "datatrove": filters_datatrove,
    "polars": filters_polars,
}
