import math
import time

import numpy as np
import pytest

from evertune.models.early_stopping import EarlyStopping, fit_in_chunks, patience
from evertune.models.fit_context import sample_rows
from tests.models.families import context


def test_without_a_deadline_there_is_one_chunk():
    chunks = []
    assert fit_in_chunks(lambda n: chunks.append(n) or False, total=7, deadline=math.inf) == 7
    assert chunks == [7]


def test_with_time_enough_all_rounds_are_reached():
    chunks = []
    later = time.monotonic() + 1000
    assert fit_in_chunks(lambda n: chunks.append(n) or False, total=7, deadline=later) == 7
    assert chunks[0] == 1
    assert chunks[-1] == 7


def test_after_the_deadline_only_the_first_chunk_is_grown():
    assert fit_in_chunks(lambda _: False, total=7, deadline=0.0) == 1


def test_a_fit_that_is_done_before_its_time_counts_as_whole():
    assert fit_in_chunks(lambda _: True, total=7, deadline=0.0) == 7


def test_early_stopping_ends_a_fit_when_its_patience_is_used_up():
    stopping = EarlyStopping(math.inf)
    scores = [3.0, 2.0, 1.0] + [1.5] * 100
    last = next(round_ for round_, score in enumerate(scores, 1) if stopping.is_over(round_, score))
    assert (stopping.best, last) == (3, 3 + math.floor(patience(3)) + 1)


def test_early_stopping_ends_a_fit_at_the_deadline():
    stopping = EarlyStopping(0.0)
    assert stopping.is_over(1, None)
    assert stopping.expired


def test_rows_without_weights_are_taken_as_they_are():
    assert sample_rows(context("binary"), 10, most=10) is None


@pytest.mark.parametrize("most", [5, 100])
def test_rows_are_drawn_by_their_weight(most):
    weights = np.r_[np.zeros(50), np.full(50, 2.0)]
    rows = sample_rows(context("binary", weights=weights), 100, most=most)
    assert len(rows) == most
    assert rows.min() >= 50
