import sys
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertune.config import schema
from evertune.data.schema import Column
from evertune.models.embedding_network import OPTIONAL_LIBRARIES
from evertune.models.families import COMMON_DEFAULTS, FAMILIES
from evertune.search.configurations import (
    build_space,
    default_configurations,
    draw_values,
    flat_parameters,
    grid_points,
    nearest_configuration,
    nearest_values,
)
from evertune.search.portfolio import FOLD_SECONDS
from evertune.search.space import (
    ALL_SPACES,
    DEFAULT_SPACES,
    EXTRA_SPACES,
    Choice,
    Float,
    Integer,
)
from evertune.trials import Configuration

ONE_PART = {"feature_selection": ["none"]}
TEXT = Column("note", "text")
MANY = Column("city", "category", tuple(f"c{n}" for n in range(31)))
FEW = Column("plan", "category", ("a", "b"))
SEARCHED = build_space(DEFAULT_SPACES, metric="f1")


def draw_configuration(family, fraction):
    """Return the configuration that lies the same share of the way in every parameter's range."""

    def draw(_, part):
        if isinstance(part, Choice):
            return part.values[min(int(fraction * len(part.values)), len(part.values) - 1)]
        value = part.low + fraction * (part.high - part.low)
        return round(value) if isinstance(part, Integer) else value

    return Configuration(family, draw_values(SEARCHED[family], draw))


def test_every_family_stands_in_every_table_of_families():
    named = set(get_args(schema.Family))
    assert named == FAMILIES.keys() - {"zero_rule"}
    assert named == ALL_SPACES.keys()
    assert named == FOLD_SECONDS.keys()


def test_families_that_need_an_extra_are_the_same_everywhere():
    assert set(schema.EXTRA_FAMILIES) == EXTRA_SPACES.keys() == OPTIONAL_LIBRARIES.keys()


@given(st.sampled_from(list(DEFAULT_SPACES)), st.floats(0, 1))
def test_a_configuration_of_the_space_is_its_own_nearest(family, fraction):
    configuration = draw_configuration(family, fraction)
    assert nearest_configuration(configuration, SEARCHED) == configuration


@given(st.sampled_from(list(DEFAULT_SPACES)), st.floats(-1e9, 1e9))
def test_whatever_a_configuration_names_its_nearest_is_in_the_space(family, number):
    named = {
        name: "odd" if isinstance(part, Choice) else number
        for name, part in SEARCHED[family].items()
    }
    near = nearest_configuration(Configuration(family, named), SEARCHED)
    assert nearest_configuration(near, SEARCHED) == near
    for name, value in near.hyperparameters.items():
        part = SEARCHED[family][name]
        if isinstance(part, Choice):
            assert value in part.values
        else:
            assert part.low <= value <= part.high


@pytest.mark.parametrize("families", [[], ["linear", "zero_rule"]])
def test_a_family_that_cannot_be_searched_is_refused(families):
    with pytest.raises(ValueError, match=r"families must be some of linear, .* but got"):
        build_space(families)


def test_families_stand_from_cheap_to_dear_however_they_are_named():
    space = build_space(["catboost", "knn", "linear"])
    assert list(space) == ["linear", "knn", "catboost"]


def test_what_is_searched_has_a_default():
    for family, parameters in build_space(DEFAULT_SPACES, metric="f1").items():
        assert parameters.keys() <= (COMMON_DEFAULTS | FAMILIES[family].defaults).keys()


def test_every_default_lies_in_its_space():
    searched = build_space(DEFAULT_SPACES)
    for point in default_configurations(DEFAULT_SPACES):
        values = nearest_values(point, searched)
        assert values.items() <= (COMMON_DEFAULTS | point.hyperparameters).items()


@pytest.mark.parametrize(
    ("task", "metric", "searched"),
    [("binary", "f1", True), ("binary", "roc_auc", False), ("regression", "f1", False)],
)
def test_class_weights_are_searched_where_labels_are_judged(task, metric, searched):
    found = build_space(["tree"], task=task, metric=metric)["tree"]
    assert ("class_weight" in found) == searched


def test_values_outside_are_moved_to_the_edge():
    point = Configuration("extra_trees", {"max_features": 9.0, "min_samples_leaf": 0})
    moved = nearest_configuration(point, build_space(["extra_trees"])).hyperparameters
    assert (moved["max_features"], moved["min_samples_leaf"]) == (1.0, 1)


def test_what_is_not_searched_stays_as_it_is_named():
    point = Configuration("catboost", {"n_estimators": 7})
    assert (
        nearest_configuration(point, build_space(["catboost"])).hyperparameters["n_estimators"] == 7
    )


def test_a_family_that_is_not_searched_has_no_nearest_point():
    assert nearest_configuration(Configuration("lightgbm"), build_space(["linear"])) is None


def test_a_parameter_whose_condition_fails_is_left_out():
    draw = {"categorical_encoding": "one_hot", "feature_selection": "filter"}
    found = draw_values(build_space(["lightgbm"])["lightgbm"], lambda name, _: draw.get(name, 0.5))
    assert "selected_fraction" in found
    assert "cat_smooth" not in found


def test_a_grid_has_every_combination_once():
    points = grid_points(build_space(["tree"], {"tree": ONE_PART | {"max_depth": [2, 4]}}))
    assert len(points) == 2 * 3 * 3
    assert len({tuple(flat_parameters(point).items()) for point in points}) == len(points)


def test_a_grid_too_large_to_be_run_is_drawn_from():
    points = grid_points(build_space(["catboost"]))
    assert 900 < len(points) <= 1000
    assert points == grid_points(build_space(["catboost"]))


@pytest.mark.parametrize(
    ("overrides", "parameter"),
    [
        ({"max_depth": [2, 4]}, Integer(2, 4, log=True)),
        ({"max_depth": [3]}, Choice((3,))),
        ({"max_depth": [2, 4, 8]}, Choice((2, 4, 8))),
        ({"categorical_encoding": ["target"]}, Choice(("target",))),
        ({"class_weight": ["balanced"]}, Choice(("balanced",))),
        ({"interactions": ["none", "both"]}, Choice(("none", "both"))),
        ({"text_encoding": ["words"]}, Choice(("words",))),
        ({"categorical_encoding": ["hashed"]}, Choice(("hashed",))),
    ],
)
def test_a_user_narrows_and_widens_a_space(overrides, parameter):
    (name,) = overrides
    assert build_space(["tree"], {"tree": overrides})["tree"][name] == parameter


def test_a_value_that_is_only_a_default_can_be_searched():
    found = build_space(["xgboost"], {"xgboost": {"n_estimators": [100, 900]}})["xgboost"]
    assert found["n_estimators"] == Integer(100, 900, log=True)
    assert isinstance(found["learning_rate"], Float)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"oracle": {}}, r"space must be of families linear, .* but got \['oracle'\]"),
        ({"tree": {"depht": [1, 2]}}, r"space of tree must be of its parameters .*\['depht'\]"),
        ({"tree": {"max_depth": [4, 2]}}, r"two bounds, the lower one first.*\[4, 2\]"),
        ({"tree": {"max_depth": [0, 2]}}, r"above 0, but got \[0, 2\]"),
        ({"tree": {"max_depth": [0]}}, r"above 0, but got \[0\]"),
        ({"tree": {"max_depth": [2.5]}}, r"whole numbers, but got \[2.5\]"),
        ({"tree": {"max_depht": [2]}}, r"Did you mean 'max_depth'\?"),
        ({"tree": {"max_depth": ["deep"]}}, r"space of tree.max_depth must be numbers"),
        (
            {"tree": {"categorical_encoding": ["odd"]}},
            r"space of tree.categorical_encoding must be some of one_hot, target",
        ),
        (
            {"tree": {"categorical_encoding": []}},
            r"space of tree.categorical_encoding must be some of one_hot, target",
        ),
    ],
)
def test_a_space_that_does_not_fit_is_refused(overrides, words):
    with pytest.raises(ValueError, match=words):
        build_space(["tree"], overrides)


def test_overrides_leave_the_default_space_alone():
    build_space(["linear"], {"linear": {"categorical_encoding": ["target"]}})
    assert "hashed" in ALL_SPACES["linear"]["categorical_encoding"].values


@pytest.mark.parametrize(("columns", "searched"), [([], False), ([FEW], False), ([TEXT], True)])
def test_encodings_of_texts_are_searched_if_there_are_texts(columns, searched):
    assert ("text_encoding" in build_space(["linear"], columns=columns)["linear"]) == searched


@pytest.mark.parametrize(("columns", "searched"), [([], False), ([FEW], False), ([MANY], True)])
def test_hashing_is_searched_if_a_category_has_many_levels(columns, searched):
    levels = build_space(["lightgbm"], columns=columns)["lightgbm"]["categorical_encoding"]
    assert ("hashed" in levels.values) == searched


@pytest.mark.parametrize(("n_numbers", "searched"), [(0, False), (1, False), (2, True)])
def test_pairs_of_numbers_are_searched_if_there_are_two(n_numbers, searched):
    columns = [FEW, *(Column(f"x{n}", "number") for n in range(n_numbers))]
    space = build_space(["linear", "lightgbm", "xgboost"], columns=columns)
    assert {name for name, ranges in space.items() if "interactions" in ranges} == (
        {"linear", "lightgbm"} if searched else set()
    )
    if searched:
        assert space["linear"]["interactions"].values == ("none", "numeric")
        assert space["lightgbm"]["interactions"].values == ("none", "arithmetic")


@pytest.fixture
def _no_torch(monkeypatch):
    """Have Python find no torch, whether or not there is one."""
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.usefixtures("_no_torch")
def test_a_family_whose_library_is_missing_is_not_searched():
    with pytest.raises(ValueError, match=r"embedding_mlp needs torch.*or leave"):
        build_space(["linear", "embedding_mlp"])
    assert list(build_space(["linear"])) == ["linear"]
