"""Small real models with random weights, and a whole lineage of artifacts made of them, for tests."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from tests.support.lm_eval_tasks import local_task
from trainers.contract import (
    STAGES,
    Artifact,
    BaseModelDetails,
    BenchmarkDetails,
    CorpusDetails,
    Details,
    Input,
    Manifest,
    StageRequest,
    TrainingDetails,
)
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.digests import file_sha256

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}{% else %}"
    "{{ message.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = ("나무", "바다", "하늘", "구름", "사람", "학교", "음식", "노래", "겨울", "여름", "도시", "시골", "책상", "의자")

STORY = "가을 저녁이면 할머니는 마루 끝에 앉아 감을 깎으시며 옛날 바닷가 마을에서 지내던 이야기를 들려주셨다."
"""The one document of the corpus that is long enough to be found in a benchmark."""


def sentences(count: int, seed: int) -> list[str]:
    source = random.Random(seed)
    return [f"{' '.join(source.choices(WORDS, k=8))}입니다." for _ in range(count)]


def train_tokenizer(texts: list[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer with the chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def build_model(folder: Path, seed: int, broken: bool = False, positions: int = 256, head_dim: int = 16) -> Path:
    """A Qwen3-shaped model of a few thousand weights, and a tokenizer trained on `sentences`."""
    import torch
    from transformers import Qwen3ForCausalLM

    from tests.support.small_model import small_config

    tokenizer = train_tokenizer(sentences(200, seed=0), vocabulary=400)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = small_config(
        len(tokenizer), positions, head_dim, tie_word_embeddings=True, eos_token_id=tokenizer.eos_token_id
    )
    model = Qwen3ForCausalLM(config)
    if broken:
        model.model.norm.weight.data.fill_(float("nan"))
    model.save_pretrained(folder)
    return folder


def commit(
    store: ArtifactStore,
    stage: str,
    details: Details,
    write: Callable[[Path], None],
    inputs: tuple[Artifact, ...] = (),
    model: str = "toy",
) -> Artifact:
    """Commit an artifact as a stage would."""
    kind = STAGES[stage]
    request = StageRequest(
        stage=stage,
        stage_version=1,
        model=model if kind.by_model else None,
        release="r1" if kind.by_release else None,
        inputs=tuple(pointer(item) for item in inputs),
    )
    with store.workspace(request) as workspace:
        workspace.begin_attempt()
        write(workspace.output)
        files = workspace.records(workspace.output)
        manifest = Manifest(request=request, request_digest=request.digest, files=files, metrics={}, details=details)
        artifact = workspace.commit(manifest)
    store.discard_partial(request)
    return artifact


def pointer(artifact: Artifact, name: str | None = None) -> Input:
    return Input(name=name or STAGES[artifact.stage].asset, digest=artifact.digest, path=artifact.path)


def write_suites(folder: Path, suites: dict[str, tuple[str, list[dict[str, Any]]]]) -> None:
    index = {}
    for name, (form, rows) in suites.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        index[name] = {"format": form, "items": len(rows), "sha256": file_sha256(path)}
    (folder / "suites.json").write_text(json.dumps(index))


def sample_suites() -> dict[str, tuple[str, list[dict[str, Any]]]]:
    user = [{"role": "user", "content": "나무 다음은?"}]
    texts = sentences(40, seed=3)
    return {
        "choice": (
            "multiple_choice",
            [
                {"id": f"c{i}", "question": text, "choices": ["바다", "하늘 구름"], "answer": i % 2}
                for i, text in enumerate(texts[:20])
            ],
        ),
        "instruct": (
            "instruction",
            [
                {"id": "i0", "messages": user, "answer": "바다", "choices": ["바다", "하늘"], "task": "next"},
                {"id": "i1", "messages": user, "answer": "하늘", "choices": ["바다", "하늘"], "task": "next"},
                {"id": "i2", "messages": user, "answer": "바다", "task": "free"},
            ],
        ),
        "follow": (
            "instruction",
            [
                {"id": "v0", "messages": user, "checks": [{"kind": "max_characters", "value": 9999}], "task": "form"},
                {"id": "v1", "messages": user, "checks": [{"kind": "ends_with", "value": "입니다."}], "task": "form"},
            ],
        ),
        "prefer": (
            "preference",
            [
                {
                    "id": f"p{i}",
                    "prompt": user,
                    "chosen": [{"role": "assistant", "content": text}],
                    "rejected": [{"role": "assistant", "content": text[::-1]}],
                }
                for i, text in enumerate(texts[20:30])
            ],
        ),
        "held": (
            "text",
            [
                {"id": f"t{i}", "text": text, "domain": "en" if i % 2 else "ko-news"}
                for i, text in enumerate(texts[30:])
            ],
        ),
    }


def _write_benchmarks(folder: Path, suites: dict[str, tuple[str, list[dict[str, Any]]]], lm_eval_task: str) -> None:
    write_suites(folder, suites)
    if lm_eval_task:
        (folder / "lm_eval").mkdir()
        (folder / "lm_eval" / "items.jsonl").write_bytes((folder / "choice.jsonl").read_bytes())
        described = local_task(lm_eval_task, Path("items.jsonl"))
        (folder / "lm_eval" / "task.yaml").write_text(json.dumps(described))


def write_corpus(folder: Path) -> None:
    for split, count in (("train", 60), ("validation", 12)):
        (folder / split).mkdir(parents=True)
        rows = [
            {"id": f"{split}{i}", "text": text, "source": "test", "licence": "CC0-1.0", "url": "", "language": "ko"}
            for i, text in enumerate(
                [*sentences(count, seed=5), STORY] if split == "train" else sentences(count, seed=6)
            )
        ]
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        (folder / split / "00000.jsonl.zst").write_bytes(zstandard.compress(data))


@dataclass
class Lineage:
    """Committed artifacts by asset, and the requests that can be made of them."""

    store: ArtifactStore
    artifacts: dict[str, Artifact]

    def evaluate(self, champion: Artifact | None = None, **section: Any) -> StageRequest:
        names = ("base_model", "cpt_checkpoint", "sft_model", "rlhf_model", "benchmarks", "corpus")
        inputs = [pointer(self.artifacts[name]) for name in names]
        if champion:
            inputs.append(pointer(champion, "champion"))
        section = {"batch_tokens": 2048, "samples": 2, "sample_tokens": 4, **section}
        return StageRequest(
            stage="evaluate", stage_version=1, model="toy", release="r1", section=section, inputs=tuple(inputs)
        )

    def export(self, report: Artifact, **section: Any) -> StageRequest:
        inputs = (pointer(self.artifacts["rlhf_model"]), pointer(report))
        return StageRequest(stage="export", stage_version=1, model="toy", release="r1", section=section, inputs=inputs)


def build_lineage(
    root: Path,
    suites: dict | None = None,
    template_of_sft: str = TEMPLATE,
    nan_in_rlhf: bool = False,
    lm_eval_task: str = "",
    adapter_of: str = "",
    new_tokens: int = 0,
) -> Lineage:
    """All that `evaluate` reads: four models of different random weights, benchmarks, corpus.

    `adapter_of`: RLHF's adapter stands beside its model, as `method: lora` leaves it, and names that asset as its base.
    `new_tokens`: CPT adds so many to the vocabulary.
    """
    store = ArtifactStore(root)
    artifacts: dict[str, Artifact] = {}
    counts = {"read": 80, "kept": 72, "train_documents": 60, "validation_documents": 12}
    sizes = {"characters": 1000, "bytes": 2500, "words": 300}
    corpus = CorpusDetails(
        **counts, **sizes, excluded={"duplicate": 8}, by_source={"a": 72}, by_licence={"CC0-1.0": 72}
    )
    benchmarks = BenchmarkDetails(suites={"choice": 20})
    artifacts["benchmarks"] = commit(
        store,
        "benchmarks",
        benchmarks,
        lambda folder: _write_benchmarks(folder, suites or sample_suites(), lm_eval_task),
    )
    artifacts["corpus"] = commit(store, "corpus", corpus, write_corpus)
    template_hash = hashlib.sha256(TEMPLATE.encode()).hexdigest()
    base = BaseModelDetails(
        source="built", architecture="qwen3", parameters=30_000, vocabulary=400, tokenizer_hash="0" * 64
    )
    artifacts["base_model"] = commit(store, "base_model", base, lambda folder: _write_model(folder, 0))
    parents = {"cpt": ("base_model", "corpus"), "sft": ("cpt_checkpoint",), "rlhf": ("sft_model",)}
    for seed, (stage, names) in enumerate(parents.items(), start=1):
        details = TrainingDetails(
            method="lora",
            backend="transformers",
            steps=2,
            epochs=1,
            tokens_seen=100,
            tokens_trained=90,
            trainable_parameters=10,
            tokenizer_hash="0" * 64,
            template_hash=template_hash,
            loss=[(1, 6.0), (2, 5.5)],
            merge={"mean_kl": 1e-6},
        )
        template = template_of_sft if stage == "sft" else TEMPLATE
        broken = nan_in_rlhf and stage == "rlhf"
        inputs = tuple(artifacts[name] for name in names)
        adapts = artifacts[adapter_of].digest if adapter_of and stage == "rlhf" else None

        def write(folder: Path, s=seed, t=template, b=broken, a=adapts) -> None:
            _write_model(folder, s, t, b)
            if new_tokens:
                _expand(folder / "model", new_tokens)
            if a:
                _write_adapter(folder / "adapter", folder / "model", a)

        artifacts[STAGES[stage].asset] = commit(store, stage, details, write, inputs)
    return Lineage(store, artifacts)


def _write_model(folder: Path, seed: int, template: str = TEMPLATE, broken: bool = False) -> None:
    build_model(folder / "model", seed, broken)
    (folder / "model" / "chat_template.jinja").write_text(template)


def _expand(folder: Path, tokens: int) -> None:
    from trainers.training.model_folder import ModelFolder
    from trainers.training.vocabulary_expansion import expand

    base = folder.rename(folder.with_name("before"))
    expand(ModelFolder(base), [STORY] * 2, tokens, folder)
    shutil.rmtree(base)


def _write_adapter(folder: Path, model: Path, base: str) -> None:
    """A LoRA adapter of random weights that says it belongs on the base with this digest."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), settings).save_pretrained(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": base}))


def teach(folder: Path, steps: int = 120) -> Path:
    """Train a model folder's model on Korean conversations until it answers with Korean words."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    talks = [
        [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
        for ask, answer in zip(sentences(16, seed=11), sentences(16, seed=12), strict=True)
    ]
    texts = [tokenizer.apply_chat_template(talk, tokenize=False) for talk in talks]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    return folder
