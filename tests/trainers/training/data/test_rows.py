"""Batches of packed rows: no document sees another, in the model itself."""

import numpy as np
import pytest
import torch
from transformers import Qwen3ForCausalLM

from tests.support.small_model import small_config
from trainers.contract import BadRequest
from trainers.training.data.packing import Audit, pack
from trainers.training.data.rows import IGNORED, PackedCollator, read_rows, write_rows
from trainers.training.leakage import leakage


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    config = small_config(vocabulary=100, positions=64)
    first = Qwen3ForCausalLM._from_config(config, attn_implementation="sdpa").eval()
    second = Qwen3ForCausalLM._from_config(config, attn_implementation="eager").eval()
    second.load_state_dict(first.state_dict())
    return {"sdpa": first, "eager": second}


def row(*lengths, start=1):
    ids = list(range(start, start + sum(lengths)))
    return {"input_ids": ids, "lengths": list(lengths)}


@pytest.mark.parametrize("attention", ("sdpa", "eager"))
@pytest.mark.parametrize("flatten", (False, True))
def test_a_packed_document_gets_the_logits_it_gets_alone(models, attention, flatten):
    model = models[attention]
    batch = PackedCollator(0, flatten)([row(5, 1, 6), row(3, 4, start=40)])
    batch.pop("labels")
    with torch.no_grad():
        packed = model(**batch, use_cache=False).logits
        alone = [
            model(torch.tensor([ids]), use_cache=False).logits[0]
            for ids in ([1, 2, 3, 4, 5], [6], [7, 8, 9, 10, 11, 12], [40, 41, 42], [43, 44, 45, 46])
        ]
    together = packed[0] if flatten else torch.cat([packed[0, :12], packed[1, :7]])
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_a_changed_document_changes_no_other(models):
    first, second = row(5, 6), row(5, 6)
    second["input_ids"][:5] = [90, 91, 92, 93, 94]
    logits = []
    for item in (first, second):
        batch = PackedCollator(0)([item])
        with torch.no_grad():
            logits.append(
                models["sdpa"](batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
            )
    assert torch.equal(logits[0][0, 5:], logits[1][0, 5:])
    assert not torch.equal(logits[0][0, :5], logits[1][0, :5])


def test_labels_leave_out_the_first_token_of_each_piece_and_the_filling():
    batch = PackedCollator(0)([row(3, 2), row(2, start=50)])
    assert batch["labels"].tolist() == [
        [IGNORED, 2, 3, IGNORED, 5],
        [IGNORED, 51, IGNORED, IGNORED, IGNORED],
    ]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1], [0, 1, 0, 0, 0]]
    flat = PackedCollator(0, flatten=True)([row(3, 2), row(2, start=50)])
    assert flat["input_ids"].shape == (1, 7)
    assert flat["packed_seq_lengths"].tolist() == [3, 2, 2]  # what Unsloth reads


def test_rows_come_back_from_the_file_as_they_were(tmp_path):
    pieces = [np.arange(n, dtype=np.int32) for n in (3, 9, 5, 16, 2)]
    packed = list(pack(pieces, 16, Audit()))
    write_rows(tmp_path / "rows.arrow", ({"input_ids": r.tokens, "lengths": r.lengths} for r in packed))
    back = read_rows(tmp_path / "rows.arrow")
    assert [item["input_ids"] for item in back] == [r.tokens.tolist() for r in packed]
    assert [item["lengths"] for item in back] == [r.lengths for r in packed]


@pytest.mark.parametrize("attention", ("sdpa", "eager"))
def test_leakage_is_none_and_what_lets_documents_see_each_other_is_refused(models, attention):
    model, ids = models[attention], list(range(1, 41))
    assert leakage(model, PackedCollator(0), ids) < 1e-6

    def blind(rows):
        """Positions that run on: what an attention does that does not heed them."""
        batch = PackedCollator(0)(rows)
        batch["position_ids"] = torch.arange(batch["input_ids"].shape[1])[None]
        return batch

    with pytest.raises(BadRequest, match="100.0% of what a document tells"):
        leakage(model, blind, ids)
