"""The unit cube of a family: every point is a configuration of the space, and back."""

import numpy as np
import pytest

from evertune.search.configurations import build_space, nearest_configuration
from evertune.search.samplers.base import random_configuration
from evertune.search.samplers.unit_cube import UnitCube
from evertune.search.space import DEFAULT_SPACES, Integer


@pytest.mark.parametrize("family", list(DEFAULT_SPACES))
def test_a_configuration_survives_the_way_into_the_cube_and_back(family):
    space, rng = build_space([family]), np.random.default_rng(0)
    cube = UnitCube(family, space[family])
    for _ in range(20):
        point = random_configuration(space, rng)
        unit = cube.to_unit(point)
        assert unit.shape == (cube.n_dimensions,)
        assert ((unit >= 0) & (unit <= 1)).all()
        for back in (cube.from_unit(unit), cube.from_unit(cube.from_mixed(cube.to_mixed(unit)))):
            assert back.hyperparameters == pytest.approx(point.hyperparameters)


@pytest.mark.parametrize("family", list(DEFAULT_SPACES))
def test_every_point_of_the_cube_is_in_the_space(family):
    space, rng = build_space([family]), np.random.default_rng(0)
    cube = UnitCube(family, space[family])
    corners = [np.zeros(cube.n_dimensions), np.ones(cube.n_dimensions)]
    for unit in (*corners, *rng.random((20, cube.n_dimensions))):
        point = cube.from_unit(unit)
        assert nearest_configuration(point, space) == point


def test_each_whole_number_has_an_interval_of_its_own():
    cube = UnitCube("tree", {"max_depth": Integer(2, 5)})
    depths = [cube.from_unit([x]).hyperparameters["max_depth"] for x in np.linspace(0.01, 0.99, 99)]
    assert [depths.count(depth) for depth in (2, 3, 4, 5)] == pytest.approx([25] * 4, abs=1)
