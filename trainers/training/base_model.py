"""The base model: built here, or taken from a folder or from a hub at a pinned commit; and how it reads Korean."""

import json
import shutil
from pathlib import Path
from typing import Any

from trainers.contract import BadData, BadRequest, BaseModelDetails, ServiceMissing
from trainers.contract.recipe import BaseSection, ModelShape
from trainers.runner.stage import StageContext, StageResult
from trainers.sample.documents import corpus
from trainers.sample.release import GENERATED_BYTES
from trainers.training.model_folder import ModelFolder
from trainers.training.templates import template_text

_END_OF_TEXT, _TURN, _END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2's tokenizer splits text before byte-pair encoding."""

_SAMPLE_SEED = 1
_INITIAL_SPREAD = 0.02
_FETCHED = ("*.safetensors", "*.json", "*.jinja", "merges.txt", "tokenizer.model")


def run(context: StageContext) -> StageResult:
    """Make `base_model`."""
    section: BaseSection = context.section
    folder = context.output / "model"
    texts = sample_texts()
    if section.source == "built":
        _build(section, context.request.seed, texts, folder)
    elif section.source == "folder":
        _take(Path(str(section.folder)), folder)
    else:
        _fetch(str(section.repo), str(section.revision), folder)
    _set_template(folder, section.template)
    model = ModelFolder(folder).check(chat=True)
    if section.shape is not None:
        _require_shape(section.shape, model)
    fertility = _fertility(folder, texts)
    context.reporter.say(f"{fertility['tokens_per_character']:.3f} tokens per character of Korean")
    return StageResult(
        metrics={"parameters": model.parameters, **fertility},
        details=BaseModelDetails(
            source=section.source if section.source == "built" else str(section.folder or section.repo),
            revision=section.revision,
            architecture=model.config["architectures"][0],
            parameters=model.parameters,
            vocabulary=int(model.config["vocab_size"]),
            tokenizer_hash=model.tokenizer_hash,
            template_hash=model.template_hash,
            fertility=fertility,
        ),
    )


def sample_texts() -> list[str]:
    """The Korean and English texts of the packaged sample, clean and in order."""
    return [document.text for documents in corpus(_SAMPLE_SEED, GENERATED_BYTES).values() for document in documents]


def _build(section: BaseSection, seed: int, texts: list[str], folder: Path) -> None:
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM, set_seed

    shape = section.architecture
    assert shape is not None  # the section's own check
    tokenizer = _train_tokenizer(texts, int(section.vocabulary or 0))
    end_of_text, end_of_turn = tokenizer.convert_tokens_to_ids([_END_OF_TEXT, _END_OF_TURN])
    set_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.hidden_size // shape.heads,
            intermediate_size=shape.intermediate_size,
            max_position_embeddings=shape.max_length,
            tie_word_embeddings=True,
            initializer_range=_INITIAL_SPREAD,
            eos_token_id=end_of_text,
            pad_token_id=end_of_text,
            dtype="float32",
        )
    )
    model.generation_config = GenerationConfig(eos_token_id=[end_of_turn, end_of_text], pad_token_id=end_of_text)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def _train_tokenizer(texts: list[str], vocabulary: int) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = [_END_OF_TEXT, _TURN, _END_OF_TURN]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if tokenizer.get_vocab_size() != vocabulary:
        raise BadRequest(
            f"vocabulary: {vocabulary} tokens were asked for, but the sample text gives only "
            f"{tokenizer.get_vocab_size()}; lower the key"
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=_END_OF_TEXT,
        pad_token=_END_OF_TEXT,
        additional_special_tokens=[_TURN, _END_OF_TURN],
        clean_up_tokenization_spaces=False,
    )


def _take(source: Path, folder: Path) -> None:
    if not source.is_dir():
        raise BadData(f"base_model's key 'folder' names {source}, which is no folder")
    ModelFolder(source).check()
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in _FETCHED:
        for path in source.glob(pattern):
            shutil.copyfile(path, folder / path.name)


def _fetch(repo: str, revision: str, folder: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(repo, revision=revision, allow_patterns=list(_FETCHED), local_dir=folder)
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ServiceMissing(f"the hub does not give {repo} at {revision}: {error}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub client's notes carry times


def _require_shape(shape: ModelShape, model: ModelFolder) -> None:
    keys = {
        "hidden": "hidden_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "kv_heads": "num_key_value_heads",
        "intermediate": "intermediate_size",
        "vocabulary": "vocab_size",
        "tied": "tie_word_embeddings",
    }
    for key, name in keys.items():
        if getattr(shape, key) != model.config.get(name, False):
            raise BadRequest(
                f"base_model's shape says {key} {getattr(shape, key)}, but the model's config.json has {name} "
                f"{model.config.get(name)}; correct the recipe, because plans are made from it"
            )


def _set_template(folder: Path, name: str) -> None:
    (folder / "chat_template.jinja").write_text(template_text(name), encoding="utf-8")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    if settings.pop("chat_template", None) is not None:  # else there would be two, and this one would win
        path.write_text(json.dumps(settings, ensure_ascii=False, indent=2), encoding="utf-8")


def _fertility(folder: Path, texts: list[str]) -> dict[str, float]:
    """Tokens per character and per space-separated word over the sample's texts (mostly Korean)."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    return {
        "tokens_per_character": round(tokens / sum(map(len, texts)), 6),
        "tokens_per_word": round(tokens / sum(len(text.split()) for text in texts), 6),
    }
