"""What the GPU check found against what is wanted of it, and both as a Markdown page."""

from typing import Any

SPEED, MEMORY, MFU_7B = 2.0, 0.4, 0.45
LOSS_TOLERANCE = 0.02
"""Share by which two losses of one step may differ: bfloat16 sums in another order, adapters begin at other values."""


def verdicts(result: dict[str, Any], golden: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What is wanted, what was found, whether that is enough. `golden` is an earlier result on the same device."""
    rows = [_verdict("resume: losses like the uninterrupted run's", result["resume"]["difference"], LOSS_TOLERANCE)]
    for shape, runs in result["shapes"].items():
        for name, figures in runs.items():
            merge = figures["merge"]
            rows.append(_verdict(f"{shape} {name}: merged = adapter + base, mean KL", merge["mean_kl"], 0.02))
            earlier = (golden or {}).get("shapes", {}).get(shape, {}).get(name)
            if earlier:
                difference = largest_difference(figures["losses"], earlier["losses"])
                rows.append(_verdict(f"{shape} {name}: losses like the golden ones", difference, LOSS_TOLERANCE))
        if {"transformers", "unsloth"} <= runs.keys():
            plain, fast = runs["transformers"], runs["unsloth"]
            losses = largest_difference(fast["losses"], plain["losses"])
            speed = fast["tokens_per_second"] / plain["tokens_per_second"]
            memory = fast["peak_memory_gib"] / plain["peak_memory_gib"]
            rows += [
                _verdict(f"{shape}: unsloth's losses like plain TRL's", losses, LOSS_TOLERANCE),
                _verdict(f"{shape}: unsloth's tokens/s over plain TRL's", speed, SPEED, at_least=True),
                _verdict(f"{shape}: unsloth's peak memory over plain TRL's", memory, MEMORY),
            ]
            if shape == "7b":
                rows.append(_verdict("7b: MFU of unsloth's LoRA", fast["mfu"], MFU_7B, at_least=True))
    return rows


def largest_difference(losses: list[float], others: list[float]) -> float:
    """The largest difference of two loss curves at one step, as a share of the loss."""
    return max(abs(a - b) / abs(b) for a, b in zip(losses, others, strict=True))


def _verdict(what: str, value: float, wanted: float, at_least: bool = False) -> dict[str, Any]:
    met = value >= wanted if at_least else value <= wanted
    return {"what": what, "found": round(value, 4), "wanted": f"{'>=' if at_least else '<='} {wanted}", "met": met}


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    lines = [
        f"# GPU check on {result['device']}",
        "",
        f"{result['seconds']} s. bfloat16 matrix product: {result['matmul_tflops']} TFLOP/s.",
        "MFU: the model's own arithmetic (a frozen weight has no gradient); HFU: with what is computed again.",
        "",
        "| shape | backend | attention | tokens/s | peak memory GiB | MFU | HFU | first loss | last loss |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in result["shapes"].items():
        for backend, figures in runs.items():
            losses = figures["losses"]
            lines.append(
                f"| {name} | {backend} | {figures['kernels']['attention']} | {figures['tokens_per_second']:,} | "
                f"{figures['peak_memory_gib']} | {figures['mfu']:.1%} | {figures['hfu']:.1%} | "
                f"{losses[0]} | {losses[-1]} |"
            )
    lines += ["", "| wanted | | found | met |", "|---|---|---|---|"]
    lines += [
        f"| {row['what']} | {row['wanted']} | {row['found']} | {'yes' if row['met'] else '**no**'} |"
        for row in result["verdicts"]
    ]
    lines += ["", f"Resume: {result['resume']['said']}.", "", f"DPO: {result['dpo']}", "", f"GRPO: {result['grpo']}"]
    lines += ["", "Left out:", "", *([f"- {what}" for what in result["left_out"]] or ["- nothing"])]
    lines += ["", "Versions that differ from the lock:", ""]
    lines += [f"- {name}: {versions}" for name, versions in result["differs_from_lock"].items()] or ["- none"]
    return "\n".join(lines) + "\n"
