"""Packing: nothing lost, nothing padded, rows full, cuts where sentences end."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.training.data.packing import Audit, cut, lay_singly, pack, sentence_ends

ROW = 32


def _pack(documents, row_length, window=1 << 24):
    audit = Audit()
    pieces = []
    for tokens in documents:
        audit.documents += 1
        audit.tokens_in += len(tokens)
        pieces += cut(np.array(tokens, dtype=np.int32), [], row_length, audit)
    return list(pack(pieces, row_length, audit, window)), audit


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=60),
    row_length=st.sampled_from((16, 32, 64)),
    window=st.sampled_from((1 << 24, 128)),
)
def test_every_token_comes_out_once_and_rows_are_full(lengths, row_length, window):
    documents = [[1000 * number + place for place in range(length)] for number, length in enumerate(lengths)]
    rows, audit = _pack(documents, row_length, window)
    assert Counter(token for row in rows for token in row.tokens.tolist()) == Counter(
        token for document in documents for token in document
    )
    assert all(len(row.tokens) == row_length for row in rows[:-1])
    assert all(sum(row.lengths) == len(row.tokens) and min(row.lengths) > 0 for row in rows)
    assert audit.tokens_in == audit.tokens_out
    assert audit.trained == sum(len(row.tokens) - len(row.lengths) for row in rows)


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 150), min_size=1, max_size=40))
def test_a_piece_is_a_run_of_one_document(lengths):
    documents = [[1000 * number + place for place in range(length)] for number, length in enumerate(lengths)]
    rows, _ = _pack(documents, ROW)
    for row in rows:
        for piece in np.split(row.tokens, np.cumsum(row.lengths)[:-1]):
            assert (np.diff(piece) == 1).all()


def test_documents_that_fit_stay_whole_and_cuts_are_at_most_one_per_row():
    rng = np.random.default_rng(0)
    documents = [list(range(length)) for length in rng.integers(1, ROW + 1, 500)]
    rows, audit = _pack(documents, ROW)
    assert audit.cut_elsewhere <= len(rows)
    assert audit.figures(ROW)["fill"] >= 0.99


def test_a_long_document_is_cut_where_a_sentence_ends():
    tokens = np.arange(100, dtype=np.int32)
    audit = Audit()
    pieces = list(cut(tokens, [10, 28, 57, 95], ROW, audit))
    assert [len(piece) for piece in pieces] == [28, 29, 32, 11]
    assert (audit.cut_at_sentence, audit.cut_elsewhere) == (2, 1)
    assert np.concatenate(pieces).tolist() == tokens.tolist()


def test_sentence_ends_of_korean_text():
    text = "첫 문장입니다. 둘째 문장이에요!\n셋째 줄"
    starts = np.array([0, 1, 7, 8, 10, 16, 17, 18, 20])  # '첫', ' 문장입니다', '.', ' 둘째', ...
    assert sentence_ends(text, starts) == [3, 7]


@settings(deadline=None)
@given(lengths=st.lists(st.integers(2, 150), min_size=1, max_size=40))
def test_laid_singly_each_row_is_a_run_of_one_document_in_which_something_is_predicted(lengths):
    audit = Audit()
    documents = [np.arange(1000 * number, 1000 * number + length) for number, length in enumerate(lengths)]
    rows = list(lay_singly((piece for document in documents for piece in cut(document, [], ROW, audit)), audit))
    assert np.concatenate([row.tokens for row in rows]).tolist() == np.concatenate(documents).tolist()
    assert all(row.lengths == [len(row.tokens)] and 2 <= len(row.tokens) <= ROW for row in rows)
    assert audit.tokens_out == sum(lengths) and audit.trained == sum(lengths) - len(rows)
