import pytest

from pipelines.core.trials import Configuration
from pipelines.tuning.families import FAMILIES
from pipelines.tuning.spaces import SPACES, default_points, grid, nearest, space


def test_a_space_has_its_families_cheapest_first():
    assert list(space(["random_forest", "lightgbm", "linear"])) == [
        "linear",
        "lightgbm",
        "random_forest",
    ]


@pytest.mark.parametrize("families", [[], ["linear", "tree"]])
def test_a_family_that_cannot_be_searched_is_refused(families):
    with pytest.raises(ValueError, match=r"families must be some of linear, .* but got"):
        space(families)


def test_only_parameters_of_the_family_are_searched():
    for family, parameters in SPACES.items():
        assert parameters.keys() <= FAMILIES[family].defaults.keys()


def test_every_default_lies_in_its_space():
    searched = space(SPACES)
    for point in default_points(SPACES):
        values = nearest(point, searched).hyperparameters
        assert values.items() <= point.hyperparameters.items()


def test_values_outside_are_moved_to_the_edge():
    point = Configuration("extra_trees", {"max_features": 9.0, "min_samples_leaf": 0})
    moved = nearest(point, space(["extra_trees"]))
    assert moved.hyperparameters == {"max_features": 1.0, "min_samples_leaf": 1}


def test_a_family_that_is_not_searched_has_no_nearest_point():
    assert nearest(Configuration("lightgbm"), space(["linear"])) is None


def test_a_grid_has_every_combination_once():
    points = grid(space(["linear"]))
    assert len(points) == 12
    assert [point for index, point in enumerate(points) if point in points[:index]] == []
