"""base_model, CPT, SFT and RLHF as processes, one after the other, on a model of a few thousand weights."""

import json
import shutil

import pytest

from tests.support.micro import Micro
from tests.support.monitoring_servers import free_port, needs, prometheus, pushgateway, query, scrape
from trainers.runner.metrics_server import PUSHED_JOB, SERIES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def micro(tmp_path_factory) -> Micro:
    return Micro(tmp_path_factory.mktemp("micro"))


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A real Prometheus, where there is one, that scrapes the trainings of this file and a Pushgateway."""
    if not (shutil.which("prometheus") and shutil.which("prometheus-pushgateway")):
        yield None
        return
    port = free_port()
    with pytest.MonkeyPatch.context() as patch, pushgateway() as gateway:
        kept = scrape("pushgateway", int(gateway.rsplit(":")[-1]), honor_labels=True)
        with prometheus(tmp_path_factory.mktemp("prometheus"), scrape("trainers", port), kept) as page:
            patch.setenv("KOREAN_LLM_METRICS_PORT", str(port))
            patch.setenv("KOREAN_LLM_PUSHGATEWAY", gateway)
            yield page


@pytest.fixture(scope="module")
def manifests(micro, watched):
    return {stage: micro.run(stage) for stage in ("base_model", "cpt", "sft", "rlhf")}


def test_the_base_model_reads_korean(manifests):
    details = manifests["base_model"].details
    assert details.vocabulary == 500
    assert 0 < details.fertility["tokens_per_character"] < 3


def test_cpt_loses_and_pads_nothing(manifests):
    packing = manifests["cpt"].details.packing
    assert packing["lost_tokens"] == packing["padded_tokens"] == 0
    assert packing["fill"] >= 0.99
    assert [manifests[stage].details.packing["leakage"] for stage in ("cpt", "sft", "rlhf")] == [0, 0, 0]
    assert manifests["cpt"].details.pretraining.english_share == pytest.approx(0.1, abs=0.03)


@needs("prometheus")
@needs("prometheus-pushgateway")
def test_prometheus_saw_the_trainings(watched, manifests):
    def values(job, stage):
        labels = f'model="micro", release="r1", stage="{stage}"'
        series = query(watched, f'last_over_time({{__name__=~"korean_llm_.*", job="{job}", {labels}}}[1h])')
        return {row["metric"]["__name__"]: float(row["value"][1]) for row in series}

    never, ended = (
        {f"korean_llm_{name}" for name in names}
        for names in (
            ("gpu_memory_bytes", "replay_loss", "share_done", "bytes_per_second"),
            ("last_progress_timestamp_seconds", "eta_seconds"),
        )
    )
    to_the_end = 0
    for stage in ("cpt", "sft", "rlhf"):
        manifest, pushed, seen = manifests[stage], values(PUSHED_JOB, stage), values("trainers", stage)
        assert pushed["korean_llm_step"] == manifest.details.steps == 8
        assert pushed["korean_llm_loss"] == pytest.approx(manifest.details.loss[-1][1])
        assert pushed["korean_llm_goodput_ratio"] == 1.0 and pushed["korean_llm_tokens_total"] > 0
        to_the_end += never <= SERIES.keys() - seen.keys() <= never | ended and seen["korean_llm_step"] == 8
    assert to_the_end, "a training of a second may end between two scrapes; not all three do"


@pytest.mark.parametrize("stage", ("cpt", "sft", "rlhf"))
def test_each_stage_learns(micro, manifests, stage):
    loss = [value for _, value in manifests[stage].details.loss]
    assert sum(loss[4:]) < sum(loss[:4])  # steps differ by their rows, too
    history = (micro.folder(manifests[stage].request.asset) / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in history] == [*range(1, 9), 8]


def test_sft_trains_on_what_the_assistant_says(manifests):
    sample = manifests["sft"].details.mask_sample
    assert sample.startswith("<|im_start|>user\n")
    assert sample.count("⟦") == 1
    assert sample.split("⟦")[1].endswith("<|im_end|>⟧\n")
    assert sample.split("⟦")[0].endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("stage", ("sft", "rlhf"))
def test_merged_is_adapter_plus_base(micro, manifests, stage):
    merge = manifests[stage].details.merge
    assert merge["max_logit_difference"] < 1e-3
    assert merge["greedy_tokens_equal"] == 1
    assert (micro.folder(manifests[stage].request.asset) / "adapter" / "adapter_model.safetensors").is_file()


def test_tokenizer_and_template_travel_unchanged(manifests):
    details = [manifest.details for manifest in manifests.values()]
    assert len({item.tokenizer_hash for item in details}) == 1
    assert len({item.template_hash for item in details}) == 1


def test_lineage_names_every_ancestor(manifests):
    digests = [manifests[stage].digest for stage in ("base_model", "cpt", "sft")]
    assert manifests["rlhf"].details.lineage == digests


def test_cpt_expands_the_vocabulary_and_goes_on(micro, manifests):
    elsewhere = dict(micro.made)
    details = micro.run("cpt", vocabulary={"tokens": 40, "new_tokens_first": 0.5}).details
    micro.made = elsewhere
    assert details.expansion.new_tokens > 0
    assert details.expansion.tokens_saved > 0
    assert details.tokenizer_hash != manifests["base_model"].details.tokenizer_hash
    assert details.loss[-1][1] < details.loss[0][1]


def test_the_same_request_gives_the_same_bytes(micro, manifests, tmp_path):
    again = Micro(tmp_path)
    again.made = dict(micro.made)
    for name in ("base_model", "corpus"):
        target = again.store.root / again.made[name].path
        if not target.exists():
            target.parent.mkdir(parents=True)
            target.symlink_to(micro.store.root / micro.made[name].path)
    assert again.run("cpt").files == manifests["cpt"].files


def test_wandb_offline_and_tensorboard_write_their_files_where_the_recipe_asks(micro, manifests):
    elsewhere = dict(micro.made)
    micro.run("sft", report_to=["wandb", "tensorboard"], max_steps=2)
    micro.made = elsewhere
    kept = micro.root / "home" / "tracking"
    assert list(kept.rglob("offline-run-*/*.wandb"))
    assert list(kept.rglob("events.out.tfevents.*"))
