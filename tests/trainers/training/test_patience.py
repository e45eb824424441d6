"""A training whose held-out loss falls no more is stopped, with the reason."""

from types import SimpleNamespace

import pytest

from trainers.training.patience import Patience


@pytest.mark.parametrize(
    ("losses", "stops"),
    (
        ([3.0, 2.5, 2.6, 2.7], True),
        ([3.0, 2.5, 2.6], False),
        ([3.0, 2.5, 2.6, 2.4], False),
        ([3.0, 3.0, 3.0], True),
        ([3.0, 4.0], False),
    ),
)
def test_two_measurements_without_a_lower_loss(losses, stops):
    patience, control = Patience(2), SimpleNamespace(should_training_stop=False)
    history = [{"loss": 1.0}, *({"eval_loss": loss} for loss in losses)]
    patience.on_evaluate(None, SimpleNamespace(log_history=history), control)
    assert control.should_training_stop is stops
    assert bool(patience.reason) is stops
