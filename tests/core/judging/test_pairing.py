import numpy as np
import pytest

from evertune.data.schema import TableSchema
from evertune.registry.evidence import (
    check_disjoint,
    incomparable_reason,
    n_missing_predictions,
    unseen_mask,
)
from evertune.types import Predictions


def test_rows_seen_by_either_model_are_left_out():
    assert unseen_mask(["a", "b", "c"], {"a"}, {"c"}).tolist() == [False, True, False]


def test_a_row_that_judges_and_was_learned_from_is_told():
    with pytest.raises(ValueError, match="version 3 was not trained on, but 1 of 2 rows"):
        check_disjoint(["a", "b"], learned={"version 4": ["c"], "version 3": ["b", "d"]})


def test_a_model_is_silent_where_any_of_its_probabilities_is_not_finite():
    chances = np.array([[0.5, 0.5], [np.nan, 0.5], [0.5, np.inf]])
    assert n_missing_predictions(Predictions(np.zeros(3), chances)) == 2


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (TableSchema((), "left", "binary", ("no", "yes")), "it predicts 'left', not 'churned'"),
        (TableSchema((), "churned", "regression"), "its task is regression, not binary"),
        (TableSchema((), "churned", "binary", ("0", "1")), "its classes are 0, 1, not no, yes"),
        (TableSchema((), "churned", "binary", ("no", "yes")), None),
    ],
)
def test_models_that_answer_other_questions_are_not_compared(theirs, words):
    assert incomparable_reason(TableSchema((), "churned", "binary", ("no", "yes")), theirs) == words
