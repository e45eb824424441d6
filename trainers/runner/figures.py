"""The figures that a training, or a corpus, logs: which its history keeps, and as which series Prometheus sees them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One figure, by the trainer's name for it: in `history.jsonl` or not, and its series with what that means."""

    name: str
    series: str | None = None
    meaning: str = ""
    is_kept: bool = True


FIGURES = (
    Figure("step"),
    Figure("epoch"),
    Figure("loss", "korean_llm_loss", "training loss of the last logged step"),
    Figure("replay_loss", "korean_llm_replay_loss", "loss on the pre-training text beside a later stage's step"),
    Figure("eval_loss", "korean_llm_held_out_loss", "loss on the held-out split"),
    Figure("grad_norm", "korean_llm_gradient_norm", "norm of the gradient before clipping"),
    Figure("learning_rate", "korean_llm_learning_rate", "learning rate of the last logged step"),
    Figure("mean_token_accuracy"),
    Figure("accuracy"),
    Figure("eval_accuracy"),
    Figure("reward"),
    Figure("kl"),
    Figure("completions/mean_length"),
    Figure("rewards/repeated_share/mean"),
    Figure("rewards/reward_model/mean"),
    Figure("rewards/accuracies"),
    Figure("rewards/margins"),
    Figure("eval_rewards/accuracies"),
    Figure("eval_rewards/margins"),
    Figure("tokens"),
    Figure(
        "tokens_seen",
        "korean_llm_tokens_total",
        "tokens seen since the training's first step, over all processes",
        is_kept=False,
    ),
    Figure(
        "tokens_per_second", "korean_llm_tokens_per_second", "tokens seen per second, over all processes", is_kept=False
    ),
    Figure(
        "gpu_memory_bytes",
        "korean_llm_gpu_memory_bytes",
        "GPU memory that torch holds in the leading process; absent without a GPU",
        is_kept=False,
    ),
    Figure("share_done", "korean_llm_share_done", "share of the corpus' present step that is done", is_kept=False),
    Figure("bytes_per_second", "korean_llm_bytes_per_second", "bytes of text cleaned per second", is_kept=False),
)
"""In the order in which a row of the history holds them."""
