"""What earlier searches on similar tables give to a new one."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.search.configurations import build_space
from evertune.search.transfer import (
    EarlierSearch,
    meta_distance,
    meta_features,
    transfer_configurations,
)
from evertune.trials import Configuration
from tests.search.studies import make_study, past_trial, play

FAMILIES = ("linear", "tree", "lightgbm")
META = {"n_rows": 1000.0, "n_numbers": 5.0, "n_classes": 2.0}


def search(scores, *, name="one", task="binary", greater_is_better=False, **meta):
    """Return a search whose trials are linear models of some alphas, or given configurations."""
    trials = tuple(past_trial(number, point, score) for number, (point, score) in enumerate(scores))
    return EarlierSearch(name, task, "rmse", greater_is_better, META | meta, trials)


def linear(alpha):
    return Configuration("linear", {"alpha": alpha})


def transferred(earlier, *, families=FAMILIES, space=None, metric="rmse"):
    return transfer_configurations(
        META, earlier, task="binary", metric=metric, space=build_space(families, space)
    )


def alphas(found):
    return [point.hyperparameters.get("alpha") for point in found.configurations]


def test_meta_features_count_columns_and_shares():
    schema = TableSchema(
        (
            Column("a", "number"),
            Column("b", "category", ("x", "y", "z")),
            Column("c", "boolean"),
            Column("d", "text"),
        ),
        "y",
        "multiclass",
        ("p", "q", "r"),
    )
    table = pd.DataFrame(
        {
            "a": [1.0, None, 2.0, 3.0],
            "b": ["x", "y", None, "z"],
            "c": [0.0, 1.0, 1.0, None],
            "d": ["one", "two", "three", "four"],
            "y": ["p", "q", "p", "r"],
        }
    )
    assert meta_features(table, schema) == {
        "n_rows": 4, "n_numbers": 2, "n_categories": 1, "n_texts": 1, "n_dates": 0,
        "most_categories": 3, "n_classes": 3, "rarest_class_share": 0.25, "missing_share": 0.1875,
    }  # fmt: skip


def test_ten_times_the_rows_are_as_far_as_a_quarter_of_the_cells():
    more_rows = meta_distance({"n_rows": 99}, {"n_rows": 999})
    more_gaps = meta_distance({"missing_share": 0.0}, {"missing_share": 0.25})
    assert more_rows == pytest.approx(more_gaps) == 1
    assert meta_distance(META, META) == 0


def test_the_best_of_the_nearest_search_comes_first():
    near = search([(linear(1.0), 3.0), (linear(10.0), 1.0), (linear(100.0), 2.0)], name="near")
    far = search([(linear(0.1), 1.0), (linear(0.2), 2.0)], name="far", n_rows=20_000.0)
    found = transferred([far, near])
    assert alphas(found)[:2] == [10.0, 0.1]
    assert [name for name, _ in found.sources] == ["near", "far"]
    assert found.sources[0][1] == 0 < found.sources[1][1]


def test_the_direction_of_the_metric_is_that_of_the_search():
    scores = [(linear(1.0), 0.5), (linear(10.0), 0.9), (linear(100.0), 0.6)]
    assert alphas(transferred([search(scores, greater_is_better=True)]))[0] == 10.0
    assert alphas(transferred([search(scores)]))[0] == 1.0


def test_what_is_good_in_several_searches_is_taken_before_what_is_best_in_one():
    def scores(best):
        return [(linear(best), 1.0), (linear(5.0), 1.1), (linear(900.0), 3.0), (linear(800.0), 4.0)]

    found = transferred([search(scores(best), name=str(best)) for best in (0.1, 0.2, 0.3)])
    assert alphas(found)[0] == 5.0


def test_further_families_fill_the_portfolio():
    tree, boosting = Configuration("tree", {"max_depth": 3}), Configuration("lightgbm")
    found = transferred(
        [search([(boosting, 1.0), (tree, 1.5), (linear(1.0), 1.6), (linear(9.0), 9.0)])]
    )
    assert [point.family for point in found.configurations] == ["lightgbm", "tree"]


@pytest.mark.parametrize(
    "other",
    [
        search([(linear(1.0), 1.0)], task="regression"),
        search([(linear(1.0), 1.0)], n_rows=1e7),
        search([(Configuration("svm"), 1.0), (Configuration("brain"), 0.5)]),
        search([(Configuration("linear", {"warmth": 2.0}), 1.0)]),
        search([(linear(1.0), math.nan)]),
        search([]),
    ],
)
def test_what_is_not_alike_or_not_known_here_is_left(other):
    found = transferred([other])
    assert found.configurations == found.sources == ()


def test_values_are_moved_into_the_space_of_the_new_search():
    found = transferred([search([(linear(500.0), 1.0)])], space={"linear": {"alpha": [1.0, 2.0]}})
    assert alphas(found) == [2.0]


def test_trials_that_did_not_finish_are_no_evidence():
    whole = search([(linear(1.0), 2.0), (linear(2.0), 3.0)])
    lucky = replace(past_trial(9, linear(7.0), 0.1), status="stopped")
    assert 7.0 not in alphas(transferred([replace(whole, trials=(*whole.trials, lucky))]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_second_search_reaches_the_score_of_the_first_in_a_third_of_its_trials(seed):
    def score_of(best, error):
        def rmse(point):
            if point.family != "linear":
                return 5.0
            return error + abs(math.log(point.hyperparameters["alpha"] / best))

        return rmse

    first, grown = score_of(0.02, 1.0), score_of(0.021, 0.95)  # more rows: a little less error
    settings = {"searcher": "tpe", "seed": seed, "scheduler": "none"}
    points = play(make_study(("linear", "tree"), trials=30, **settings), score=first)
    reached = min(map(first, points))

    found = transferred([search([(point, first(point)) for point in points])])
    warm = {"warm_starts": found.configurations}
    again = play(make_study(("linear", "tree"), trials=10, **settings, **warm), score=grown)
    assert min(map(grown, again)) <= reached < min(map(grown, points[:10]))
