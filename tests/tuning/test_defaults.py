import pytest

from evertune.models.families import COMMON_DEFAULTS, FAMILIES
from evertune.search.default_space import default_portfolio

SIZES = (("binary", 500, 2), ("multiclass", 8_000, 7), ("regression", 100_000, 0))


@pytest.mark.parametrize(("task", "n_rows", "n_classes"), SIZES)
def test_a_portfolio_names_what_its_families_take(task, n_rows, n_classes):
    points = default_portfolio(task, n_rows, 10, n_classes)
    assert len(points) >= 6
    for point in points:
        known = COMMON_DEFAULTS | FAMILIES[point.family].defaults
        assert point.hyperparameters.keys() <= known.keys()


@pytest.mark.parametrize(("task", "n_rows", "n_classes"), SIZES)
def test_a_portfolio_is_diverse_and_begins_with_the_cheapest(task, n_rows, n_classes):
    families = [point.family for point in default_portfolio(task, n_rows, 10, n_classes)]
    assert families[0] == "linear"
    assert {"lightgbm", "catboost", "xgboost"} <= set(families)


def test_no_point_stands_twice():
    points = default_portfolio("binary", 5_000, 10, 2)
    assert [point for place, point in enumerate(points) if point in points[:place]] == []


@pytest.mark.parametrize(("n_rows", "compared"), [(20_000, True), (20_001, False)])
def test_neighbours_are_for_tables_of_few_rows(n_rows, compared):
    families = [point.family for point in default_portfolio("binary", n_rows, 10, 2)]
    assert ("neighbours" in families) == compared
