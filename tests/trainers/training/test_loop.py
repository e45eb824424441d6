"""The loop around TRL: a loss that is no number, a GPU that is too small, schedules, curves."""

import time
import weakref
from types import SimpleNamespace

import pytest
import torch

from trainers.contract import DoesNotFit, LossIsNaN, StageRequest, Stalled
from trainers.contract.recipe import CptSection
from trainers.runner.host_memory import HostMemory
from trainers.runner.stage import StopSignal
from trainers.training.loop import Durable, train
from trainers.training.trained import Trained


class FakeTrainer:
    """A trainer that fits `fits` rows at once; it learns by counting steps."""

    def __init__(self, batching, fits, log):
        self.batching, self.fits, self.log = batching, fits, log
        self.model = None
        self.state = SimpleNamespace(global_step=0, max_steps=3, epoch=1.0, log_history=[])

    def add_callback(self, callback):
        self.callbacks = [*getattr(self, "callbacks", []), callback]

    def remove_callback(self, callback):
        pass

    stopped_because = staticmethod(lambda: None)

    def _save_checkpoint(self, model, trial):
        with self.checkpoints.writing(2) as folder:
            (folder / "weights").write_text("of the last whole step")

    def train(self, resume_from_checkpoint):
        self.log.append((str(self.batching), resume_from_checkpoint))
        if self.batching.size > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.state.global_step = 3


@pytest.fixture
def context(tmp_path):
    section = CptSection(method="full", learning_rate=1e-3, batch_size=6, accumulation=2)
    request = StageRequest(stage="cpt", stage_version=1, model="m", release="r")
    lines = []
    reporter = SimpleNamespace(warn=lines.append, say=lines.append, lines=lines)
    return SimpleNamespace(
        section=section,
        request=request,
        scratch=tmp_path,
        reporter=reporter,
        stop=StopSignal(),
        went_on_from=lambda step, saved: None,
    )


def test_a_micro_batch_that_does_not_fit_is_halved_and_training_goes_on(context):
    log = []
    train(lambda batching: FakeTrainer(batching, 1, log), context, "data", 64.0)
    assert [fed for fed, _ in log] == ["2 x 6 rows", "4 x 3 rows", "12 x 1 rows"]
    assert log[0][1] is None and log[1][1].endswith("step-00000002/checkpoint-2")
    assert any("out of GPU memory: going on with 4 x 3 rows" in text for text in context.reporter.lines)


def test_the_model_that_did_not_fit_is_gone_before_the_next_one_is_loaded(context):
    earlier, alive = [], []

    def build(batching):
        alive.append(sum(reference() is not None for reference in earlier))
        trainer = FakeTrainer(batching, 1, [])
        earlier.append(weakref.ref(trainer))
        return trainer

    train(build, context, "data", 64.0)
    assert alive == [0, 0, 0]


def test_one_row_that_does_not_fit_ends_the_stage(context):
    with pytest.raises(DoesNotFit, match="batch_size 1"):
        train(lambda batching: FakeTrainer(batching, 0, []), context, "data", 64.0)


def test_a_training_that_stands_still_is_ended(context):
    class Standing(FakeTrainer):
        def train(self, resume_from_checkpoint):
            for callback in self.callbacks:
                callback.on_train_begin(None, self.state, None)
            time.sleep(5)

    context.section = context.section.model_copy(update={"stall_seconds": 0.2})
    with pytest.raises(Stalled, match="no training step"):
        train(lambda batching: Standing(batching, 6, []), context, "data", 64.0)
    assert (context.scratch / "stalled-stacks.txt").stat().st_size


@pytest.mark.parametrize("loss", (float("nan"), float("inf")))
def test_a_loss_that_is_no_number_stops_and_keeps_the_batch(context, loss):
    class Broken:
        def training_step(self, model, inputs, num_items_in_batch):
            return torch.tensor(loss)

    class BrokenTrainer(Durable, Broken):
        pass

    trainer = BrokenTrainer()
    trainer.state, trainer.context = SimpleNamespace(global_step=4), context
    with pytest.raises(LossIsNaN, match=r"in step 5; the batch is kept in .*nan-batch\.pt"):
        trainer.training_step(None, {"input_ids": torch.tensor([[1, 2]])})
    kept = torch.load(context.scratch / "nan-batch.pt")
    assert kept["step"] == 5 and kept["inputs"]["input_ids"].tolist() == [[1, 2]]


def test_curves_are_thinned_and_keep_their_end():
    rows = [{"step": step, "loss": float(step)} for step in range(1, 1001)]
    trained = Trained(rows, 1000, 1.0, 0, 1.0, 1000, 0.0, 0.001, HostMemory())
    curve = trained.curve("loss")
    assert len(curve) <= 200 and curve[-1] == (1000, 1000.0)
    assert trained.first("loss") == 50.5 and trained.last("loss") == 950.5
