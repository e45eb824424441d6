"""Length buckets: every row once, little padding, an order that seed and epoch decide alone."""

import random

from trainers.training.data.length_buckets import LengthBuckets

LENGTHS = random.Random(1).choices(range(5, 500), k=1003)


def test_every_row_comes_once_and_only_the_last_step_is_short():
    buckets = LengthBuckets(LENGTHS, 8, seed=1)
    assert sorted(buckets) == list(range(1003)) and len(buckets) == 1003
    assert [len(step) for step in buckets.steps()] == [8] * 125 + [3]


def test_far_fewer_tokens_are_padding_than_in_a_random_order():
    order = random.Random(2).sample(range(1003), 1003)
    batches = [order[at : at + 8] for at in range(0, 1003, 8)]
    padded = sum(max(LENGTHS[row] for row in batch) * len(batch) for batch in batches)
    assert sum(LENGTHS) / padded < 0.65
    assert LengthBuckets(LENGTHS, 8, seed=1).fill(8) > 0.95


def test_the_order_is_the_same_again_and_another_in_each_epoch():
    orders = [list(LengthBuckets(LENGTHS, 8, 1, lambda epoch=epoch: epoch)) for epoch in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    shortest_first = sorted(LengthBuckets(LENGTHS, 8, 1).steps(), key=lambda step: LENGTHS[step[0]])
    assert LengthBuckets(LENGTHS, 8, 1).steps() != shortest_first  # steps come in a random order
