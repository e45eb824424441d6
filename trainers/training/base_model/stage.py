"""The base model: built here, or taken from a folder or from a hub at a pinned commit; and how it reads Korean."""

import json
from pathlib import Path
from typing import Any

from trainers.contract import BadData, BadRequest, BaseModelDetails
from trainers.contract.model_shape import feed_forward_of
from trainers.contract.recipe import BaseSection, ModelShape
from trainers.contract.recipe.training import OWN_TEMPLATE
from trainers.runner.stage import StageContext, StageResult
from trainers.sample.documents import corpus
from trainers.sample.release import GENERATED_BYTES
from trainers.training.base_model.built import build
from trainers.training.base_model.long_context import stretch_positions
from trainers.training.base_model.sources import bring
from trainers.training.base_model.whole_model import text_config_of
from trainers.training.model_facts import settle
from trainers.training.model_folder import ModelFolder
from trainers.training.templates import template_text

_SAMPLE_SEED = 1


def run(context: StageContext) -> StageResult:
    """Make `base_model`."""
    section: BaseSection = context.section
    folder = context.output / "model"
    texts = sample_texts()
    if section.source == "built":
        build(section, context.request.seed, texts, folder)
    else:
        bring(section, folder, context.reporter.say)
    _require_same_files(context, section)
    _set_template(folder, section)
    if section.yarn is not None:
        stretch_positions(folder, section.yarn)
    ModelFolder(folder).refuse_code().check(chat=True)
    facts = settle(folder, context.reporter.say)
    model = ModelFolder(folder)
    config = text_config_of(folder)
    if section.shape is not None:
        _require_shape(section.shape, config)
    fertility = _fertility(folder, texts)
    context.reporter.say(f"{fertility['tokens_per_character']:.3f} tokens per character of Korean")
    return StageResult(
        metrics={"parameters": model.parameters, **fertility},
        details=BaseModelDetails(
            source=section.source if section.source == "built" else str(section.folder or section.repo),
            revision=section.revision,
            architecture=config.architectures[0] if config.architectures else config.model_type,
            parameters=model.parameters,
            vocabulary=config.vocab_size,
            tokenizer_hash=model.tokenizer_hash,
            template_hash=model.template_hash,
            fertility=fertility,
            facts=facts,
        ),
    )


def sample_texts() -> list[str]:
    """The Korean and English texts of the packaged sample, clean and in order."""
    return [document.text for documents in corpus(_SAMPLE_SEED, GENERATED_BYTES).values() for document in documents]


def _require_same_files(context: StageContext, section: BaseSection) -> None:
    if (here := section.local_digests) != context.request.files:
        changed = sorted(key for key in here if here[key] != context.request.files.get(key))
        raise BadData(
            f"base_model's {', '.join(changed)}: the content here is not the one that the request was made for; it "
            "changed meanwhile, or is another one on this machine. Ask again, from where the same files are"
        )


def _require_shape(shape: ModelShape, config: Any) -> None:
    width = config.hidden_size
    actual = {
        "hidden": width,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "kv_heads": getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
        "intermediate": getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * width,
        "vocabulary": config.vocab_size,
        "tied": config.tie_word_embeddings,
    }
    if shape.experts > 1:
        names = ("experts", "active_experts", "intermediate")
        actual |= dict(zip(names, feed_forward_of(config.to_dict()), strict=True))
    if shape.head_dim is not None:
        actual["head_dim"] = getattr(config, "head_dim", None) or width // config.num_attention_heads
    for key, value in actual.items():
        if getattr(shape, key) != value:
            raise BadRequest(
                f"base_model's shape says {key} {getattr(shape, key)}, but the model's config says {value}; correct "
                "the recipe, because plans are made from it"
            )


def _set_template(folder: Path, section: BaseSection) -> None:
    """A packaged one, a file of the user's, or the model's own, wherever that stands."""
    template, path = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    inside = settings.pop("chat_template", None)
    if inside is not None:  # else there would be two, and this one would win
        path.write_text(json.dumps(settings, ensure_ascii=False, indent=2), encoding="utf-8")
    if section.template != OWN_TEMPLATE:
        file = section.local_files.get("template")
        text = file.read_text(encoding="utf-8") if file else template_text(section.template)
        template.write_text(text, encoding="utf-8")
    elif isinstance(inside, str) and not template.is_file():
        template.write_text(inside, encoding="utf-8")


def _fertility(folder: Path, texts: list[str]) -> dict[str, float]:
    """Tokens per character and per space-separated word over the sample's texts (mostly Korean)."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    return {
        "tokens_per_character": round(tokens / sum(map(len, texts)), 6),
        "tokens_per_word": round(tokens / sum(len(text.split()) for text in texts), 6),
    }
