"""Figures and their intervals: known coverage, pairs kept, what is not finite kept out and counted."""

import math

import numpy as np
import pytest

from trainers.evaluation.results import ItemScore, Results


def rows(values, suite="s", measure="accuracy", weight=1.0):
    return [ItemScore(suite, measure, f"i{n:04}", float(value), weight) for n, value in enumerate(values)]


def test_an_interval_covers_the_truth_about_19_times_in_20():
    source = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        figure = Results({"a": rows(source.random(100) < 0.3)}, {}, seed=trial).figure("s", "a")
        covered += figure.low <= 0.3 <= figure.high
    assert 0.90 <= covered / 200 <= 0.99


def test_bits_per_byte_is_all_bits_over_all_bytes():
    table = Results({"a": [*rows([8], "t", "bits_per_byte", 4), ItemScore("t", "bits_per_byte", "x", 40, 10)]}, {}, 1)
    assert table.figure("t", "a").value == round(48 / 14, 6)
    assert not table.higher_is_better("t")


def test_a_pair_is_narrower_than_its_parts():
    source = np.random.default_rng(1)
    before = source.random(300) < 0.5
    after = before.copy()
    after[:15] = True
    table = Results({"sft": rows(after), "cpt": rows(before)}, {}, 1)
    gain = table.difference("s", "sft", "cpt")
    assert gain.value == pytest.approx(float(after.mean() - before.mean()), abs=1e-6)
    assert gain.high - gain.low < 0.4 * (table.figure("s", "cpt").high - table.figure("s", "cpt").low)


def test_pairs_do_not_depend_on_the_order_of_rows():
    values = [1, 0, 1, 1, 0, 0, 1, 0]
    one = Results({"a": rows(values), "b": rows([0] * 8)}, {}, 3)
    two = Results({"a": rows(values)[::-1], "b": rows([0] * 8)}, {}, 3)
    assert one.difference("s", "a", "b") == two.difference("s", "a", "b")


def test_flips_name_the_items_of_both_directions():
    table = Results({"cpt": rows([1, 0, 1]), "sft": rows([0, 1, 1])}, {}, 1)
    lost, won = table.flips("s", "sft", "cpt")
    assert [row.item for row in lost] == ["i0000"]
    assert [row.item for row in won] == ["i0001"]


def test_what_is_not_finite_is_counted_and_in_no_figure():
    table = Results({"a": rows([1, math.nan, 0, math.inf])}, {}, 1)
    assert len(table.not_finite["a"]) == 2
    assert table.figure("s", "a").value == 0.5
    assert table.figure("s", "a").n == 2


def test_a_group_pools_the_items_of_its_suites():
    table = Results({"a": [*rows([1, 1, 0], "x"), *rows([0], "y")]}, {"all/accuracy": ["x", "y"], "all/none": []}, 1)
    assert table.figure("all/accuracy", "a").value == 0.5
    assert table.suites == ["all/accuracy", "x", "y"]
