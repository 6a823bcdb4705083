import numpy as np
import pytest

from pipelines.core.judging.pairing import check_apart, incomparable, n_silent, unseen
from pipelines.core.predictions import Predictions
from pipelines.core.schema import Schema


def test_rows_seen_by_either_model_are_left_out():
    assert unseen(["a", "b", "c"], {"a"}, {"c"}).tolist() == [False, True, False]


def test_a_row_that_judges_and_was_learned_from_is_told():
    with pytest.raises(ValueError, match="version 3 was not trained on, but 1 of 2 rows"):
        check_apart(["a", "b"], learned={"version 4": ["c"], "version 3": ["b", "d"]})


def test_a_model_is_silent_where_any_of_its_probabilities_is_not_finite():
    chances = np.array([[0.5, 0.5], [np.nan, 0.5], [0.5, np.inf]])
    assert n_silent(Predictions(np.zeros(3), chances)) == 2


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (Schema((), "left", "binary", ("no", "yes")), "it predicts 'left', not 'churned'"),
        (Schema((), "churned", "regression"), "its task is regression, not binary"),
        (Schema((), "churned", "binary", ("0", "1")), "its classes are 0, 1, not no, yes"),
        (Schema((), "churned", "binary", ("no", "yes")), None),
    ],
)
def test_models_that_answer_other_questions_are_not_compared(theirs, words):
    assert incomparable(Schema((), "churned", "binary", ("no", "yes")), theirs) == words
