"""The corpus chain on a person's own files, and single blocks of it, from the command line."""

import json
import os
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainers.contract import STAGES, BadData, BadRequest, CorpusDetails, Input, Manifest, Needs, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.digests import tree_digest
from trainers.contract.files import write_atomically
from trainers.contract.layout import Place, remove
from trainers.contract.plain_yaml import read_yaml
from trainers.contract.plugins import check_plugins
from trainers.contract.recipe import CorpusSection
from trainers.contract.recipe.loading import section_dict
from trainers.corpus.gather import gather, local_paths
from trainers.runner.stage import run_stage
from trainers.text.read import files_below, read_blocks
from trainers.text.records import Unusable, rows

_RELEASE = "own-files"
_BATCH = 1000


def make_corpus(inputs: list[str], output: Path, settings: list[str]) -> Manifest:
    """Run the whole chain over files, folders, globs and URLs; `output` becomes the artifact.

    A run that was stopped goes on where it was: its work lies beside the output.

    Raises:
        BadRequest: an input is missing, a plugin lies among them, a setting is wrong, or `output` holds something else.
        ServiceMissing: a bucket cannot be read.
    """
    section = section_of(settings)
    place = Place(output)
    landing = place.partial / "landing"
    remove(landing)  # an earlier call's
    folder = landing / _RELEASE / "corpus"
    gather(inputs, folder)
    request = _request(section, folder)
    check_plugins(section.plugins, request.plugins, local_paths(inputs))  # `landing` holds what they give
    if place.manifest.exists():
        manifest = ArtifactStore(place.partial).read(output)
        if manifest.request_digest != request.digest:
            raise BadRequest(f"{output} holds a corpus of other files or settings; name another folder")
        print(f"{output} is there already, made of the same files with the same settings", flush=True)
        return manifest
    if output.exists() and any(output.iterdir()):
        raise BadRequest(f"{output} is not empty and no corpus; name another folder")
    mark = place.partial / "request.json"
    if mark.exists() and StageRequest.model_validate_json(mark.read_text()).digest != request.digest:
        raise BadRequest(
            f"{place.partial} holds unfinished work on other files or with other settings, which must not be mixed: "
            "remove it, repeat the command that began it, or name another output folder"
        )
    write_atomically(mark, request.model_dump_json())
    store = ArtifactStore(place.partial / "artifacts")
    manifest = run_stage(request, store, landing)
    output.parent.mkdir(parents=True, exist_ok=True)
    store.folder(request).rename(output)
    remove(place.partial)
    print(funnel(manifest.details), flush=True)
    return manifest


def section_of(settings: Iterable[str]) -> CorpusSection:
    """The section of `key=value` settings, e.g. `filter.min_characters=100`, over the defaults."""
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise BadRequest(f"--set {setting!r}: write key=value, e.g. filter.min_characters=100")
        place = values
        *path, last = key.split(".")
        for part in path:
            place = place.setdefault(part, {})
        place[last] = read_yaml(value)
    try:
        return CorpusSection.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadRequest(
            f"--set: {problems}. Keys are those of section corpus in trainers/contract/recipe/data.py"
        ) from error


def funnel(details: Any) -> str:
    """How many documents came in, left for which reason, and stayed, as a table."""
    if not isinstance(details, CorpusDetails):
        raise TypeError(f"no corpus details: {type(details).__name__}")
    steps = [
        ("read", details.read),
        *((f"- {name}", n) for name, n in details.excluded.items()),
        ("kept", details.kept),
    ]
    steps += [("  train", details.train_documents), ("  validation", details.validation_documents)]
    return "\n".join(f"{name:<28}{count:>12,}" for name, count in steps)


def _request(section: CorpusSection, folder: Path) -> StageRequest:
    cores = os.cpu_count() or 1
    needs = section.needs if "needs" in section.model_fields_set else Needs(cpu=cores)
    landed = Input(name="landing", root="landing", path=f"{_RELEASE}/corpus", digest=tree_digest(folder))
    return StageRequest(
        stage="corpus",
        stage_version=STAGES["corpus"].version,
        release=_RELEASE,
        section=section_dict(section),
        plugins=section.plugin_digests,
        inputs=(landed,),
        needs=needs,
    )


Split = Callable[[list[str]], list[list[str]]]


def apply_block(block: str, source: Path, target: Path, section: CorpusSection, split: Split) -> Counter[str]:
    """Apply one block to rows {"id", "text"}; `split` gives one row per sentence, with its number.

    Returns:
        Rows read, rows written, and rows that could not be used, by reason.
    """
    if not source.is_file():
        raise BadRequest(f"--input {source}: there is no such file")
    counts: Counter[str] = Counter()
    with target.open("w", encoding="utf-8") as stream:
        for batch in _batches(source, counts):
            for row in _transformed(block, batch, section, split):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
                counts["written"] += 1
    if counts["read"] and not counts["written"]:
        raise BadData(f"{source}: no usable row ({', '.join(f'{name} {n}' for name, n in counts.items())})")
    return counts


def _batches(source: Path, counts: Counter[str]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for block in read_blocks(files_below(source)):
        for _, _, row in rows(block):
            counts["read"] += 1
            if isinstance(row, Unusable):
                counts[row.args[0]] += 1
            elif not isinstance(row, dict) or not isinstance(row.get("text"), str):
                counts["no_text"] += 1
            else:
                batch.append(row)
            if len(batch) == _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _transformed(
    block: str, batch: list[dict[str, Any]], section: CorpusSection, split: Split
) -> Iterator[dict[str, Any]]:
    from trainers.text.characters import Texts
    from trainers.text.decode import repair_surrogates
    from trainers.text.normalise import normalise
    from trainers.text.personal_data import mask

    strings = [repair_surrogates(row["text"])[0] for row in batch]
    if block == "split":
        for row, sentences in zip(batch, split(strings), strict=True):
            yield from ({**row, "text": sentence, "sentence": number} for number, sentence in enumerate(sentences))
        return
    if block == "normalise":
        texts, _ = normalise(Texts.of(strings), section.normalise)
    else:
        texts, _ = mask(Texts.of(strings), section.mask_addresses, section.name_model)
    yield from ({**row, "text": text} for row, text in zip(batch, texts.strings, strict=True))


def _split_by_rules(texts: list[str]) -> list[list[str]]:
    from trainers.text.sentence_rules import split_by_rules

    return [split_by_rules(text) for text in texts]


def _split_by_kss(cache: Path | None) -> Split:
    from trainers.text.sentences_kss import split

    return partial(split, workers=os.cpu_count() or 1, cache=cache)


def run_corpus(options: Namespace) -> str:
    """`python -m trainers corpus --input ...`; returns the last line to say."""
    if options.output is None:
        raise BadRequest("--input needs --output DIR: where shards, manifest, report and exclusions shall lie")
    make_corpus(options.input, options.output, options.set)
    return f"corpus done: {options.output} (report.html, exclusions.jsonl.zst)"


def run_text(options: Namespace) -> str:
    """`python -m trainers text BLOCK ...`; returns the last line to say."""
    if (options.splitter == "kss" and options.block != "split") or (options.cache and options.splitter != "kss"):
        raise BadRequest("--splitter belongs to split, and --cache to --splitter kss: leave out what has no effect")
    splitter = _split_by_kss(options.cache) if options.splitter == "kss" else _split_by_rules
    counts = apply_block(options.block, options.input, options.output, section_of(options.set), splitter)
    return f"text {options.block} done: " + ", ".join(f"{name} {n}" for name, n in counts.items())
