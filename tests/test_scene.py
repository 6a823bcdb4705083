import pytest

from evertune.errors import StageError
from evertune.registry.evidence import check_rows_unseen, compare_on_holdout, secondary_loss
from tests.registered import facts_of, judged_project


@pytest.fixture
def root(tmp_path):
    return judged_project(tmp_path)


def test_rows_that_a_model_knows_never_judge():
    with pytest.raises(
        StageError, match=r"version 1 was not trained on, but 1 of 2 .* Nothing was"
    ):
        check_rows_unseen(["a", "b"], learned={"version 1": ["b"]})


def test_the_loss_is_no_second_test_where_it_is_the_metric(root):
    facts = facts_of(root)
    assert secondary_loss(compare_on_holdout(facts, None)) is None
    rmse = facts_of(root, "{optimise: mae}", "{optimise: rmse}")
    assert secondary_loss(compare_on_holdout(rmse, None)).name == "mae"
