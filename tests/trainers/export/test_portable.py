"""An exported folder in both lines of transformers: the same configuration, the same logits, the same tokens."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from tests.support.families import FAMILIES, build_family
from tests.support.toy import build_model
from tests.support.transformers4_environment import VERSION, transformers4_python
from trainers.export.portable import make_portable

BASE = 50_000.0
"""Of rotary embeddings; no family's own, so that one that is not read is seen."""
IN_OLD = """
import json, sys, torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, text = sys.argv[1:]
ids = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
with torch.inference_mode():
    logits = AutoModelForCausalLM.from_pretrained(folder).eval()(torch.tensor([ids])).logits
print(json.dumps([transformers.__version__, ids, logits[0, -1].tolist()]))
"""


def another_base(folder: Path) -> Path:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.get("rope_parameters") or {}
    for kind in rope.values() if "full_attention" in rope else [rope]:
        if "rope_theta" in kind:
            kind["rope_theta"] *= BASE / 10_000
    path.write_text(json.dumps(config))
    return folder


def test_what_is_said_to_the_old_changes_nothing_for_the_new(tmp_path):
    folder = another_base(build_model(tmp_path / "model", seed=1))
    settings = folder / "tokenizer_config.json"
    assert json.loads(settings.read_text())["tokenizer_class"] == "TokenizersBackend"
    config, ids = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)("나는 갑니다.")["input_ids"]
    make_portable(folder)
    assert json.loads((folder / "config.json").read_text())["rope_theta"] == BASE
    assert AutoConfig.from_pretrained(folder).rope_parameters == config.rope_parameters
    assert json.loads(settings.read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert AutoTokenizer.from_pretrained(folder)("나는 갑니다.")["input_ids"] == ids


@pytest.mark.parametrize(
    ("rope", "old"),
    [
        ({"rope_type": "default", "rope_theta": 1e6}, {"rope_theta": 1e6}),
        (
            {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0},
            {"rope_theta": 1e6, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
        ),
        (
            {"full_attention": {"rope_type": "default", "rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}},
            {"rope_theta": 1e6, "rope_local_base_freq": 1e4},
        ),
        (None, {}),
    ],
    ids=["plain", "scaled", "by layer", "none"],
)
def test_it_is_said_as_transformers_4_asks(tmp_path, rope, old):
    config = {"model_type": "qwen3", "rope_parameters": rope}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))
    make_portable(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == config | old
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {"tokenizer_class": "Qwen2Tokenizer"}


@pytest.mark.prove
@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if not family.nested])
def test_transformers_4_computes_what_we_do(tmp_path, family):
    folder = another_base(build_family(family, tmp_path / family))
    make_portable(folder)
    text = "사과는 오늘 여기에 있습니다. " * 4
    command = [str(transformers4_python()), "-c", IN_OLD, str(folder), text]
    done = subprocess.run(command, capture_output=True, text=True, env={}, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    version, ids, logits = json.loads(done.stdout.splitlines()[-1])
    assert (version, ids) == (VERSION, AutoTokenizer.from_pretrained(folder)(text)["input_ids"])
    with torch.inference_mode():
        ours = AutoModelForCausalLM.from_pretrained(folder).eval()(torch.tensor([ids])).logits[0, -1].tolist()
    assert logits == pytest.approx(ours, rel=1e-5, abs=1e-6)
