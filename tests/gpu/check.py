"""`make gpu-check`: what can only be measured on a GPU, in one command; `--dry` walks through it on a CPU in small.

On seeded random weights of Qwen2.5's shapes: Unsloth against plain TRL + peft (tokens/s, peak memory, loss), MFU
against a matrix product measured in the same run, 50-step losses (the last result's are golden), merge check, resume
check, one DPO and one GRPO round. It runs on the torch it finds and records each version that differs from the lock;
what the minutes are too few for is named as left out. Results are written as JSON and Markdown.
"""

import argparse
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from packaging.requirements import Requirement

from tests.gpu.report import largest_difference, markdown, verdicts
from tests.support.micro import ROOT, Micro
from trainers.contract import ExitCode
from trainers.contract.memory import Setting
from trainers.contract.model_shape import Shape
from trainers.contract.planner import flops_per_token

RESULTS = Path(__file__).parent / "results"
SHAPES = {
    "0.5b": Shape(896, 24, 14, 2, 4864, 151936, True),
    "7b": Shape(3584, 28, 28, 4, 18944, 152064, False),
    "1.5b": Shape(1536, 28, 12, 2, 8960, 151936, True),
}
"""In the order of the checks; the first one also resumes, and goes through SFT, DPO and GRPO."""

DRY_SHAPE = Shape(32, 2, 2, 1, 64, 500, True)
LORA = {"rank": 16, "alpha": 32}
GOLDEN_STEPS = 50


class Clock:
    """The minutes that are left."""

    def __init__(self, minutes: float):
        self._began, self._minutes = time.monotonic(), minutes

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds that are left; at least one, for those who wait."""
        return max(1.0, self._minutes * 60 - self.seconds)


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

    from trainers.training.model_folder import copy_side_files

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


def settings_of(dry: bool, shape: Shape) -> dict[str, Any]:
    """The training that is compared. Small models get larger batches, so that the GPU and not Python is measured."""
    return {
        "method": "lora",
        "lora": LORA,
        "batch_size": 2 if dry else 4 if shape.hidden > 2000 else 8,
        "max_length": 64 if dry else 1024 if shape.hidden > 2000 else 2048,
        "max_steps": GOLDEN_STEPS,
        "learning_rate": 1e-4,
        "checkpoint_steps": 1000,
        "precision": "float32" if dry else "bfloat16",
    }


def compare_backends(
    micro: Micro, shape: Shape, settings: dict[str, Any], backends: list[str], peak: float, clock: Clock
) -> dict[str, Any]:
    """The same LoRA training by each backend; `peak` is the matrix product's FLOP/s."""
    length, rows = settings["max_length"], settings["batch_size"]
    setting = Setting("lora", LORA["rank"], rows, 1, length, gpus=1)
    figures: dict[str, Any] = {}
    for backend in backends:
        manifest = micro.run("cpt", timeout=clock.left, **settings, backend=backend)
        # The usual step: what compiles and warms up in the first ones is no part of a week's training.
        speed = manifest.metrics["tokens"] / manifest.metrics["steps"] / manifest.timings["step_seconds"]
        figures[backend] = {
            "tokens_per_second": round(speed, 1),
            "peak_memory_gib": round(manifest.timings.get("peak_gpu_bytes", 0) / 2**30, 2),
            "mfu": round(speed * flops_per_token(shape, setting, recomputing=False) / peak, 4),
            "hfu": round(speed * flops_per_token(shape, setting) / peak, 4),
            "losses": [round(loss, 4) for _, loss in manifest.details.loss],
            "merge": manifest.details.merge,
            "kernels": manifest.details.kernels,
        }
    return figures


def resume_check(micro: Micro, settings: dict[str, Any], backend: str, losses: list[float]) -> dict[str, Any]:
    """SIGTERM in the middle, then on to the end; `losses` are those of the same training, uninterrupted."""
    request = micro.request("cpt", **{**settings, "checkpoint_steps": 5}, backend=backend)
    process = micro.start(request)
    assert process.stdout is not None
    for line in process.stdout:
        if "step 1/" in line:
            process.send_signal(signal.SIGTERM)
            break
    process.communicate()
    again = micro.start(request)
    output, _ = again.communicate()
    manifest = micro.store.find(request)
    if process.returncode != ExitCode.RESUMABLE or manifest is None or "going on from step" not in output:
        raise RuntimeError(f"resume check: exits {process.returncode} and {again.returncode}: {output[-2000:]}")
    step = manifest.attempts[-1].resumed_from_step
    difference = largest_difference([loss for _, loss in manifest.details.loss], losses)
    return {"said": f"stopped with exit 75, went on from step {step} and finished", "difference": difference}


def later_stages(micro: Micro, settings: dict[str, Any], backend: str) -> dict[str, Any]:
    """A short SFT, then a round of DPO and one of GRPO on what it made."""
    short = {**settings, "max_steps": 4, "backend": backend}
    micro.run("sft", **short)
    sampling = {"rewards": ["language", "length"], "generations": 2, "completion_length": 16}
    online = {**short, "max_steps": 2, "algorithm": "grpo", "sampling": sampling}
    with ThreadPoolExecutor() as pool:
        dpo, grpo = pool.submit(micro.run, "rlhf", **short), pool.submit(micro.run, "rlhf", **online)
    return {"dpo": dpo.result().metrics, "grpo": grpo.result().metrics}


def differing_versions() -> dict[str, str]:
    """Installed versions that are not the lock's."""
    differences = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line[:1].isalnum():  # a pin; its hashes and who wants it stand indented below
            pin = Requirement(line.removesuffix("\\"))
            if pin.marker is None or pin.marker.evaluate():
                try:
                    installed = metadata.version(pin.name)
                except metadata.PackageNotFoundError:
                    installed = "not installed"
                if installed == "not installed" or installed not in pin.specifier:
                    differences[pin.name] = f"{installed} (lock: {pin.specifier})"
    return differences


def check(dry: bool, shapes: list[str], clock: Clock) -> dict[str, Any]:
    """Everything, as plain values."""
    backends = ["transformers", *(["unsloth"] if not dry and importlib.util.find_spec("unsloth") else [])]
    peak = matmul_flops(256 if dry else 8192)
    result: dict[str, Any] = {
        "device": "cpu (dry run)" if dry else torch.cuda.get_device_name(),
        "matmul_tflops": round(peak / 1e12, 2),
        "differs_from_lock": differing_versions(),
        "shapes": {},
        "left_out": [] if "unsloth" in backends else ["unsloth: not installed here"],
    }
    with tempfile.TemporaryDirectory() as folder:
        first = Micro(Path(folder) / "tokenizer")
        first.run("base_model")
        for name in shapes:
            shape = DRY_SHAPE if dry else SHAPES[name]
            home = Path(folder) / name
            micro = Micro(home, scale=3 if dry else 200)
            settings = settings_of(dry, shape)
            try:
                random_model(shape, first.folder("base_model") / "model", home / "random")
                random_base = {
                    "source": "folder",
                    "folder": str(home / "random"),
                    "architecture": None,
                    "vocabulary": None,
                }
                micro.run("base_model", timeout=clock.left, **random_base)
                shutil.rmtree(home / "random")  # 15 GB, where it is a 7B
                runs = compare_backends(micro, shape, settings, backends, peak, clock)
            except subprocess.TimeoutExpired:
                if name == shapes[0]:
                    raise
                result["left_out"].append(f"shape {name}: the minutes are over")
                continue
            result["shapes"][name] = runs
            if name == shapes[0]:  # nothing is timed any more: side by side
                with ThreadPoolExecutor() as pool:
                    losses = runs[backends[-1]]["losses"]
                    resumed = pool.submit(resume_check, micro, settings, backends[-1], losses)
                    result |= later_stages(micro, settings, backends[-1])
                    result["resume"] = resumed.result()
            shutil.rmtree(home)
    result["seconds"] = round(clock.seconds)
    return result


def main() -> int:
    """Run it and write the results; the exit status is 1 where something wanted was not met."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.check", description=__doc__)
    parser.add_argument("--dry", action="store_true", help="on a CPU, in miniature: that the command is complete")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--minutes", type=float, default=9, help="shapes that take longer are left out")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of gpu.json and gpu.md (dry.*)")
    options = parser.parse_args()
    if not options.dry and not torch.cuda.is_available():
        print("there is no GPU here; --dry walks through the check on a CPU", file=sys.stderr)
        return ExitCode.SERVICE_MISSING
    result = check(options.dry, options.shapes[:1] if options.dry else options.shapes, Clock(options.minutes))
    kept = options.results / ("dry.json" if options.dry else "gpu.json")
    earlier = json.loads(kept.read_text()) if kept.is_file() else None
    golden = earlier if earlier and earlier["device"] == result["device"] else None
    result["verdicts"] = verdicts(result, golden)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(result, indent=1))
    kept.with_suffix(".md").write_text(markdown(result))
    print(markdown(result))
    return int(not all(row["met"] for row in result["verdicts"]))


if __name__ == "__main__":
    sys.exit(main())
