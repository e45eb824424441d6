"""A request's identity: what its digest covers, and what it leaves out."""

import pytest
from pydantic import ValidationError

from trainers.contract import Input, Needs, StageRequest


def request(**changes):
    values = {
        "stage": "sft",
        "stage_version": 1,
        "model": "tiny",
        "release": "2026-01",
        "section": {"learning_rate": 0.001},
        "seed": 42,
        "inputs": (Input(name="cpt_checkpoint", digest="a" * 64, path="cpt_checkpoint/tiny/2026-01/x"),),
    }
    return StageRequest(**{**values, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"stage_version": 2},
        {"model": "other"},
        {"release": "2026-02"},
        {"section": {"learning_rate": 0.002}},
        {"seed": 43},
        {"inputs": (Input(name="cpt_checkpoint", digest="b" * 64, path="cpt_checkpoint/tiny/2026-01/x"),)},
    ],
)
def test_what_decides_the_result_changes_the_digest(change):
    assert request(**change).digest != request().digest


@pytest.mark.parametrize(
    "change",
    [
        {"needs": Needs(gpus=8, memory="1Ti", nodes=2)},
        {"inputs": (Input(name="cpt_checkpoint", digest="a" * 64, path="elsewhere"),)},
    ],
)
def test_where_and_on_what_it_runs_does_not(change):
    assert request(**change).digest == request().digest


def test_key_order_does_not_matter():
    one, two = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert request(section=one).digest == request(section=two).digest


def test_survives_a_round_trip_through_json():
    assert StageRequest.model_validate_json(request().model_dump_json()).digest == request().digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "pretrain"}, "unknown stage 'pretrain'; there are: benchmarks, corpus"),
        ({"model": None}, "needs a model"),
        ({"release": "../etc"}, "no safe key"),
        ({"release": "한국어"}, "no safe key"),
        ({"stage": "corpus"}, "takes no model"),
        ({"inputs": (Input(name="a", digest="x", path="p"),) * 2}, "named twice"),
    ],
)
def test_bad_requests_are_refused_with_the_reason(change, message):
    with pytest.raises(ValidationError, match=message.replace("/", ".")):
        request(**change)


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../b"])
def test_inputs_stay_inside_their_root(path):
    with pytest.raises(ValidationError, match="stay inside"):
        Input(name="x", digest="d", path=path)
