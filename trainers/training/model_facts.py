"""Facts about a model's tokens and shape: settled in the base model's files, read there, carried by manifests."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainers.contract import STAGES, BadRequest, BaseModelDetails, Manifest, ModelFacts, TrainingDetails
from trainers.runner.stage import StageContext
from trainers.training.data.chat import encode
from trainers.training.data.turns import common_start

_PROBE = [{"role": "user", "content": "안녕하세요?"}, {"role": "assistant", "content": "네, 안녕하세요."}]
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "top_h", "epsilon_cutoff", "eta_cutoff")
_PADS = (
    re.compile(r"^(?!.*(image|video|audio)).*pad", re.IGNORECASE),
    re.compile(r"reserved|unused|control|extra", re.IGNORECASE),
    re.compile(r"pad|unk", re.IGNORECASE),
)
"""Names of special tokens that may fill batches, the best first."""
_NEW_PAD = "<|pad|>"
_FACTOR_OF_TOTAL = ("llama3", "longrope", "su", "default", "proportional")
"""Kinds of rope scaling whose `max_position_embeddings` counts the scaling already; for others the factor comes on top
(as in vLLM's ModelConfig)."""

Say = Callable[[str], None]


def parent_of(context: StageContext) -> Manifest:
    """The manifest of the model that a training goes on with."""
    usual = STAGES[context.request.stage].parent
    assert usual is not None, "every stage that trains goes on with a model"
    return context.manifests.get("previous_checkpoint") or context.manifests[usual.asset]


def facts_of(manifest: Manifest, folder: Path) -> ModelFacts:
    """What the base model's stage settled, as the manifest of a model made from it says; `folder` is its model.

    Manifests of 0.2 and before do not say it: there the model's files are asked.
    """
    details = manifest.details
    settled = details.facts if isinstance(details, BaseModelDetails | TrainingDetails) else None
    return settled or facts_in(folder)


def require_room(max_length: int, facts: ModelFacts) -> None:
    """Refuse rows that are longer than the model's positions.

    Raises:
        BadRequest: they are.
    """
    if max_length > facts.context_length:
        raise BadRequest(
            f"max_length {max_length} is above the {facts.context_length} positions of the model; lower the recipe's "
            "key 'max_length', or stretch the positions with base_model's key 'yarn'"
        )


def settle(folder: Path, say: Say) -> ModelFacts:
    """Make tokenizer, template, `config.json` and `generation_config.json` of a model folder agree, and tell the facts.

    What is mended is said in words. Weights are not touched.

    Raises:
        BadRequest: the files contradict each other so that no mending is safe.
    """
    files = _TokenFiles(folder, say)
    files.mend_generation()
    files.mend_eos()
    files.mend_begin()
    files.mend_pad()
    files.write_stops()
    _require_prompt(_tokenizer(folder), folder)
    return facts_in(folder)


def facts_in(folder: Path) -> ModelFacts:
    """The facts, read from a model folder's files.

    Raises:
        BadRequest: they do not settle them; the base model was made before they had to.
    """
    tokenizer, config = _tokenizer(folder), _config(folder)
    if tokenizer.pad_token_id is None or tokenizer.eos_token_id is None:
        raise BadRequest(f"the tokenizer of {folder} names no pad or no eos token; make the base_model asset again")
    before, after = _added(tokenizer)
    end_of_turn = _end_of_turn(tokenizer, folder)
    files = _TokenFiles(folder)
    length = context_length(config)
    window = _sliding_window(config)
    return ModelFacts(
        pad=tokenizer.pad_token_id,
        bos=tokenizer.bos_token_id,
        eos=tokenizer.eos_token_id,
        end_of_turn=end_of_turn,
        stop=tuple(dict.fromkeys((end_of_turn, tokenizer.eos_token_id, *files.stops))),
        added_before=before,
        added_after=after,
        context_length=length,
        sliding_window=window if window is not None and window < length else None,
        logit_scale=_logit_scale(config),
        logit_cap=getattr(config, "final_logit_softcapping", None),
    )


def context_length(config: Any) -> int:
    """Positions of a transformers config, with the rope scaling that it names; what vLLM derives.

    Raises:
        BadRequest: the family has no limit that the config names.
    """
    length = getattr(config, "max_position_embeddings", None)
    if length is None:
        raise BadRequest(f"a model of type {config.model_type!r} names no max_position_embeddings; it is not supported")
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = (
        rope.values() if any(isinstance(value, dict) for value in rope.values()) else [rope]
    )  # one for each layer type
    scalings = [kind for kind in kinds if kind and kind.get("rope_type", "default") not in _FACTOR_OF_TOTAL]
    lengths = [
        (kind.get("original_max_position_embeddings") or length) * (kind.get("factor") or 1) for kind in scalings
    ]
    return int(min(lengths, default=length))


def _sliding_window(config: Any) -> int | None:
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    slides = "sliding_attention" in kinds if kinds else getattr(config, "use_sliding_window", True)
    return int(window) if window and slides else None


def _logit_scale(config: Any) -> float:
    """Granite and HyperCLOVA X divide by logits_scaling; Cohere multiplies by logit_scale."""
    return float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()


def _added(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts before and after a text by itself."""
    whole = tokenizer(_PROBE[0]["content"])["input_ids"]
    bare = tokenizer(_PROBE[0]["content"], add_special_tokens=False)["input_ids"]
    at = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
    return tuple(whole[:at]), tuple(whole[at + len(bare) :])


def _rendered(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Ids of the probe under the chat template, and those of them that the assistant speaks."""
    chat = encode(_PROBE, tokenizer)
    return chat.ids, [token for token, spoken in zip(chat.ids, chat.spoken, strict=True) if spoken]


def _end_of_turn(tokenizer: Any, folder: Path) -> int:
    """The last token that the template gives to the assistant.

    Raises:
        BadRequest: it is no token of its own, so that the model could not learn to stop.
    """
    spoken = _rendered(tokenizer)[1]
    added = tokenizer.added_tokens_decoder
    if not spoken or not (spoken[-1] == tokenizer.eos_token_id or spoken[-1] in added):
        last = tokenizer.decode(spoken[-1:]) if spoken else "nothing"
        raise BadRequest(
            f"the assistant's turn ends in {last!r} under the chat template of {folder}, not in an end-of-turn token; "
            "put that token inside the template's {% generation %} marks, or name the template of the model's own "
            "family with base_model's key 'template'"
        )
    return spoken[-1]


def _require_prompt(tokenizer: Any, folder: Path) -> None:
    """Refuse a template that asks for a reply in another way than it writes one.

    Raises:
        BadRequest: training would not teach what the served model is asked for.
    """
    prompt = tokenizer.decode(encode(_PROBE[:1], tokenizer, add_generation_prompt=True).ids)
    whole = tokenizer.decode(encode(_PROBE, tokenizer).ids)
    if not whole.startswith(prompt):
        at = common_start([prompt, whole])
        raise BadRequest(
            f"the chat template of {folder} asks for a reply with {prompt[at:]!r}, but writes none so: "
            f"{whole[at : at + 40]!r}. Make both alike in a copy of it and name that file with base_model's key "
            "'template', or name a packaged template"
        )


class _TokenFiles:
    """The files of a model folder that name tokens."""

    def __init__(self, folder: Path, say: Say = lambda message: None):
        self._folder = folder
        self._say = say

    @property
    def stops(self) -> list[int]:
        """What the generation settings and the config stop at, in their order."""
        named = [self._read(name).get("eos_token_id") for name in ("generation_config.json", "config.json")]
        lists = [value if isinstance(value, list) else [value] for value in named if value is not None]
        return list(dict.fromkeys(token for values in lists for token in values))

    def mend_generation(self) -> None:
        """transformers refuses to save a model with generation settings that contradict each other."""
        from transformers import GenerationConfig

        settings = self._read("generation_config.json")
        for mended in (
            settings,
            {**settings, "do_sample": True},
            {name: value for name, value in settings.items() if name not in (*_SAMPLING, "do_sample")},
            {name: value for name, value in settings.items() if name.endswith("_token_id")},
        ):
            try:
                GenerationConfig(**mended).validate(strict=True)
                if mended.get("do_sample") and mended.get("temperature") == 0:
                    raise ValueError("`temperature` 0 with `do_sample`: refused when it generates")
            except (ValueError, TypeError) as error:
                reason = str(error).strip().splitlines()[-1]
                continue
            if mended is not settings:
                changed = sorted(name for name in {*settings, *mended} if settings.get(name) != mended.get(name))
                self._say(f"generation_config.json is invalid ({reason}); mended: {', '.join(changed)}")
                self._write("generation_config.json", mended)
            return

    def mend_eos(self) -> None:
        """The tokenizer's eos is what training ends a document with, the config's what generation stops at."""
        tokenizer, stops = _tokenizer(self._folder), self.stops
        eos = tokenizer.eos_token_id
        if eos is not None and (eos in stops or not stops):
            return
        known = [token for token in stops if token in tokenizer.added_tokens_decoder]
        if not known:
            raise BadRequest(
                f"{self._folder}: config.json ends a text with token {stops}, the tokenizer with "
                f"{tokenizer.eos_token!r} ({eos}); one of them is another model's. Mend tokenizer_config.json"
            )
        ends = tokenizer.convert_ids_to_tokens(known[0])
        own = f"ends a text with {tokenizer.eos_token!r}" if tokenizer.eos_token else "names no token for a text's end"
        self._say(f"the tokenizer {own}, config.json {ends!r}: {ends!r} it is")
        self._name_token("eos_token", ends)
        begin = self._read("config.json").get("bos_token_id")
        if eos is None and tokenizer.bos_token_id is None and begin in tokenizer.added_tokens_decoder:
            self._name_token("bos_token", tokenizer.convert_ids_to_tokens(begin))

    def mend_begin(self) -> None:
        """A chat begins as a text does: with what the tokenizer puts there, which no server adds to a rendered chat."""
        tokenizer = _tokenizer(self._folder)
        before, _ = _added(tokenizer)
        if before == (tokenizer.bos_token_id,) and _rendered(tokenizer)[0][0] != tokenizer.bos_token_id:
            self._say(
                f"the chat template does not begin with {tokenizer.bos_token!r}, as the tokenizer does: it does now"
            )
            path = self._folder / "chat_template.jinja"
            path.write_text("{{- bos_token -}}\n" + path.read_text(encoding="utf-8"), encoding="utf-8")

    def mend_pad(self) -> None:
        """A pad that is a label elsewhere would never be learned: its embedding gets no gradient."""
        tokenizer = _tokenizer(self._folder)
        used = {tokenizer.bos_token_id, tokenizer.eos_token_id, *_rendered(tokenizer)[0], *self.stops}
        if tokenizer.pad_token_id is not None and tokenizer.pad_token_id not in used:
            return
        specials = {
            token.content: number for number, token in sorted(tokenizer.added_tokens_decoder.items()) if token.special
        }
        free = [name for name, number in specials.items() if number not in used]
        spare = next((name for pattern in _PADS for name in free if pattern.search(name)), None)
        rows = _config(self._folder).vocab_size
        if spare is None and len(tokenizer) < rows:
            spare = _NEW_PAD
            self._add_token(spare, len(tokenizer))
        spare = spare or next(iter(free), None)
        was = tokenizer.pad_token
        if spare is None:
            spare = tokenizer.pad_token or tokenizer.eos_token
            self._say(f"no token is to spare for padding: {spare!r} fills batches")
        else:
            self._say(f"{'no pad token' if was is None else f'the pad token {was!r} is a label, too'}: {spare!r} it is")
        self._name_token("pad_token", spare)

    def write_stops(self) -> None:
        """The ids into the generation settings and the config."""
        tokenizer = _tokenizer(self._folder)
        end_of_turn = _end_of_turn(tokenizer, self._folder)
        rows = _config(self._folder).vocab_size
        stops = [token for token in dict.fromkeys((end_of_turn, tokenizer.eos_token_id, *self.stops)) if token < rows]
        if end_of_turn not in self.stops:
            self._say(f"a reply ends with {tokenizer.convert_ids_to_tokens(end_of_turn)!r} from now on")
        ids = {
            "eos_token_id": stops if len(stops) > 1 else stops[0],
            "pad_token_id": tokenizer.pad_token_id,
            **({} if tokenizer.bos_token_id is None else {"bos_token_id": tokenizer.bos_token_id}),
        }
        for name in ("generation_config.json", "config.json"):
            self._write(name, {**self._read(name), **ids})

    def _name_token(self, role: str, token: str) -> None:
        self._write("tokenizer_config.json", {**self._read("tokenizer_config.json"), role: token})
        if role in (names := self._read("special_tokens_map.json")):
            self._write("special_tokens_map.json", {**names, role: token})

    def _add_token(self, token: str, number: int) -> None:
        content = self._read("tokenizer.json")
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        content["added_tokens"].append({"id": number, "content": token, **flags, "special": True})
        self._write("tokenizer.json", content)

    def _read(self, name: str) -> dict[str, Any]:
        path = self._folder / name
        if not path.is_file():
            return {}
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content

    def _write(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, ensure_ascii=False, indent=2)
        (self._folder / name).write_text(text + "\n", encoding="utf-8")
