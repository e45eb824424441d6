"""A text model made anew from weights that are no plain safetensors: GGUF, pickles, multi-modal wrappers, adapters."""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.contract import BadData, BadRequest

_BROKEN = (OSError, ValueError, KeyError, RuntimeError, pickle.UnpicklingError)


@dataclass(frozen=True)
class Origin:
    """A place that weights come from."""

    folder: Path
    gguf: str | None = None

    @classmethod
    def at(cls, place: Path) -> "Origin":
        """A GGUF file, a folder with one, or a model folder.

        Raises:
            BadData: there is nothing, or several GGUF files and nothing else.
        """
        if place.suffix == ".gguf" and place.is_file():
            return cls(place.parent, place.name)
        if not place.is_dir():
            raise BadData(f"base_model's key 'folder' names {place}, which is no folder and no .gguf file")
        files = sorted(path.name for path in place.glob("*.gguf"))
        if not files or any(place.glob("*.safetensors")):
            return cls(place)
        if len(files) > 1:
            raise BadData(f"{place} holds {len(files)} GGUF files; name one of them: {', '.join(files)}")
        return cls(place, files[0])

    @property
    def is_plain(self) -> bool:
        """True for safetensors of a text model: they can be copied as they are."""
        from transformers import AutoConfig

        if self.gguf is not None or not any(self.folder.glob("*.safetensors")):
            return False
        config = AutoConfig.from_pretrained(self.folder, local_files_only=True)
        return config.get_text_config() is config and (self.folder / "tokenizer.json").is_file()

    @property
    def description(self) -> str:
        """In words."""
        if self.gguf is not None:
            return f"{self.gguf}, dequantised to float32"
        return f"{self.folder} ({json.loads((self.folder / 'config.json').read_text())['model_type']})"


def text_config_of(folder: Path) -> Any:
    """The transformers config of a folder's text model.

    Raises:
        BadRequest: transformers has no such model, or it is none that writes text.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, __version__

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
    except ValueError as error:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        raise BadRequest(
            f"transformers {__version__} has no model of type {kind!r} ({folder}), and code that comes with a model is "
            "never run here; take a version of the model in transformers' own form"
        ) from error
    if type(config) not in AutoModelForCausalLM._model_mapping:
        raise BadRequest(f"a model of type {config.model_type!r} ({folder}) does not write text from left to right")
    return config


def remake(origin: Origin, adapter: Path | None, folder: Path) -> None:
    """Load the model, merge the adapter, and save both model and tokenizer into `folder`.

    Raises:
        BadData: it cannot be loaded, or the adapter does not fit.
    """
    from transformers import AutoTokenizer, GenerationConfig

    file = {"gguf_file": origin.gguf} if origin.gguf else {}
    try:
        model = _from_gguf(origin) if origin.gguf else _text_model(origin.folder)
        if adapter is not None:
            model = _merged(model, adapter)
        if origin.gguf is None:
            model.generation_config = GenerationConfig()  # the folder's own may be invalid; it is settled with the rest
        model.save_pretrained(folder, safe_serialization=True)
        tokenizer = AutoTokenizer.from_pretrained(origin.folder, local_files_only=True, **file)
        if origin.gguf:
            name_controls(tokenizer, origin.folder / origin.gguf)
        tokenizer.save_pretrained(folder)
    except _BROKEN as error:
        raise BadData(
            f"{origin.folder / (origin.gguf or '')} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _from_gguf(origin: Origin) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(origin.folder, gguf_file=origin.gguf, dtype=torch.float32)
    # transformers dequantises, but goes on calling the model quantised and refuses to save it.
    model.hf_quantizer, model.is_quantized = None, False
    del model.config.quantization_config
    return model


def name_controls(tokenizer: Any, path: Path) -> None:
    """Tell a tokenizer which of its tokens its GGUF file calls control tokens: of some vocabularies (Gemma's, Qwen's)
    transformers takes them, or some, for plain text."""
    from gguf import GGUFReader, TokenType
    from tokenizers import AddedToken

    fields = GGUFReader(path).fields
    texts, kinds = fields["tokenizer.ggml.tokens"], fields.get("tokenizer.ggml.token_type")
    places = [n for n, at in enumerate(kinds.data) if kinds.parts[at][0] == TokenType.CONTROL] if kinds else []
    controls = (bytes(texts.parts[texts.data[place]]).decode("utf-8") for place in places)
    known = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    new = [AddedToken(text, special=True, normalized=False) for text in controls if text not in known]
    tokenizer.add_tokens(new, special_tokens=True)


def _text_model(folder: Path) -> Any:
    """A model by itself, or the text part of a multi-modal one."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    text = config.get_text_config()
    if text is config:
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    if type(config) not in AutoModelForImageTextToText._model_mapping:
        raise BadRequest(f"the text part of a {config.model_type!r} model cannot be taken out; name a text model")
    wrapper = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True)
    text.dtype = wrapper.dtype
    model = AutoModelForCausalLM.from_config(text, dtype=wrapper.dtype)
    model.base_model.load_state_dict(wrapper.get_decoder().state_dict())
    model.get_output_embeddings().load_state_dict(wrapper.get_output_embeddings().state_dict())
    return model


def _merged(model: Any, adapter: Path) -> Any:
    from peft import PeftModel, load_peft_weights

    adapted = PeftModel.from_pretrained(model, adapter)
    own = {name.replace(".default", "") for name in adapted.state_dict()}
    if strange := sorted(load_peft_weights(str(adapter), device="cpu").keys() - own):
        raise ValueError(f"the adapter in {adapter} has weights for {strange[0]}, which the model has not")
    return adapted.merge_and_unload()
