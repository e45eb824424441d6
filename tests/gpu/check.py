"""`make gpu-check`: what can only be measured on a GPU, in one command; `--dry` walks through it on a CPU in small.

On seeded random weights of Qwen2.5's shapes: Unsloth against plain TRL + peft (tokens/s, peak memory, loss), MFU
against a matrix product measured in the same run, 50-step losses, merge check, resume check, one DPO and one GRPO
round. It runs on the torch it finds and records each version that differs from the lock. Results are written as JSON
and Markdown under tests/gpu/results/.
"""

import argparse
import importlib.util
import json
import signal
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from tests.trainers.micro import ROOT, Micro
from trainers.planner import Setting, Shape, flops_per_token

RESULTS = Path(__file__).parent / "results"
SHAPES = {
    "0.5b": Shape(896, 24, 14, 2, 4864, 151936, True),
    "1.5b": Shape(1536, 28, 12, 2, 8960, 151936, True),
    "7b": Shape(3584, 28, 28, 4, 18944, 152064, False),
}
DRY_SHAPE = Shape(32, 2, 2, 1, 64, 500, True)
LORA = {"rank": 16, "alpha": 32}
GOLDEN_STEPS = 50


def matmul_flops(size: int) -> float:
    """FLOP/s of a square bfloat16 product, best of five."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def random_model(shape: Shape, tokenizer_of: Path, folder: Path) -> None:
    """Seeded random weights of a Qwen2 shape, with the micro tokenizer (its ids are a part of the vocabulary)."""
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    from trainers.model_folder import copy_side_files

    torch.manual_seed(0)
    config = Qwen2Config(
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        intermediate_size=shape.intermediate,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=4096,
        dtype="bfloat16",
    )
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    model.generation_config = GenerationConfig()
    model.save_pretrained(folder, safe_serialization=True)
    copy_side_files(tokenizer_of, folder)


def compare_backends(micro: Micro, shape: Shape, settings: dict[str, Any], backends: list[str]) -> dict[str, Any]:
    """The same LoRA training by each backend."""
    found: dict[str, Any] = {}
    for backend in backends:
        manifest = micro.run("cpt", **settings, backend=backend, method="lora", lora=LORA)
        found[backend] = {
            "tokens_per_second": manifest.timings["tokens_per_second"],
            "peak_memory_gib": round(manifest.timings.get("peak_gpu_bytes", 0) / 2**30, 2),
            "losses": [round(loss, 4) for _, loss in manifest.details.loss],
            "merge": manifest.details.merge,
        }
    return found


def resume_check(micro: Micro, settings: dict[str, Any]) -> str:
    """SIGTERM in the middle, then on to the end; says what happened."""
    request = micro.request("cpt", **{**settings, "checkpoint_steps": 5}, method="lora", lora=LORA, weight_decay=0.01)
    process = micro.start(request)
    assert process.stdout is not None
    for line in process.stdout:
        if "step 1/" in line:
            process.send_signal(signal.SIGTERM)
            break
    process.communicate()
    stopped = process.returncode
    again = micro.start(request)
    said, _ = again.communicate()
    if stopped != 75 or again.returncode != 0 or "going on from step" not in said:
        raise RuntimeError(f"resume check: exits {stopped} and {again.returncode}: {said[-2000:]}")
    return "stopped with 75, went on and finished"


def differing_versions() -> dict[str, str]:
    """Installed versions that are not the lock's."""
    found = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        name, _, wanted = line.partition("==")
        if wanted and not name.startswith("#"):
            try:
                installed = metadata.version(name)
            except metadata.PackageNotFoundError:
                installed = "not installed"
            if installed != wanted.split(";")[0].strip():
                found[name] = f"{installed} (lock: {wanted})"
    return found


def check(dry: bool, shapes: list[str]) -> dict[str, Any]:
    """Everything, as plain values."""
    backends = ["transformers", *(["unsloth"] if not dry and importlib.util.find_spec("unsloth") else [])]
    peak = matmul_flops(256 if dry else 8192)
    result: dict[str, Any] = {
        "device": "cpu (dry run)" if dry else torch.cuda.get_device_name(),
        "matmul_tflops": round(peak / 1e12, 2),
        "differs_from_lock": differing_versions(),
        "backends": backends,
        "shapes": {},
    }
    length = 64 if dry else 1024
    settings = {
        "batch_size": 2 if dry else 4,
        "max_length": length,
        "max_steps": 6 if dry else GOLDEN_STEPS,
        "learning_rate": 1e-4,
        "checkpoint_steps": 1000,
    }
    with tempfile.TemporaryDirectory() as folder:
        micro = Micro(Path(folder), scale=1 if dry else 200)
        micro.run("base_model")
        tokenizer = micro.folder("base_model") / "model"
        for name in shapes:
            shape = DRY_SHAPE if dry else SHAPES[name]
            source = Path(folder) / f"random-{name}"
            random_model(shape, tokenizer, source)
            micro.run("base_model", source="folder", folder=str(source), architecture=None, vocabulary=None)
            found = compare_backends(micro, shape, settings, backends)
            setting = Setting("lora", 16, 4, 1, length, gpus=1)
            for figures in found.values():
                figures["mfu"] = round(figures["tokens_per_second"] * flops_per_token(shape, setting) / peak, 4)
            result["shapes"][name] = found
        result["resume"] = resume_check(micro, settings)
        micro.run("sft", **{**settings, "max_steps": 4}, lora=LORA)
        result["dpo"] = micro.run("rlhf", **{**settings, "max_steps": 4}, lora=LORA).metrics
        sampling = {"rewards": ["language", "length"], "generations": 2, "completion_length": 16}
        online = {**settings, "max_steps": 2, "algorithm": "grpo", "sampling": sampling, "lora": LORA}
        result["grpo"] = micro.run("rlhf", **online).metrics
    return result


def markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
    lines = [
        f"# GPU check on {result['device']}",
        "",
        f"bfloat16 product: {result['matmul_tflops']} TFLOP/s. Resume: {result['resume']}.",
        "",
        "| shape | backend | tokens/s | peak memory GiB | MFU | first loss | last loss |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in result["shapes"].items():
        for backend, figures in found.items():
            losses = figures["losses"]
            lines.append(
                f"| {name} | {backend} | {figures['tokens_per_second']:,} | {figures['peak_memory_gib']} | "
                f"{figures['mfu']:.1%} | {losses[0]} | {losses[-1]} |"
            )
    lines += ["", "Versions that differ from the lock:", ""]
    lines += [f"- {name}: {versions}" for name, versions in result["differs_from_lock"].items()] or ["- none"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run it and write the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.check", description=__doc__)
    parser.add_argument("--dry", action="store_true", help="on a CPU, in miniature: that the command is complete")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    options = parser.parse_args()
    if not options.dry and not torch.cuda.is_available():
        print("there is no GPU here; --dry walks through the check on a CPU", file=sys.stderr)
        return 69
    result = check(options.dry, options.shapes[:1] if options.dry else options.shapes)
    RESULTS.mkdir(exist_ok=True)
    name = "dry" if options.dry else "gpu"
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1))
    (RESULTS / f"{name}.md").write_text(markdown(result))
    print(markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
