import pytest

from pipelines.errors import StageError
from pipelines.scene import check_judges, looked_loss, scene_of
from tests.registered import facts_of, judged_project


@pytest.fixture
def root(tmp_path):
    return judged_project(tmp_path)


def test_rows_that_a_model_knows_never_judge():
    with pytest.raises(
        StageError, match=r"version 1 was not trained on, but 1 of 2 .* Nothing was"
    ):
        check_judges(["a", "b"], learned={"version 1": ["b"]})


def test_the_loss_is_no_second_test_where_it_is_the_metric(root):
    facts = facts_of(root)
    assert looked_loss(scene_of(facts, None)) is None
    rmse = facts_of(root, "{optimise: mae}", "{optimise: rmse}")
    assert looked_loss(scene_of(rmse, None)).name == "mae"
