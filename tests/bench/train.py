"""`make bench-train`: tokens/s of CPT, SFT and DPO on `tiny` against a bare TRL script with the same maths.

Pairs of runs, ours and bare, are interleaved; the ratio's 95% interval is a bootstrap over the pairs. Also: share of
useful tokens, share of wall time spent on checkpoints, seconds from the start of the process to the first step.
Prints JSON and keeps it under tests/bench/results/.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.trainers.micro import ROOT, Micro
from trainers.recipe import load_model_recipe, section_dict

RESULTS = Path(__file__).parent / "results" / "train.json"
STAGES = ("cpt", "sft", "rlhf")
BOOTSTRAPS = 2000


def sections(steps: int) -> dict[str, dict[str, Any]]:
    """`tiny`'s own settings, for so many steps."""
    recipe = load_model_recipe(ROOT / "trainers" / "recipes" / "tiny.yaml")
    short = {stage: {**section_dict(getattr(recipe, stage)), "max_steps": steps} for stage in STAGES}
    return {"base_model": section_dict(recipe.base_model), **short}


def bare(micro: Micro, stage: str, section: dict[str, Any]) -> float:
    """Tokens/s of the bare script on the same model and data."""
    inputs = {name: str(micro.folder(name)) for name in micro.made}
    command = [sys.executable, "-m", "tests.bench.bare_trl", stage, json.dumps(section), json.dumps(inputs)]
    done = subprocess.run(command, cwd=ROOT, env=threads(micro), capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def threads(micro: Micro) -> dict[str, str]:
    """As many threads as cores, for both sides."""
    environment = micro.environment()
    environment.pop("OMP_NUM_THREADS")
    return {**environment, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}


def ours(micro: Micro, stage: str, section: dict[str, Any], number: int) -> dict[str, float]:
    """One run of the stage; the seed changes, so nothing is reused."""
    request = micro.request(stage).model_copy(update={"section": section, "seed": number})
    path = micro.root / "bench.json"
    path.write_text(request.model_dump_json())
    command = [sys.executable, "-m", "trainers", stage, "--request", str(path), "--artifacts", str(micro.store.root)]
    began = time.monotonic()
    first = 0.0
    with subprocess.Popen(command, cwd=ROOT, env=threads(micro), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not first and "step " in line:
                first = time.monotonic() - began
    assert process.returncode == 0
    manifest = micro.store.find(request)
    assert manifest is not None
    packing = manifest.details.packing
    return {
        "tokens_per_second": manifest.timings["tokens_per_second"],
        "first_step_seconds": first,
        "saving_share": manifest.timings["saving_seconds"] / manifest.timings["train_seconds"],
        "useful_share": packing.get("fill", 1.0),
    }


def interval(ratios: list[float]) -> tuple[float, float]:
    """95% bootstrap interval of the mean ratio."""
    source = random.Random(0)
    means = sorted(statistics.fmean(source.choices(ratios, k=len(ratios))) for _ in range(BOOTSTRAPS))
    return means[int(0.025 * BOOTSTRAPS)], means[int(0.975 * BOOTSTRAPS)]


def main() -> None:
    """Run the pairs and print the table as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.train", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    options = parser.parse_args()
    wanted = sections(options.steps)
    table = {}
    with tempfile.TemporaryDirectory() as folder:
        micro = Micro(Path(folder), scale=40)
        for stage, section in wanted.items():
            micro.sections[stage] = section
            micro.run(stage)
        for stage in options.stages:
            pairs = []
            for number in range(options.pairs):
                mine = ours(micro, stage, wanted[stage], number)
                pairs.append({**mine, "bare_tokens_per_second": bare(micro, stage, wanted[stage])})
            ratios = [pair["tokens_per_second"] / pair["bare_tokens_per_second"] for pair in pairs]
            low, high = interval(ratios)
            figures = {name: round(statistics.fmean(pair[name] for pair in pairs), 4) for name in pairs[0]}
            table[stage] = {**figures, "ratio": round(statistics.fmean(ratios), 4), "interval": [low, high]}
            print(f"{stage}: {table[stage]}", file=sys.stderr, flush=True)
    result = {"pairs": options.pairs, "steps": options.steps, "stages": table}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
