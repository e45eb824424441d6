"""Recipe section of RLHF: one key chooses the algorithm; keys that it would ignore are refused."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainers.contract.plugins import PluginName
from trainers.contract.recipe.section import Strict, one_of
from trainers.contract.recipe.training import ReplaySettings, TrainingSection

ALGORITHMS = {"dpo": False, "kto": False, "orpo": False, "reward_model": False, "grpo": True, "rloo": True}
"""Whether an algorithm samples answers, by name; what each is made of: trainers/training/alignment/algorithms.py."""
REWARDS = ("language", "honorific", "format", "length", "arithmetic", "forbidden_words", "repetition")
"""How each rates an answer: trainers/training/alignment/rewards.py."""
Algorithm = Annotated[str, one_of(ALGORITHMS)]
RewardName = Annotated[str, one_of(REWARDS)]


class SamplingSettings(Strict):
    """grpo, rloo, or your own: the model answers, and verifiable rules or a trained reward model rate the answers."""

    rewards: tuple[RewardName, ...] = Field(
        default=(),
        description=f"each 0 to 1, added up: {', '.join(REWARDS)}, or your own, module:function of question and answer",
    )
    reward_model: str | None = Field(
        default=None,
        description="the recipe whose rlhf stage (algorithm: reward_model) trained it, on the same release; "
        "its score, brought to 0 to 1, is added to the rewards",
    )
    generations: int = Field(default=4, ge=2, description="answers to each prompt")
    completion_length: int = Field(default=64, ge=1, description="tokens of an answer, at most")
    temperature: float = Field(default=1.0, gt=0, description="of sampling; lower is closer to the likeliest answer")
    vllm: Literal["colocate", "server"] | None = Field(
        default=None,
        description="a vLLM answers in place of the model that learns, much faster, with its weights of each step: "
        "colocate, on the training's own GPUs; server, a `trl vllm-serve` on others (KOREAN_LLM_ROLLOUT_SERVER)",
    )
    length_band: tuple[int, int] = Field(default=(5, 200), description="characters of an answer that `length` likes")
    forbidden_words: tuple[str, ...] = Field(default=(), description="words that `forbidden_words` punishes")

    @model_validator(mode="after")
    def _something_judges(self) -> "SamplingSettings":
        if not self.rewards and self.reward_model is None:
            raise ValueError("sampling needs the key 'rewards', or 'reward_model', or both")
        return self


class StopRules(Strict):
    """A model that games its reward grows longer, repeats itself or runs away from where it began."""

    kl: float | None = Field(default=None, gt=0, description="KL divergence to the reference (nats per token), at most")
    length_growth: float | None = Field(default=None, gt=1, description="mean answer length over its first value")
    repetition: float | None = Field(
        default=None, gt=0, le=1, description="share of an answer that repeats itself, at most"
    )


class RlhfSection(TrainingSection):
    """Learning from preferences, or from rewards that can be verified."""

    algorithm: Algorithm = Field(
        default="dpo",
        description=f"{', '.join(ALGORITHMS)}, or your own, module:function of the section and the backend",
    )
    max_too_long_share: float = Field(default=0.05, ge=0, le=1, description="pairs left out as too long")
    beta: float = Field(
        default=0.1,
        ge=0,
        description="dpo, kto: inverse temperature (Rafailov et al. 2023); orpo: weight of the odds ratio; "
        "grpo, rloo: weight of the KL divergence",
    )
    loss: Literal["sigmoid", "ipo", "hinge", "robust", "apo_zero", "apo_down"] = Field(
        default="sigmoid",
        description="dpo only: sigmoid (Rafailov et al. 2023), ipo (Azar et al. 2023), hinge (Zhao et al. 2023), "
        "robust (Chowdhury et al. 2024), apo (D'Oosterlinck et al. 2024)",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=0.5, description="robust only: share of pairs that are the wrong way round"
    )
    rpo_alpha: float | None = Field(
        default=None, gt=0, description="dpo only: weight of the chosen answer's own loss beside it (Pang et al. 2024)"
    )
    replay: ReplaySettings | None = Field(default=None, description="pre-training text beside the pairs or prompts")
    sampling: SamplingSettings | None = Field(default=None, description="grpo, rloo or your own only")
    stop: StopRules | None = Field(default=None, description="with sampling only: when to stop before the end")

    @property
    def against_unsloth(self) -> str | None:
        """See TrainingSection."""
        if self.algorithm == "reward_model":
            return "algorithm: reward_model"
        if self.sampling is not None and self.sampling.vllm is not None:
            return "sampling.vllm, which unsloth would leave out"
        return super().against_unsloth

    @model_validator(mode="after")
    def _sampling_is_for_online_algorithms(self) -> "RlhfSection":
        is_plugin = isinstance(self.algorithm, PluginName)  # whether it samples is said by the key `sampling`
        online = self.sampling is not None if is_plugin else ALGORITHMS[self.algorithm]
        if online and self.sampling is None:
            raise ValueError(f"algorithm: {self.algorithm} needs the key 'sampling' (rewards, generations, ...)")
        if self.lora is not None and self.lora.initial == "pissa" and self.algorithm != "orpo":
            raise ValueError(
                f"algorithm: {self.algorithm} compares with the base without adapters, which the key 'lora.initial' "
                "changes; remove it"
            )
        if self.liger:
            raise ValueError("liger: true is for cpt and sft; no algorithm of rlhf takes it, remove it")
        if self.context_parallel > 1:
            raise ValueError("context_parallel is for cpt and sft; no algorithm of rlhf takes it, remove it")
        for key in ("loss", "label_smoothing", "rpo_alpha"):
            if self.algorithm != "dpo" and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"algorithm: {self.algorithm} would ignore the key {key!r}; remove it")
        if (self.loss == "robust") != bool(self.label_smoothing):
            raise ValueError("loss: robust needs the key 'label_smoothing', and no other loss reads it")
        for key in ("evaluation_steps", "patience", "keep"):
            if online and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"algorithm: {self.algorithm} has no held-out loss; remove the key {key!r}")
        for key in ("sampling", "stop"):
            if not online and getattr(self, key) is not None:
                raise ValueError(f"algorithm: {self.algorithm} would ignore the key {key!r}; remove it")
        if self.backend == "unsloth" and self.sampling is not None and self.sampling.vllm is not None:
            raise ValueError("backend: unsloth answers in its own way, and would ignore the key 'sampling.vllm'")
        if self.algorithm == "reward_model" and self.replay is not None:
            raise ValueError("algorithm: reward_model predicts no text, and would ignore the key 'replay'; remove it")
        if self.algorithm == "kto" and self.batch_size == 1:
            raise ValueError("algorithm: kto estimates its reference from a micro-batch; batch_size must be 2 or more")
        if self.sampling is not None and (self.batch_size * self.accumulation) % self.sampling.generations:
            raise ValueError(
                f"batch_size x accumulation = {self.batch_size * self.accumulation} answers a step must be a multiple "
                f"of sampling.generations {self.sampling.generations}"
            )
        return self
