"""`yarn` stretches a model's positions once, in its config, and every later stage has them."""

import json

import pytest

from tests.support.micro import SHAPE, Micro
from trainers.contract import BadRequest
from trainers.training.base_model.long_context import stretch_positions

pytestmark = pytest.mark.slow
LONG = SHAPE["max_length"] + 72


def config_of(micro, asset):
    return json.loads((micro.folder(asset) / "model/config.json").read_text())


def test_rows_above_the_trained_positions_are_trained_once_these_are_stretched(tmp_path):
    micro = Micro(tmp_path)
    micro.here("base_model")
    with pytest.raises(BadRequest, match="above the 128 positions of the model.* base_model's key 'yarn'"):
        micro.here("cpt", max_length=LONG)
    manifest = micro.here("base_model", yarn=2.0)
    assert manifest.details.facts.context_length == 2 * SHAPE["max_length"]
    assert micro.here("cpt", max_length=LONG, max_steps=1).details.facts.context_length == 2 * SHAPE["max_length"]
    for asset in ("base_model", "cpt_checkpoint"):
        rope, positions = (config_of(micro, asset)[key] for key in ("rope_parameters", "max_position_embeddings"))
        assert (rope["rope_type"], rope["factor"], rope["original_max_position_embeddings"]) == ("yarn", 2.0, 128)
        assert positions == 256
    with pytest.raises(BadRequest, match=r"scaled already \(yarn\)"):
        stretch_positions(micro.folder("cpt_checkpoint") / "model", 2.0)
